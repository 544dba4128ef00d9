//! What the router tells the outside: meters looked up once, and one struct for each event.

use std::path::Path;
use std::time::Duration;

use metrics::{Counter, Gauge};
use millrace_model::{Offset, ShardId};

use crate::table::Routed;

/// Names of the metrics.
mod name {
    pub(super) const ROUTED: &str = "millrace_route_messages_total";
    pub(super) const FALLEN_BACK: &str = "millrace_route_fallback_messages_total";
    pub(super) const UNROUTED: &str = "millrace_route_unrouted_messages_total";
    pub(super) const POISONED: &str = "millrace_route_poisoned_messages_total";
    pub(super) const DEAD_LETTERS: &str = "millrace_dead_letter_messages_total";
    pub(super) const DEAD_LETTERS_DROPPED: &str = "millrace_dead_letters_dropped_total";
    pub(super) const DEAD_LETTER_BYTES: &str = "millrace_dead_letter_bytes";
    pub(super) const DELIVERED: &str = "millrace_sink_delivered_messages_total";
    pub(super) const BATCHES: &str = "millrace_sink_batches_total";
    pub(super) const BUSY: &str = "millrace_sink_busy_total";
    pub(super) const UNAVAILABLE: &str = "millrace_sink_unavailable_total";
    pub(super) const UNAVAILABLE_SECONDS: &str = "millrace_sink_unavailable_seconds";
    pub(super) const REWOUND: &str = "millrace_sink_rewound_total";
    pub(super) const MISSING: &str = "millrace_sink_missing_messages_total";
    pub(super) const CURSOR_FAILURES: &str = "millrace_sink_cursor_failures_total";
    pub(super) const SAFE: &str = "millrace_sink_safe_messages_total";
    pub(super) const DURABLE: &str = "millrace_sink_durable_messages_total";
}

/// Counters of a route table. A batch counts once for each time that it is evaluated.
#[derive(Debug)]
pub(crate) struct RouteMeters {
    routes: Vec<Counter>,
    fallen_back: Counter,
    unrouted: Counter,
    poisoned: Counter,
}

impl RouteMeters {
    pub(crate) fn new<'a>(routes: impl Iterator<Item = &'a str>) -> Self {
        Self {
            routes: routes.map(|route| metrics::counter!(name::ROUTED, "route" => route.to_owned())).collect(),
            fallen_back: metrics::counter!(name::FALLEN_BACK),
            unrouted: metrics::counter!(name::UNROUTED),
            poisoned: metrics::counter!(name::POISONED),
        }
    }

    pub(crate) fn routed(&self, routed: &Routed) {
        for (counter, &taken) in self.routes.iter().zip(&routed.taken) {
            counter.increment(taken);
        }
        self.fallen_back.increment(routed.fallen_back);
        self.unrouted.increment(routed.unrouted);
    }

    pub(crate) fn poisoned(&self, messages: usize) {
        self.poisoned.increment(u64::try_from(messages).unwrap_or(u64::MAX));
    }
}

/// Counters of the dead-letter store.
#[derive(Debug)]
pub(crate) struct DeadLetterMeters {
    letters: Counter,
    dropped: Counter,
    bytes: Gauge,
}

impl DeadLetterMeters {
    pub(crate) fn new() -> Self {
        Self {
            letters: metrics::counter!(name::DEAD_LETTERS),
            dropped: metrics::counter!(name::DEAD_LETTERS_DROPPED),
            bytes: metrics::gauge!(name::DEAD_LETTER_BYTES),
        }
    }

    pub(crate) fn stored(&self, letters: usize) {
        self.letters.increment(u64::try_from(letters).unwrap_or(u64::MAX));
    }

    #[expect(clippy::as_conversions, reason = "a gauge is a double")]
    pub(crate) fn size(&self, bytes: u64) {
        self.bytes.set(bytes as f64);
    }
}

/// The dead-letter store was full, and its oldest file had to make room.
#[derive(Debug)]
pub(crate) struct DeadLettersDropped<'a> {
    pub(crate) path: &'a Path,
    pub(crate) letters: u64,
    pub(crate) bytes: u64,
}

impl DeadLettersDropped<'_> {
    pub(crate) fn emit(&self, meters: &DeadLetterMeters) {
        meters.dropped.increment(self.letters);
        tracing::error!(
            file = %self.path.display(), letters = self.letters, bytes = self.bytes,
            "the dead-letter store is full; its oldest file was given up"
        );
    }
}

/// Counters of one driver.
#[derive(Debug)]
pub(crate) struct DriverMeters {
    pub(crate) delivered: Counter,
    pub(crate) batches: Counter,
    pub(crate) busy: Counter,
    pub(crate) unavailable: Counter,
    unavailable_seconds: Gauge,
    rewound: Counter,
    missing: Counter,
    cursor_failures: Counter,
}

