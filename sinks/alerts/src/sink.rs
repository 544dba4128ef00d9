//! The driver: takes batches, runs the rules, hands events out at once, and keeps the state durable.
//! - Invariants: a row is applied once per run, and after a crash again from the last durable frame on; its events then have the
//!   same ids. `safe` is what the last durable frame covers; the events of those rows are in that frame or delivered.
//! - Limits: the queues' (see `queue.rs`) and the device table's (see `devices.rs`). Nothing here waits for a webhook or a disk.
//! - Errors: a state file that cannot be written stops `safe`, not the rules.
//! - Hot path: [`Sink::deliver`]: senders are looked up once per batch, bodies are read where they lie.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use millrace_model::{Batch, Delivery, Offset, ShardId, Sink, SinkError, Timestamp, Watermark};

use crate::client::Worker;
use crate::config::{AlertsConfig, check, is_name};
use crate::engine::{Decision, Engine};
use crate::event::{Cause, EventKind, EventPublisher};
use crate::events::RuleMetrics;
use crate::limits::ALIVE_SECONDS;
use crate::outlets::{self, Outlets};
use crate::restore;
use crate::shard::Shard;
use crate::state::{Applied, Frame};
use crate::store::Store;

/// What a sink has done since it was opened; read by whoever observes it.
#[derive(Debug, Default)]
pub struct AlertsCounters {
    /// Alerts that began.
    pub fired: AtomicU64,
    /// Alerts that ended.
    pub cleared: AtomicU64,
    /// Events that a webhook or topic took.
    pub delivered: AtomicU64,
    /// Events that were given up: refused for good, tried too long, or pushed out of a full queue.
    pub failed: AtomicU64,
}

/// What a slot of [`AlertsSink::slots`] says about a sender of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Unknown,
    Refused,
    At(u32),
}

/// The alerts sink.
pub struct AlertsSink {
    engine: Engine,
    outlets: Outlets,
    shards: BTreeMap<ShardId, Shard>,
    /// What the frame on its way covers.
    covering: Option<Vec<(ShardId, Offset)>>,
    store: Store,
    snapshot_interval: Duration,
    snapshot_at: Instant,
    counters: Arc<AlertsCounters>,
    metrics: RuleMetrics,
    /// Wall clock; replaced in tests.
    clock: Box<dyn Fn() -> Timestamp + Send>,
    /// Slots of the senders of the batch in hand.
    slots: Vec<Slot>,
    decisions: Vec<Decision>,
    /// Stops last: what is dropped before it must not wait for it.
    _worker: Worker,
}

impl std::fmt::Debug for AlertsSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlertsSink").field("counters", &self.counters).finish_non_exhaustive()
    }
}

impl AlertsSink {
    /// Opens the sink `name` with its state file `state_directory/NAME.state` (the directory is made). `publishers` holds one
    /// publisher for each of the configuration's topics, under the topic's action name.
    ///
    /// # Errors
    /// `Broken` with all problems of the configuration; `Unavailable` when the state cannot be read or written.
    pub fn new(
        name: &str,
        config: &AlertsConfig,
        state_directory: &Path,
        publishers: HashMap<String, Box<dyn EventPublisher>>,
    ) -> Result<Self, SinkError> {
        let clock = Box::new(|| Timestamp::from(SystemTime::now()));
        Self::with_clock(name, config, state_directory, publishers, clock)
    }

    pub(crate) fn with_clock(
        name: &str,
        config: &AlertsConfig,
        state_directory: &Path,
        mut publishers: HashMap<String, Box<dyn EventPublisher>>,
        clock: Box<dyn Fn() -> Timestamp + Send>,
    ) -> Result<Self, SinkError> {
        let mut problems = check(config);
        if !is_name(name) {
            problems.push("the name of a sink is 1 to 128 letters, digits and -_.".to_owned());
        }
        let missing = config.topics.keys().filter(|topic| !publishers.contains_key(*topic));
        problems.extend(missing.map(|topic| format!("topic \"{topic}\" has no publisher")));
        if !problems.is_empty() {
            return Err(SinkError::Broken(problems.join("; ")));
        }
        let path = state_directory.join(format!("{name}.state"));
        let unavailable = |error: std::io::Error| SinkError::Unavailable(format!("{}: {error}", path.display()));
        std::fs::create_dir_all(state_directory).map_err(unavailable)?;
        let image = restore::read_state(&path).map_err(unavailable)?;

        let counters = Arc::<AlertsCounters>::default();
        let (outlets, targets) = outlets::open(name, config, &image, &mut publishers, &counters)?;
        let now = clock();
        let engine = restore::engine(config, &image, now);
        let shards: BTreeMap<ShardId, Shard> =
            image.shards.iter().map(|(&shard, &applied)| (shard, Shard::new(applied))).collect();
        let store = Store::open(&path, &restore::base(&engine, &outlets, &image, now)).map_err(unavailable)?;
        let worker = Worker::start(name, targets).map_err(unavailable)?;
        Ok(Self {
            engine,
            outlets,
            shards,
            covering: None,
            store,
            snapshot_interval: Duration::from_millis(config.snapshot_interval_ms),
            snapshot_at: Instant::now(),
            counters,
            metrics: RuleMetrics::new(name),
            clock,
            slots: Vec::new(),
            decisions: Vec::new(),
            _worker: worker,
        })
    }

