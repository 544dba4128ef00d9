//! What one thread counted in one second: the only thing that threads and processes tell about a run.
//! - Invariants: tallies merge in any order to the same sum; every event is in exactly one tally.
//! - Limits: the maps are keyed by kinds of endings and reason codes, never by device.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::report::Distribution;

/// Counters and distributions of one second of one thread, or sums of such.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Process and thread, `0.0`.
    pub(crate) source: String,
    /// 0 is the ramp, then the phases of the plan, then the drain.
    pub(crate) phase: usize,
    /// Second since the phase began.
    pub(crate) second: u64,
    pub(crate) connects_started: u64,
    pub(crate) connected: u64,
    pub(crate) reconnected: u64,
    pub(crate) resumed: u64,
    /// Connections that never opened, by reason.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Connections that opened and ended, by reason.
    pub(crate) lost: BTreeMap<String, u64>,
    pub(crate) sent: u64,
    pub(crate) sent_again: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) acknowledged: u64,
    /// Negative acknowledgements, by reason code.
    pub(crate) rejected: BTreeMap<String, u64>,
    /// Sent after their time because the server or the window held them back.
    pub(crate) late: u64,
    /// Due, but not sent when the last phase ended.
    pub(crate) unsent: u64,
    /// Sent, but not acknowledged when the drain ended.
    pub(crate) unacknowledged: u64,
    /// Open at the end of this second.
    pub(crate) open: u64,
    /// Unacknowledged at the end of this second.
    pub(crate) in_flight: u64,
    pub(crate) cpu_ns: u64,
    pub(crate) wall_ns: u64,
    /// Intended send time to acknowledgement.
    pub(crate) latency: Distribution,
    /// Intended send time to sending, where nothing but this program was in the way.
    pub(crate) lag: Distribution,
    /// Start of connecting to CONNACK.
    pub(crate) connect: Distribution,
}

impl Tally {
    /// Adds the counters and distributions of another; gauges are not sums and stay.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.connects_started += other.connects_started;
        self.connected += other.connected;
        self.reconnected += other.reconnected;
        self.resumed += other.resumed;
        merge_counts(&mut self.refused, &other.refused);
        merge_counts(&mut self.lost, &other.lost);
        self.sent += other.sent;
        self.sent_again += other.sent_again;
        self.sent_bytes += other.sent_bytes;
        self.acknowledged += other.acknowledged;
        merge_counts(&mut self.rejected, &other.rejected);
        self.late += other.late;
        self.unsent += other.unsent;
        self.unacknowledged += other.unacknowledged;
        self.cpu_ns += other.cpu_ns;
        self.wall_ns += other.wall_ns;
        self.latency.merge(&other.latency);
        self.lag.merge(&other.lag);
        self.connect.merge(&other.connect);
    }

    /// Counts one more under a name.
    pub(crate) fn count(counts: &mut BTreeMap<String, u64>, name: String) {
        *counts.entry(name).or_default() += 1;
    }
}

fn merge_counts(counts: &mut BTreeMap<String, u64>, other: &BTreeMap<String, u64>) {
    for (name, count) in other {
        *counts.entry(name.clone()).or_default() += count;
    }
}
