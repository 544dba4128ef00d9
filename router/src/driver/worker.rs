//! The thread of a sink.
//! - Shape: rounds. A round offers each shard's next batch once, serves the sink, and publishes what is safe; a round that found
//!   nothing sleeps.
//! - Invariants: the sink is served at least every [`POLL_INTERVAL`], also while it is unavailable; cursors are stored at most
//!   once in [`STORE_INTERVAL`] and at the end.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_model::{Delivery, Sink, SinkError};

use super::backoff::Backoff;
use super::lane::{Lane, in_full};
use super::{DriverState, Shared, Wake};
use crate::events::{DriverMeters, SinkBroken, SinkRecovered, SinkRewound, SinkUnavailable};
use crate::routes::Routes;

/// A [`Sink`] is promised 100 ms.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

const STORE_INTERVAL: Duration = Duration::from_secs(1);

/// Sleep of a driver that is woken, in case nobody wakes it.
const UNWOKEN: Duration = Duration::from_millis(20);

pub(super) struct Worker {
    name: String,
    sink: Box<dyn Sink>,
    lanes: Vec<Lane>,
    routes: Arc<Routes>,
    wake: Wake,
    shared: Arc<Shared>,
    meters: DriverMeters,
    backoff: Backoff,
    /// Whether the sink's last poll failed: then a delivery that it takes does not end the outage.
    poll_fails: bool,
    polled_at: Instant,
    stored_at: Instant,
}

/// Why a round ended early.
enum Halt {
    /// Asked again later.
    Wait,
    /// Never asked again.
    Broken(String),
}

impl Worker {
    pub(super) fn new(
        name: String,
        sink: Box<dyn Sink>,
        lanes: Vec<Lane>,
        routes: Arc<Routes>,
        wake: Wake,
        shared: Arc<Shared>,
    ) -> Self {
        let (meters, now) = (DriverMeters::new(&name), Instant::now());
        let backoff = Backoff::default();
        Self {
            name,
            sink,
            lanes,
            routes,
            wake,
            shared,
            meters,
            backoff,
            poll_fails: false,
            polled_at: now,
            stored_at: now,
        }
    }

    /// Until drained or broken; why something was left.
    pub(super) fn run(mut self) -> Option<String> {
        let mut targets = None;
        let broken = loop {
            let until = self.shared.drain_until();
            if until.is_some() && targets.is_none() {
                targets = Some(self.lanes.iter().map(Lane::durable).collect::<Vec<_>>());
            }
            if let (Some(until), Some(targets)) = (until, &targets) {
                let done =
                    self.lanes.iter().zip(targets).all(|(lane, &target)| lane.resumed && lane.position() >= target);
                if done || Instant::now() >= until {
                    break None;
                }
            }
            match self.round() {
                Ok(progress) => self.rest(progress, until),
                Err(reason) => break Some(reason),
            }
        };
        self.finish(broken)
    }

    /// Offers each shard's next batch; whether one was taken.
    fn round(&mut self) -> Result<bool, String> {
        let mut progress = false;
        if self.backoff.pending(Instant::now()).is_none() {
            for lane in 0..self.lanes.len() {
                match self.offer(lane) {
                    Ok(taken) => progress |= taken,
                    Err(Halt::Wait) => break,
                    Err(Halt::Broken(reason)) => return Err(reason),
                }
            }
        }
        let now = Instant::now();
        if progress || self.backoff.pending(now).is_some() || now.duration_since(self.polled_at) >= POLL_INTERVAL {
            self.poll(now)?;
        }
        self.publish(now);
        Ok(progress)
    }

