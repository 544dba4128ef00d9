//! What the HTTPS door counts and logs.

use std::net::SocketAddr;

use metrics::{Counter, counter, describe_counter};

/// Connections accepted.
pub(crate) const CONNECTIONS: &str = "millrace_https_connections_total";
/// Connections closed at accept, because there were as many as there may be.
pub(crate) const REFUSED: &str = "millrace_https_connections_refused_total";
/// TLS handshakes that failed or took too long.
pub(crate) const HANDSHAKES_FAILED: &str = "millrace_https_handshakes_failed_total";
/// Connections that ended otherwise than in order.
pub(crate) const BROKEN: &str = "millrace_https_connections_broken_total";
/// Answers to requests, by class of status.
pub(crate) const RESPONSES: &str = "millrace_https_responses_total";
/// WebSockets opened.
pub(crate) const WEBSOCKETS: &str = "millrace_https_websockets_total";
/// Messages taken by HTTPS.
pub(crate) const MESSAGES: &str = "millrace_https_messages_total";

/// Counters that each connection uses, looked up once.
pub(crate) struct DoorMetrics {
    pub(crate) connections: Counter,
    pub(crate) refused: Counter,
    pub(crate) handshakes_failed: Counter,
    pub(crate) broken: Counter,
    pub(crate) websockets: Counter,
    responses: [Counter; 5],
}

impl DoorMetrics {
    pub(crate) fn new() -> Self {
        describe();
        Self {
            connections: counter!(CONNECTIONS),
            refused: counter!(REFUSED),
            handshakes_failed: counter!(HANDSHAKES_FAILED),
            broken: counter!(BROKEN),
            websockets: counter!(WEBSOCKETS),
            responses: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(|class| counter!(RESPONSES, "class" => class)),
        }
    }

    pub(crate) fn answered(&self, status: u16) {
        let class = usize::from(status / 100).saturating_sub(1);
        if let Some(counter) = self.responses.get(class) {
            counter.increment(1);
        }
    }
}

fn describe() {
    describe_counter!(CONNECTIONS, "Connections accepted by the HTTPS door");
    describe_counter!(REFUSED, "Connections closed at accept because there were too many");
    describe_counter!(HANDSHAKES_FAILED, "TLS handshakes that failed or took too long");
    describe_counter!(BROKEN, "Connections that did not end in order");
    describe_counter!(RESPONSES, "Answers of the HTTPS door by class of status");
    describe_counter!(WEBSOCKETS, "WebSockets opened");
    describe_counter!(MESSAGES, "Messages taken by HTTPS");
}

pub(crate) fn messages_taken(count: usize) {
    counter!(MESSAGES).increment(u64::try_from(count).unwrap_or(u64::MAX));
}

pub(crate) fn accept_failed(error: &std::io::Error) {
    tracing::warn!(%error, "the HTTPS door cannot accept a connection");
}

pub(crate) fn opened(address: Option<SocketAddr>) {
    tracing::info!(address = address.map(tracing::field::display), "the HTTPS door is open");
}

pub(crate) fn closed(left: usize) {
    if left == 0 {
        tracing::info!("the HTTPS door is closed");
    } else {
        tracing::warn!(left, "the HTTPS door is closed before these connections ended");
    }
}

pub(crate) fn connection_broken(peer: SocketAddr, error: &dyn std::error::Error) {
    tracing::debug!(%peer, %error, "an HTTPS connection broke");
}

pub(crate) fn refused(tracking_id: &str, code: u32, text: &str) {
    tracing::debug!(tracking_id, code, text, "a request of a device was refused");
}