impl DriverMeters {
    pub(crate) fn new(sink: &str) -> Self {
        let counter = |name| metrics::counter!(name, "sink" => sink.to_owned());
        Self {
            delivered: counter(name::DELIVERED),
            batches: counter(name::BATCHES),
            busy: counter(name::BUSY),
            unavailable: counter(name::UNAVAILABLE),
            unavailable_seconds: metrics::gauge!(name::UNAVAILABLE_SECONDS, "sink" => sink.to_owned()),
            rewound: counter(name::REWOUND),
            missing: counter(name::MISSING),
            cursor_failures: counter(name::CURSOR_FAILURES),
        }
    }

    pub(crate) fn waiting(&self, since: Duration) {
        self.unavailable_seconds.set(since.as_secs_f64());
    }
}

/// Where one sink stands in one shard, as two counters whose difference is its lag.
#[derive(Debug)]
pub(crate) struct LaneMeters {
    safe: Counter,
    durable: Counter,
}

impl LaneMeters {
    pub(crate) fn new(sink: &str, shard: ShardId) -> Self {
        let counter = |name| metrics::counter!(name, "sink" => sink.to_owned(), "shard" => shard.to_string());
        Self { safe: counter(name::SAFE), durable: counter(name::DURABLE) }
    }

    pub(crate) fn stands(&self, safe: Offset, durable: Offset) {
        self.safe.absolute(safe.0);
        self.durable.absolute(durable.0);
    }
}

/// A sink's target stopped answering; said once for each outage.
#[derive(Debug)]
pub(crate) struct SinkUnavailable<'a> {
    pub(crate) sink: &'a str,
    pub(crate) reason: &'a str,
}

impl SinkUnavailable<'_> {
    pub(crate) fn emit(&self) {
        tracing::warn!(sink = self.sink, reason = self.reason, "sink waits; the journal holds what it misses");
    }
}

/// It takes deliveries again.
#[derive(Debug)]
pub(crate) struct SinkRecovered<'a> {
    pub(crate) sink: &'a str,
    pub(crate) after: Duration,
}

impl SinkRecovered<'_> {
    pub(crate) fn emit(&self, meters: &DriverMeters) {
        meters.waiting(Duration::ZERO);
        tracing::info!(sink = self.sink, seconds = self.after.as_secs_f64(), "sink takes deliveries again");
    }
}

/// It can never go on as configured.
#[derive(Debug)]
pub(crate) struct SinkBroken<'a> {
    pub(crate) sink: &'a str,
    pub(crate) reason: &'a str,
}

impl SinkBroken<'_> {
    pub(crate) fn emit(&self) {
        tracing::error!(
            sink = self.sink,
            reason = self.reason,
            "sink stopped for good; the journal holds what it misses"
        );
    }
}

/// It asked for what it had been given before.
#[derive(Debug)]
pub(crate) struct SinkRewound<'a> {
    pub(crate) sink: &'a str,
    pub(crate) shard: ShardId,
    pub(crate) to: Offset,
}

impl SinkRewound<'_> {
    pub(crate) fn emit(&self, meters: &DriverMeters) {
        meters.rewound.increment(1);
        tracing::warn!(sink = self.sink, shard = %self.shard, to = %self.to, "sink starts again from an earlier offset");
    }
}

/// The journal no longer has what the sink should get next: damaged, and reported there with its range.
#[derive(Debug)]
pub(crate) struct MessagesMissing<'a> {
    pub(crate) sink: &'a str,
    pub(crate) shard: ShardId,
    pub(crate) from: Offset,
    pub(crate) to: Offset,
}

impl MessagesMissing<'_> {
    pub(crate) fn emit(&self, meters: &DriverMeters) {
        meters.missing.increment(self.to.0.saturating_sub(self.from.0));
        tracing::error!(
            sink = self.sink, shard = %self.shard, from = %self.from, to = %self.to,
            "messages between these offsets cannot be read and were not delivered"
        );
    }
}

/// A cursor could not be stored; after a crash now more would be delivered twice.
#[derive(Debug)]
pub(crate) struct CursorFailed<'a> {
    pub(crate) sink: &'a str,
    pub(crate) shard: ShardId,
    pub(crate) reason: &'a str,
    /// Whether it went well before.
    pub(crate) first: bool,
}

impl CursorFailed<'_> {
    pub(crate) fn emit(&self, meters: &DriverMeters) {
        meters.cursor_failures.increment(1);
        if self.first {
            tracing::warn!(sink = self.sink, shard = %self.shard, reason = self.reason, "cursor not stored; trying again");
        }
    }
}