    /// The counters, to be read by others.
    #[must_use]
    pub fn counters(&self) -> Arc<AlertsCounters> {
        Arc::clone(&self.counters)
    }

    /// Tells the sink where the durable part of a shard's journal ends, so that it knows exactly whether it has seen everything.
    /// Without it a shard counts as caught up when its newest message is recent or nothing came for a while.
    pub fn follow(&mut self, shard: ShardId, durable: Arc<Watermark>) {
        let applied = Applied { offset: Offset(0), newest: i64::MIN };
        self.shards.entry(shard).or_insert_with(|| Shard::new(applied)).followed = Some(durable);
    }

    /// How many events wait for each webhook and topic.
    #[must_use]
    pub fn waiting(&self) -> Vec<(String, usize)> {
        self.outlets.waiting()
    }

    /// How many devices (and modules) have state.
    #[must_use]
    pub const fn devices(&self) -> usize {
        self.engine.devices.len()
    }

    /// The moment up to which every message is known, in all shards; `None` before any shard is.
    fn known_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.shards.values().map(|shard| shard.known_until(now)).min()
    }

    /// The slot of the sender of `row`; looked up once per batch.
    fn slot(&mut self, batch: &Batch, row: usize, sender: usize) -> Option<u32> {
        match self.slots.get(sender)? {
            Slot::At(number) => return Some(*number),
            Slot::Refused => return None,
            Slot::Unknown => {}
        }
        let evicted = self.engine.devices.evicted;
        let admitted = self.engine.admit(&batch.message(row)?.identity);
        if self.engine.devices.evicted != evicted {
            // A slot changed hands, perhaps that of another sender of this batch.
            self.slots.fill(Slot::Unknown);
        }
        *self.slots.get_mut(sender)? = admitted.map_or(Slot::Refused, Slot::At);
        admitted
    }

    fn apply(&mut self, delivery: &Delivery, from: Offset) {
        let batch = &*delivery.batch;
        let columns = batch.columns();
        self.slots.clear();
        self.slots.resize(columns.identity_end.len(), Slot::Unknown);
        for row in delivery.selected.iter() {
            let offset = batch.base().plus(u64::try_from(row).unwrap_or(u64::MAX));
            if offset < from {
                continue;
            }
            let place = |ends: &Vec<u32>| ends.get(row).and_then(|&end| usize::try_from(end).ok());
            let (Some(start), Some(end), Some(sender), Some(&at)) = (
                place(&columns.bag_end),
                place(&columns.body_end),
                place(&columns.identity),
                columns.enqueued_at.get(row),
            ) else {
                continue;
            };
            let Some(number) = self.slot(batch, row, sender) else { continue };
            let cause = Cause { shard: batch.shard(), offset, at: Timestamp(at) };
            let body = columns.bytes.get(start..end).unwrap_or_default();
            self.engine.observe(number, cause, body, &mut self.decisions);
            if !self.decisions.is_empty() {
                self.hand_out();
            }
        }
    }

    /// Turns decisions into events and gives them to their targets.
    fn hand_out(&mut self) {
        for decision in self.decisions.drain(..) {
            let (Some(rule), Some(device)) =
                (self.engine.rules.get(decision.rule), self.engine.devices.slot(decision.device))
            else {
                continue;
            };
            let event = outlets::event(rule, &device.key, &decision);
            let (total, metric) = match event.kind {
                EventKind::Cleared => (&self.counters.cleared, &self.metrics.cleared),
                EventKind::Fired => (&self.counters.fired, &self.metrics.fired),
            };
            total.fetch_add(1, Ordering::Relaxed);
            metric.increment(1);
            self.outlets.hand_out(decision.rule, &event, (self.clock)());
        }
    }

    /// Notes that the frame on its way has become durable.
    fn note_durable(&mut self) {
        if self.covering.is_some() && self.store.is_idle() {
            for (shard, offset) in self.covering.take().into_iter().flatten() {
                if let Some(shard) = self.shards.get_mut(&shard) {
                    shard.safe = shard.safe.max(offset);
                }
            }
        }
    }

    fn has_changed(&self) -> bool {
        self.engine.devices.has_changed()
            || self.shards.values().any(|shard| shard.safe < shard.applied.offset)
            || self.outlets.has_changed()
            || self.snapshot_at.elapsed() >= Duration::from_secs(ALIVE_SECONDS)
    }

    /// Hands what changed to the state file's thread.
    fn snapshot(&mut self) {
        if self.covering.is_some() || !self.store.is_idle() {
            return;
        }
        let mut frame = Frame {
            alive_until: (self.clock)().0,
            shards: self.shards.iter().map(|(&shard, state)| (shard, state.applied)).collect(),
            removed: self.engine.devices.take_removed(),
            ..Frame::default()
        };
        for number in self.engine.devices.take_dirty() {
            if let Some(device) = self.engine.devices.slot(number) {
                frame.add_device(device);
            }
        }
        self.outlets.record(&mut frame);
        self.snapshot_at = Instant::now();
        // Refused only when the store's thread has ended: then nothing becomes safe any more.
        if self.store.submit(&frame.encode()) {
            self.covering = Some(frame.shards.iter().map(|(shard, applied)| (*shard, applied.offset)).collect());
        }
    }

    fn count(&self) {
        self.metrics.evicted.absolute(self.engine.devices.evicted);
        self.metrics.refused.absolute(self.engine.devices.refused);
        self.metrics.unreadable.absolute(self.engine.unreadable);
    }
}

