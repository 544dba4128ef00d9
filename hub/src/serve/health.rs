//! Whether the hub is alive and ready, put together from its parts.
//! - Invariants: alive: every shard's loop turns. Ready: alive, every journal writes, no endpoint is broken, and the registry can be read,
//!   without which no device can connect (those that are connected go on). An endpoint that waits for its target does not make the hub
//!   unready: the journal holds what it misses.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use millrace_control::Refresher;
use millrace_ingest::Ingest;
use millrace_journal::{Health as JournalHealth, Journal};
use millrace_router::{DriverHandle, DriverState};
use serde::Serialize;

/// A shard that did not turn for this long is dead; it turns ten times a second when idle.
const TURN_SECONDS_MAX: Duration = Duration::from_secs(5);

/// What is looked at.
pub(crate) struct Health {
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) journals: Vec<Journal>,
    pub(crate) drivers: Arc<Vec<DriverHandle>>,
    pub(crate) is_draining: Arc<std::sync::atomic::AtomicBool>,
    registry: Refresher,
    seen: Mutex<HashMap<u16, (u64, Instant)>>,
}

/// The answer, as JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) is_alive: bool,
    pub(crate) is_ready: bool,
    draining: bool,
    registry: &'static str,
    shards: Vec<ShardReport>,
    endpoints: Vec<EndpointReport>,
}

#[derive(Debug, Serialize)]
struct ShardReport {
    shard: u16,
    alive: bool,
    connections: usize,
    reading: bool,
    journal: String,
}

#[derive(Debug, Serialize)]
struct EndpointReport {
    name: String,
    state: String,
    behind: u64,
}

impl Health {
    pub(crate) fn new(
        ingest: Arc<Ingest>,
        journals: Vec<Journal>,
        drivers: Arc<Vec<DriverHandle>>,
        is_draining: Arc<std::sync::atomic::AtomicBool>,
        registry: Refresher,
    ) -> Self {
        Self { ingest, journals, drivers, is_draining, registry, seen: Mutex::new(HashMap::new()) }
    }

    pub(crate) fn report(&self) -> Report {
        let shards = self.shards();
        let endpoints: Vec<_> = self.drivers.iter().map(endpoint).collect();
        let is_alive = shards.iter().all(|shard| shard.alive);
        let writes = shards.iter().all(|shard| shard.reading && shard.journal == "healthy");
        let draining = self.is_draining.load(std::sync::atomic::Ordering::Relaxed);
        let broken = self.drivers.iter().any(|driver| matches!(driver.state(), DriverState::Broken { .. }));
        let is_ready = is_alive && writes && !broken && !draining && self.registry.is_good();
        let registry = if self.registry.is_good() { "healthy" } else { "cannot be read" };
        Report { is_alive, is_ready, draining, registry, shards, endpoints }
    }

    fn shards(&self) -> Vec<ShardReport> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        self.ingest
            .status()
            .into_iter()
            .map(|status| {
                let (turns, at) = seen.entry(status.shard.0).or_insert((status.turns, now));
                if *turns != status.turns {
                    (*turns, *at) = (status.turns, now);
                }
                let journal = match self.journals.get(usize::from(status.shard.0)).map(Journal::health) {
                    Some(JournalHealth::Stalled { reason, .. }) => format!("stalled: {reason}"),
                    _ => "healthy".to_owned(),
                };
                ShardReport {
                    shard: status.shard.0,
                    alive: !status.has_ended && now.duration_since(*at) < TURN_SECONDS_MAX,
                    connections: status.connections,
                    reading: !status.is_blocked,
                    journal,
                }
            })
            .collect()
    }
}

fn endpoint(driver: &DriverHandle) -> EndpointReport {
    let state = match driver.state() {
        DriverState::Broken { reason } => format!("broken: {reason}"),
        DriverState::Drained => "drained".to_owned(),
        DriverState::Running => "running".to_owned(),
        DriverState::Waiting { reason, .. } => format!("waiting: {reason}"),
    };
    EndpointReport { name: driver.name().to_owned(), state, behind: driver.lag().iter().sum() }
}
