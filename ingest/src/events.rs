//! What the ingest tier counts and logs. Handles are looked up once per shard, not per message.

use metrics::{Counter, Histogram, counter, histogram};

use crate::close::CloseReason;

/// The counters of one shard.
pub(crate) struct ShardMetrics {
    pub(crate) messages: Counter,
    pub(crate) bytes: Counter,
    pub(crate) acknowledged: Counter,
    pub(crate) accepted: Counter,
    pub(crate) sessions: Counter,
    pub(crate) acknowledge_seconds: Histogram,
}

impl ShardMetrics {
    pub(crate) fn new(shard: u16) -> Self {
        let shard = shard.to_string();
        Self {
            messages: counter!("millrace_ingest_messages_total", "shard" => shard.clone()),
            bytes: counter!("millrace_ingest_bytes_total", "shard" => shard.clone()),
            acknowledged: counter!("millrace_ingest_acknowledged_total", "shard" => shard.clone()),
            accepted: counter!("millrace_ingest_connections_accepted_total", "shard" => shard.clone()),
            sessions: counter!("millrace_ingest_sessions_total", "shard" => shard.clone()),
            acknowledge_seconds: histogram!("millrace_ingest_acknowledge_seconds", "shard" => shard),
        }
    }
}

/// Describes the metrics once, for their `# HELP` lines.
pub(crate) fn describe() {
    metrics::describe_counter!("millrace_ingest_messages_total", "Messages taken into a batch.");
    metrics::describe_counter!("millrace_ingest_bytes_total", "Bytes of bodies and properties taken into a batch.");
    metrics::describe_counter!("millrace_ingest_acknowledged_total", "Messages acknowledged to their senders.");
    metrics::describe_counter!("millrace_ingest_connections_accepted_total", "TCP connections accepted.");
    metrics::describe_counter!("millrace_ingest_connections_closed_total", "TCP connections closed, by reason.");
    metrics::describe_counter!("millrace_ingest_sessions_total", "Sessions let in.");
    metrics::describe_histogram!(
        "millrace_ingest_acknowledge_seconds",
        "From the first message of a batch to its acknowledgement."
    );
}

/// A connection ended.
pub(crate) fn connection_closed(
    reason: &CloseReason,
    device_id: Option<&str>,
    peer: Option<std::net::SocketAddr>,
    may_log: bool,
) {
    counter!("millrace_ingest_connections_closed_total", "reason" => reason.name()).increment(1);
    match reason {
        CloseReason::ClientDisconnected | CloseReason::ConnectionLost | CloseReason::ShuttingDown => {
            tracing::debug!(device_id, ?peer, %reason, "connection closed");
        }
        _ if may_log => tracing::info!(device_id, ?peer, %reason, "connection closed"),
        _ => {}
    }
}

/// A will could not be taken, because the journal takes no more.
pub(crate) fn will_dropped() {
    counter!("millrace_ingest_wills_dropped_total").increment(1);
}

/// A shard's loop ended with an error.
pub(crate) fn shard_failed(shard: u16, error: &std::io::Error) {
    tracing::error!(shard, %error, "a shard failed: its devices are not served until the hub is started again");
}

/// A shard reads no more, because its journal takes no more.
pub(crate) fn reading_stopped(shard: u16) {
    counter!("millrace_ingest_reading_stopped_total").increment(1);
    tracing::warn!(shard, "the journal takes no more: sockets are not read until it does");
}

/// Accepting failed for want of a resource.
pub(crate) fn accept_failed(shard: u16, error: &std::io::Error) {
    counter!("millrace_ingest_accept_failed_total").increment(1);
    tracing::warn!(shard, %error, "cannot accept connections for now");
}
