//! The live route table, and one evaluation of each batch for all sinks.
//! - Invariants: whoever gets a [`Shared`] batch may go past it: its poison is durable in the dead-letter store. A batch is
//!   evaluated once for each table while it is among the newest [`ROUTED_BATCHES_MAX`] of its shard.
//! - Limits: [`ROUTED_BATCHES_MAX`] batches for each shard; the oldest one makes room. As many scratch memories as threads ask at once.
//! - Errors: only those of the dead-letter store; the caller tries again and must not go past the batch.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use millrace_model::{Batch, DeadLetter, Enrichment, Offset, Selection, ShardId};

use crate::events::RouteMeters;
use crate::limits::ROUTED_BATCHES_MAX;
use crate::query::Scratch;
use crate::table::{RouteTable, Routed};

/// The table that is in force, shared by all drivers.
pub struct Routes {
    live: ArcSwap<Live>,
    versions: AtomicU64,
    shards: Mutex<BTreeMap<ShardId, Arc<Shard>>>,
    scratch: Mutex<Vec<Scratch>>,
    dead_letters: Arc<dyn DeadLetter>,
}

/// A table with its number and counters.
struct Live {
    version: u64,
    table: Arc<RouteTable>,
    meters: RouteMeters,
}

/// A sorted batch with the table that sorted it.
#[derive(Debug, Clone)]
pub struct Shared {
    table: Arc<RouteTable>,
    routed: Arc<Routed>,
}

#[derive(Default)]
struct Shard {
    recent: Mutex<VecDeque<Entry>>,
    /// Offsets whose poison has been stored since the start, and by which table: another one reads other bodies.
    buried: Mutex<(u64, Range<u64>)>,
}

struct Entry {
    base: Offset,
    end: Offset,
    version: u64,
    routed: Arc<OnceLock<Arc<Routed>>>,
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routes").field("version", &self.live.load().version).finish_non_exhaustive()
    }
}

impl Routes {
    /// Puts a table in force.
    #[must_use]
    pub fn new(table: RouteTable, dead_letters: Arc<dyn DeadLetter>) -> Self {
        Self {
            live: ArcSwap::from_pointee(Live::new(0, table)),
            versions: AtomicU64::new(0),
            shards: Mutex::default(),
            scratch: Mutex::default(),
            dead_letters,
        }
    }

    /// Puts another table in force. Batches that drivers hold already keep the old one's answer.
    pub fn replace(&self, table: RouteTable) {
        let version = self.versions.fetch_add(1, Ordering::Relaxed) + 1;
        self.live.store(Arc::new(Live::new(version, table)));
    }

    /// The table in force.
    #[must_use]
    pub fn table(&self) -> Arc<RouteTable> {
        Arc::clone(&self.live.load().table)
    }

    /// Sorts a batch, or recalls how it was sorted. Its poison is in the dead-letter store afterwards.
    ///
    /// # Errors
    /// When the dead-letter store does not take the poison.
    pub fn route(&self, batch: &Batch) -> io::Result<Shared> {
        let live = self.live.load_full();
        let shard = Arc::clone(lock(&self.shards).entry(batch.shard()).or_default());
        let routed = shard.entry(batch, live.version);
        let routed = routed.get_or_init(|| {
            let mut scratch = lock(&self.scratch).pop().unwrap_or_default();
            let routed = live.table.route(batch, &mut scratch);
            lock(&self.scratch).push(scratch);
            live.meters.routed(&routed);
            Arc::new(routed)
        });
        self.bury(&shard, batch, &live, routed)?;
        Ok(Shared { table: Arc::clone(&live.table), routed: Arc::clone(routed) })
    }

    /// Stores the poison of a batch unless that has been done. Batches of a shard come in order, again and again for each
    /// sink, so the offsets done are one range; where it breaks, a repeated dead letter does no harm.
    fn bury(&self, shard: &Shard, batch: &Batch, live: &Live, routed: &Routed) -> io::Result<()> {
        let mut guard = lock(&shard.buried);
        let (version, buried) = &mut *guard;
        if *version < live.version {
            (*version, *buried) = (live.version, 0..0);
        }
        let (base, end) = (batch.base().0, batch.end().0);
        if *version == live.version && buried.start <= base && end <= buried.end {
            return Ok(());
        }
        let letters: Vec<_> = routed
            .poison
            .iter()
            .filter_map(|poison| Some((batch.message(poison.row)?, poison.endpoint.as_str(), poison.reason.as_str())))
            .collect();
        if !letters.is_empty() {
            self.dead_letters.put_all(&letters)?;
            live.meters.poisoned(letters.len());
        }
        if *version > live.version {
            return Ok(());
        }
        let adjoins = base <= buried.end && buried.start <= end && !buried.is_empty();
        *buried = if adjoins { base.min(buried.start)..end.max(buried.end) } else { base..end };
        Ok(())
    }
}

impl Live {
    fn new(version: u64, table: RouteTable) -> Self {
        Self { version, meters: RouteMeters::new(table.route_names()), table: Arc::new(table) }
    }
}

impl Shared {
    /// What an endpoint gets of the batch. An endpoint that the table does not know gets nothing.
    #[must_use]
    pub fn of_endpoint(&self, name: &str, rows: usize) -> (Selection, Arc<[Enrichment]>) {
        let Some(number) = self.table.endpoint(name) else {
            return (Selection::none(rows), Arc::default());
        };
        let selection = self.routed.selections.get(number).cloned().unwrap_or_else(|| Selection::none(rows));
        (selection, self.table.enrichments(number))
    }
}

impl Shard {
    fn entry(&self, batch: &Batch, version: u64) -> Arc<OnceLock<Arc<Routed>>> {
        let (base, end) = (batch.base(), batch.end());
        let mut recent = lock(&self.recent);
        let known = recent.iter().rev().find(|entry| (entry.base, entry.end, entry.version) == (base, end, version));
        if let Some(entry) = known {
            return Arc::clone(&entry.routed);
        }
        if recent.len() >= ROUTED_BATCHES_MAX {
            recent.pop_front();
        }
        let routed = Arc::default();
        recent.push_back(Entry { base, end, version, routed: Arc::clone(&routed) });
        routed
    }
}

/// A thread that panicked with the lock has left nothing half done that matters.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