impl Sink for AlertsSink {
    fn resume(&mut self, shard: ShardId, cursor: Offset) -> Result<Offset, SinkError> {
        let start = Applied { offset: cursor, newest: i64::MIN };
        let state = self.shards.entry(shard).or_insert_with(|| Shard::new(start));
        state.applied.offset = state.applied.offset.max(cursor);
        state.safe = state.safe.max(cursor);
        state.delivered_at = Instant::now();
        Ok(state.applied.offset)
    }

    fn deliver(&mut self, delivery: &Delivery) -> Result<(), SinkError> {
        let batch = &delivery.batch;
        let start = Applied { offset: Offset(0), newest: i64::MIN };
        let shard = self.shards.entry(batch.shard()).or_insert_with(|| Shard::new(start));
        let from = shard.applied.offset;
        shard.applied.offset = from.max(batch.end());
        shard.applied.newest = batch.columns().enqueued_at.iter().copied().fold(shard.applied.newest, i64::max);
        shard.delivered_at = Instant::now();
        self.apply(delivery, from);
        Ok(())
    }

    fn poll(&mut self, _now: Instant) -> Result<(), SinkError> {
        self.note_durable();
        if let Some(until) = self.known_until((self.clock)()) {
            self.engine.pass_time(until, &mut self.decisions);
            self.hand_out();
        }
        if self.snapshot_at.elapsed() >= self.snapshot_interval && self.has_changed() {
            self.snapshot();
            self.count();
        }
        match self.store.failure() {
            Some(reason) => Err(SinkError::Unavailable(format!("the alert state cannot be written: {reason}"))),
            None => Ok(()),
        }
    }

    fn safe(&self, shard: ShardId) -> Offset {
        self.shards.get(&shard).map(|shard| shard.safe).unwrap_or_default()
    }

    fn drain(&mut self, deadline: Instant) -> Result<(), SinkError> {
        // A webhook that hangs must not use up the time that the state needs.
        let left = deadline.saturating_duration_since(Instant::now());
        self.outlets.wait_settled(deadline.checked_sub(left / 4).unwrap_or(deadline));
        // The frame on its way, then one with the rest.
        for _ in 0..2 {
            if !self.store.wait_idle(deadline) {
                return Err(SinkError::Unavailable("the alert state could not be written in time".to_owned()));
            }
            self.note_durable();
            self.snapshot();
        }
        if !self.store.wait_idle(deadline) {
            return Err(SinkError::Unavailable("the alert state could not be written in time".to_owned()));
        }
        self.note_durable();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