    /// Offers one shard's next batch; whether it was taken.
    fn offer(&mut self, number: usize) -> Result<bool, Halt> {
        let Some(lane) = self.lanes.get_mut(number) else {
            return Ok(false);
        };
        if !lane.resumed {
            match self.sink.resume(lane.shard, lane.start()) {
                Ok(offset) => lane.resume(offset),
                Err(error) => return self.refused(error),
            }
            self.recovered();
            return Ok(true);
        }
        match lane.read(&self.name, &self.meters) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) => return Err(self.unavailable(&format!("journal: {}", in_full(&error)))),
        }
        if let Some(batch) = lane.batch.take() {
            match self.routes.route(&batch) {
                Ok(shared) => {
                    let (mut selected, enrichments) = shared.of_endpoint(&self.name, batch.len());
                    lane.deselect_delivered(&batch, &mut selected);
                    lane.delivery = Some(Delivery { batch, selected, enrichments });
                }
                Err(error) => {
                    lane.batch = Some(batch);
                    return Err(self.unavailable(&format!("dead-letter store: {error}")));
                }
            }
        }
        let Some(delivery) = &lane.delivery else {
            return Ok(false);
        };
        if let Err(error) = self.sink.deliver(delivery) {
            return self.refused(error);
        }
        self.meters.batches.increment(1);
        self.meters.delivered.increment(u64::try_from(delivery.selected.count()).unwrap_or(u64::MAX));
        lane.taken();
        self.recovered();
        Ok(true)
    }

    fn poll(&mut self, now: Instant) -> Result<(), String> {
        self.polled_at = now;
        let answer = self.sink.poll(now);
        self.poll_fails = matches!(answer, Err(SinkError::Unavailable(_)));
        let Err(error) = answer else {
            // Nothing to deliver would never show that an outage is over.
            if self.backoff.is_outage() && self.backoff.pending(now).is_none() && self.is_idle() {
                self.recovered();
            }
            return Ok(());
        };
        match self.refused(error) {
            Err(Halt::Broken(reason)) => Err(reason),
            _ => Ok(()),
        }
    }

    fn is_idle(&self) -> bool {
        self.lanes.iter().all(|lane| lane.resumed && lane.batch.is_none() && lane.delivery.is_none())
    }

    /// The sink's answer as what to do about it.
    fn refused(&mut self, error: SinkError) -> Result<bool, Halt> {
        match error {
            SinkError::Busy => {
                self.meters.busy.increment(1);
                self.backoff.busy(Instant::now());
                Err(Halt::Wait)
            }
            SinkError::Unavailable(reason) => Err(self.unavailable(&reason)),
            SinkError::Rewind(shard, to) => {
                if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.shard == shard) {
                    SinkRewound { sink: &self.name, shard, to }.emit(&self.meters);
                    lane.rewind(to);
                }
                Ok(false)
            }
            SinkError::Broken(reason) => Err(Halt::Broken(reason)),
        }
    }

    fn unavailable(&mut self, reason: &str) -> Halt {
        self.meters.unavailable.increment(1);
        let (first, now) = (!self.backoff.is_outage(), Instant::now());
        let since = self.backoff.unavailable(now, RandomState::new().hash_one(0));
        if first {
            SinkUnavailable { sink: &self.name, reason }.emit();
        }
        self.meters.waiting(now.duration_since(since));
        self.shared.set(DriverState::Waiting { since, reason: reason.to_owned() });
        Halt::Wait
    }

    fn recovered(&mut self) {
        if self.poll_fails && self.backoff.is_outage() {
            return;
        }
        if let Some(since) = self.backoff.succeeded() {
            SinkRecovered { sink: &self.name, after: since.elapsed() }.emit(&self.meters);
            self.shared.set(DriverState::Running);
        }
    }

    fn publish(&mut self, now: Instant) {
        for lane in self.lanes.iter().filter(|lane| lane.resumed) {
            lane.publish(self.sink.safe(lane.shard));
        }
        if now.duration_since(self.stored_at) >= STORE_INTERVAL {
            self.store(now);
        }
    }

    fn store(&mut self, now: Instant) {
        self.stored_at = now;
        for lane in &mut self.lanes {
            lane.store(&self.name, &self.meters);
        }
    }

    /// Sleeps unless there may be more at once.
    fn rest(&self, progress: bool, drain_until: Option<Instant>) {
        let now = Instant::now();
        let pause = match (self.backoff.pending(now), self.wake) {
            (Some(until), _) => until.duration_since(now).min(POLL_INTERVAL),
            (None, _) if progress => return,
            (None, Wake::Every(pause)) => pause.min(POLL_INTERVAL),
            (None, Wake::EachSync) => UNWOKEN,
        };
        let pause = drain_until.map_or(pause, |until| pause.min(until.saturating_duration_since(now)));
        std::thread::park_timeout(pause);
    }

    /// Completes what is open; why something was left.
    fn finish(mut self, broken: Option<String>) -> Option<String> {
        let waiting = match self.shared.state() {
            DriverState::Waiting { reason, .. } => Some(reason),
            _ => None,
        };
        let deadline = self.shared.drain_until().unwrap_or_else(Instant::now);
        let drained = match &broken {
            Some(_) => Ok(()),
            None => self.sink.drain(deadline),
        };
        let now = Instant::now();
        self.publish(now);
        self.store(now);
        if let Some(reason) = broken {
            SinkBroken { sink: &self.name, reason: &reason }.emit();
            self.shared.set(DriverState::Broken { reason: reason.clone() });
            return Some(reason);
        }
        self.shared.set(DriverState::Drained);
        drained.err().map(|error| error.to_string()).or(waiting)
    }
}
