//! Where this sink stands in a shard, and up to which moment it knows everything that the shard accepted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_model::{Offset, Timestamp, Watermark};

use crate::limits::{CAUGHT_UP_MS, QUIET_MS};
use crate::state::Applied;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Shard {
    /// What the rules have seen.
    pub(crate) applied: Applied,
    /// What the last durable frame covers.
    pub(crate) safe: Offset,
    /// Where the durable part of its journal ends, when somebody tells.
    pub(crate) followed: Option<Arc<Watermark>>,
    /// When it was last heard of.
    pub(crate) delivered_at: Instant,
}

impl Shard {
    /// A shard that stands at `applied`.
    pub(crate) fn new(applied: Applied) -> Self {
        Self { applied, safe: applied.offset, followed: None, delivered_at: Instant::now() }
    }

    /// The moment up to which every message of this shard is known. Behind its journal, that is the newest message seen: a device
    /// is not silent because this sink lags.
    pub(crate) fn known_until(&self, now: Timestamp) -> Timestamp {
        let caught_up = match &self.followed {
            Some(durable) => self.applied.offset >= durable.offset(),
            None => {
                let quiet = Duration::from_millis(QUIET_MS.unsigned_abs());
                self.applied.newest >= now.0.saturating_sub(CAUGHT_UP_MS) || self.delivered_at.elapsed() >= quiet
            }
        };
        if caught_up { now } else { Timestamp(self.applied.newest).min(now) }
    }
}
