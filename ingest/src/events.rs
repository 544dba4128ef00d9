//! What the ingest tier counts and logs. Handles are looked up once per shard, not per message.

use metrics::{Counter, Histogram, counter, histogram};
use millrace_model::HubError;
use millrace_model::door::ToDevice;

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
    metrics::describe_counter!("millrace_ingest_deliveries_total", "Packets sent to clients, by kind.");
    metrics::describe_counter!("millrace_ingest_deliveries_dropped_total", "Packets for clients left out, by reason.");
    metrics::describe_counter!("millrace_ingest_requests_refused_total", "Requests refused by a shard, by error.");
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

/// A request was refused by the shard itself, because the control side takes no more or the request is too large.
pub(crate) fn request_refused(error: &HubError, tracking_id: &str) {
    counter!("millrace_ingest_requests_refused_total", "error" => error.name).increment(1);
    tracing::debug!(tracking_id, %error, "request refused");
}

/// A packet for a client was sent.
pub(crate) fn delivered(what: &ToDevice) {
    let kind = match what {
        ToDevice::Command { .. } => "command",
        ToDevice::Desired { .. } => "desired",
        ToDevice::Method { .. } => "method",
        ToDevice::Registration { .. } => "registration",
        _ => "twin",
    };
    counter!("millrace_ingest_deliveries_total", "kind" => kind).increment(1);
}

/// A packet for a client was left out.
pub(crate) fn delivery_dropped(reason: &'static str) {
    counter!("millrace_ingest_deliveries_dropped_total", "reason" => reason).increment(1);
}

/// A session's begin or end could not be taken, because the journal takes no more.
pub(crate) fn connection_event_dropped() {
    counter!("millrace_ingest_connection_events_dropped_total").increment(1);
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
