//! What the parts of one journal have in common: the queue's two ends, the writer and the readers all look at this.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use millrace_model::{Offset, ShardId, Watermark};

use crate::appender::Queue;
use crate::error::JournalError;
use crate::events::{Meters, Resumed, Stall};
use crate::quarantine::Quarantine;
use crate::recent::Recent;
use crate::segments::Segments;
use crate::storage::Storage;

/// Whether the journal can write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It can, as far as it knows.
    Healthy,
    /// It cannot, and tries again; nothing is acknowledged meanwhile.
    Stalled {
        /// Why, for people.
        reason: String,
        /// Since when.
        since: Instant,
    },
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) shard: ShardId,
    pub(crate) directory: PathBuf,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) queue: Queue,
    pub(crate) recent: Recent,
    pub(crate) segments: Segments,
    pub(crate) written: Arc<Watermark>,
    pub(crate) durable: Arc<Watermark>,
    pub(crate) quarantine: Quarantine,
    pub(crate) meters: Meters,
    pub(crate) health: Mutex<Health>,
    /// Offset below which segments may go.
    pub(crate) trim_below: AtomicU64,
}

impl Shared {
    pub(crate) fn trim_below(&self) -> Offset {
        Offset(self.trim_below.load(Ordering::Acquire)).min(self.durable.offset())
    }

    pub(crate) fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that writing failed; the first time of a stall is kept.
    pub(crate) fn stall(&self, now: Instant, error: &JournalError) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = error.in_full();
        let since = match &*health {
            Health::Stalled { since, reason: known } if *known == reason => return self.meters.stall(now, *since),
            Health::Stalled { since, .. } => *since,
            Health::Healthy => now,
        };
        Stall { shard: self.shard, reason: &reason }.emit();
        self.meters.stall(now, since);
        *health = Health::Stalled { reason, since };
    }

    /// Notes that writing succeeded.
    pub(crate) fn resume(&self, now: Instant) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if let Health::Stalled { since, .. } = *health {
            Resumed { shard: self.shard, stalled: now.saturating_duration_since(since) }.emit();
            self.meters.resume();
            *health = Health::Healthy;
        }
    }
}
