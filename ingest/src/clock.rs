//! Time as a shard sees it: read once a turn.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use millrace_model::Timestamp;

/// The moment of the current turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
    /// Monotonic time.
    pub(crate) now: Instant,
    /// Wall-clock time, stamped on messages.
    pub(crate) timestamp: Timestamp,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        Self { start: now, now, timestamp: SystemTime::now().into() }
    }

    pub(crate) fn turn(&mut self) {
        self.now = Instant::now();
        self.timestamp = SystemTime::now().into();
    }

    /// Monotonic seconds since the shard started: the unit of deadlines.
    pub(crate) fn seconds(&self) -> u32 {
        u32::try_from(self.now.duration_since(self.start).as_secs()).unwrap_or(u32::MAX)
    }

    /// Monotonic nanoseconds since the shard started.
    pub(crate) fn nanoseconds(&self) -> u64 {
        u64::try_from(self.now.duration_since(self.start).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Wall-clock days since 1970.
    pub(crate) const fn day(&self) -> i64 {
        self.timestamp.0.div_euclid(86_400_000)
    }

    /// Wall-clock time as RFC 3339 with the seven digits that the hub's own texts have.
    pub(crate) fn text(&self) -> String {
        let time = jiff::Timestamp::from_millisecond(self.timestamp.0).unwrap_or_default();
        time.strftime("%Y-%m-%dT%H:%M:%S.%7fZ").to_string()
    }

    /// Wall-clock seconds since 1970, for tokens.
    pub(crate) fn unix_seconds(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }
}
