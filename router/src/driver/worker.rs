//! The thread of a sink.
//! - Shape: rounds. A round offers each shard's next batch once, serves the sink, and publishes what is safe; a round that found
//!   nothing sleeps.
//! - Invariants: the sink is served at least every [`POLL_INTERVAL`], also while it is unavailable; cursors are stored at most
//!   once in [`STORE_INTERVAL`] and at the end. A shard that is refused waits by itself; only a full sink is full for all
//!   shards, and then the one that found it full is the first to be offered again.

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
    /// Pauses of a full sink; those of an outage are the lanes' own.
    busy: Backoff,
    /// The lane that a round begins with.
    first: usize,
    /// Since when the sink or one of the lanes is in trouble.
    outage: Option<Instant>,
    /// Whether the sink's last poll failed: then a delivery that it takes does not end the outage.
    poll_fails: bool,
    polled_at: Instant,
    stored_at: Instant,
}

/// Why a batch was not taken.
enum Halt {
    /// The sink is full, for all shards.
    Busy,
    /// This shard's is offered again later.
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
        Self {
            name,
            sink,
            lanes,
            routes,
            wake,
            shared,
            meters,
            busy: Backoff::default(),
            first: 0,
            outage: None,
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
        let (began, first) = (Instant::now(), self.first);
        if self.busy.pending(began).is_none() {
            for lane in (first..self.lanes.len()).chain(0..first) {
                match self.offer(lane, began) {
                    Ok(taken) => progress |= taken,
                    Err(Halt::Wait) => {}
                    Err(Halt::Busy) => {
                        self.first = lane;
                        break;
                    }
                    Err(Halt::Broken(reason)) => return Err(reason),
                }
            }
        }
        let now = Instant::now();
        if progress || self.busy.pending(now).is_some() || now.duration_since(self.polled_at) >= POLL_INTERVAL {
            self.poll(now)?;
        }
        self.publish(now);
        Ok(progress)
    }

    /// Offers one shard's next batch; whether it was taken.
    fn offer(&mut self, number: usize, now: Instant) -> Result<bool, Halt> {
        let Some(lane) = self.lanes.get_mut(number).filter(|lane| lane.backoff.pending(now).is_none()) else {
            return Ok(false);
        };
        if !lane.resumed {
            match self.sink.resume(lane.shard, lane.start()) {
                Ok(offset) => lane.resume(offset).map_err(Halt::Broken)?,
                Err(error) => return self.refused(Some(number), error),
            }
            self.succeeded(number);
            return Ok(true);
        }
        match lane.read(&self.name, &self.meters) {
            Ok(true) => {}
            Ok(false) => {
                if lane.backoff.is_outage() {
                    self.succeeded(number);
                }
                return Ok(false);
            }
            Err(error) => return Err(self.unavailable(number, &format!("journal: {}", in_full(&error)))),
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
                    return Err(self.unavailable(number, &format!("dead-letter store: {error}")));
                }
            }
        }
        let Some(delivery) = &lane.delivery else {
            return Ok(false);
        };
        if let Err(error) = self.sink.deliver(delivery) {
            return self.refused(Some(number), error);
        }
        self.meters.batches.increment(1);
        self.meters.delivered.increment(u64::try_from(delivery.selected.count()).unwrap_or(u64::MAX));
        lane.taken();
        self.succeeded(number);
        Ok(true)
    }

    /// Serves the sink. What it reports holds no delivery back: it refuses those itself that it cannot take.
    fn poll(&mut self, now: Instant) -> Result<(), String> {
        self.polled_at = now;
        let answer = self.sink.poll(now);
        let fails = matches!(answer, Err(SinkError::Unavailable(_)));
        let failed = std::mem::replace(&mut self.poll_fails, fails);
        match answer {
            Ok(()) => {
                if failed {
                    // What was refused meanwhile is worth another try at once.
                    self.lanes.iter_mut().for_each(|lane| lane.backoff.end_pause());
                    self.recovered();
                }
                Ok(())
            }
            Err(SinkError::Unavailable(reason)) => {
                self.in_trouble(now, &reason);
                Ok(())
            }
            Err(error) => match self.refused(None, error) {
                Err(Halt::Broken(reason)) => Err(reason),
                _ => Ok(()),
            },
        }
    }

    /// The sink's answer as what to do about it.
    fn refused(&mut self, lane: Option<usize>, error: SinkError) -> Result<bool, Halt> {
        match error {
            SinkError::Busy => {
                self.meters.busy.increment(1);
                self.busy.busy(Instant::now());
                Err(Halt::Busy)
            }
            SinkError::Unavailable(reason) => Err(self.unavailable(lane.unwrap_or_default(), &reason)),
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

    /// A lane has to wait.
    fn unavailable(&mut self, lane: usize, reason: &str) -> Halt {
        let now = Instant::now();
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.backoff.unavailable(now, RandomState::new().hash_one(0));
        }
        self.in_trouble(now, reason);
        Halt::Wait
    }

    fn in_trouble(&mut self, now: Instant, reason: &str) {
        self.meters.unavailable.increment(1);
        if self.outage.is_none() {
            SinkUnavailable { sink: &self.name, reason }.emit();
        }
        let since = *self.outage.get_or_insert(now);
        self.meters.waiting(now.duration_since(since));
        self.shared.set(DriverState::Waiting { since, reason: reason.to_owned() });
    }

    /// A lane got what it asked for.
    fn succeeded(&mut self, lane: usize) {
        self.busy.succeeded();
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.backoff.succeeded();
        }
        self.recovered();
    }

    /// Ends the outage unless the sink or another lane is still in it.
    fn recovered(&mut self) {
        if self.outage.is_none() || self.poll_fails || self.lanes.iter().any(|lane| lane.backoff.is_outage()) {
            return;
        }
        if let Some(since) = self.outage.take() {
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
        let pause = match (self.busy.pending(now), self.wake) {
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
