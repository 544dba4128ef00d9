//! What this crate tells the operator: counters, and the few log lines that go with them.
//! - Invariants: one WARN per outage, nothing per message, never a property's value; counters carry the sink's name as their only label.

use metrics::Counter;

/// Messages handed to the producer, repeats included. Less `millrace_kafka_acknowledged_total` and
/// `millrace_kafka_repeated_total`, it says how many are on the road.
const SENT: &str = "millrace_kafka_sent_total";
/// Messages that the brokers acknowledged.
const ACKNOWLEDGED: &str = "millrace_kafka_acknowledged_total";
/// Messages handed to the producer again after it had to be replaced.
const REPEATED: &str = "millrace_kafka_repeated_total";
/// Messages that Kafka can never take.
const DEAD_LETTERS: &str = "millrace_kafka_dead_letters_total";
/// Producers replaced after a failure that they could not survive.
const RESTARTS: &str = "millrace_kafka_restarts_total";
/// Times that no broker could be reached or that all refused.
const OUTAGES: &str = "millrace_kafka_outages_total";

/// The counters of one sink, looked up once.
#[derive(Clone)]
pub(crate) struct Counters {
    pub(crate) sent: Counter,
    pub(crate) acknowledged: Counter,
    pub(crate) repeated: Counter,
    pub(crate) dead_letters: Counter,
    pub(crate) restarts: Counter,
    pub(crate) outages: Counter,
}

impl Counters {
    pub(crate) fn new(sink: &str) -> Self {
        let counter = |name: &'static str| metrics::counter!(name, "sink" => sink.to_owned());
        Self {
            sent: counter(SENT),
            acknowledged: counter(ACKNOWLEDGED),
            repeated: counter(REPEATED),
            dead_letters: counter(DEAD_LETTERS),
            restarts: counter(RESTARTS),
            outages: counter(OUTAGES),
        }
    }
}

/// No broker can be reached, or all refuse. Emitted once until [`OutageEnded`].
pub(crate) struct OutageBegan<'a> {
    pub(crate) sink: &'a str,
    pub(crate) reason: &'a str,
}

impl OutageBegan<'_> {
    pub(crate) fn emit(&self, counters: &Counters) {
        counters.outages.increment(1);
        tracing::warn!(
            sink = self.sink,
            reason = self.reason,
            "kafka is unavailable; the journal keeps what it misses"
        );
    }
}

/// A broker acknowledged something after an outage.
pub(crate) struct OutageEnded<'a> {
    pub(crate) sink: &'a str,
}

impl OutageEnded<'_> {
    pub(crate) fn emit(&self) {
        tracing::info!(sink = self.sink, "kafka is available again");
    }
}

/// The producer was replaced, and what it had not seen acknowledged is sent again.
pub(crate) struct ProducerRestarted<'a> {
    pub(crate) sink: &'a str,
    pub(crate) reason: &'a str,
    /// Messages that are sent again.
    pub(crate) repeated: usize,
}

impl ProducerRestarted<'_> {
    pub(crate) fn emit(&self, counters: &Counters) {
        counters.restarts.increment(1);
        counters.repeated.increment(u64::try_from(self.repeated).unwrap_or(u64::MAX));
        tracing::info!(sink = self.sink, reason = self.reason, repeated = self.repeated, "kafka producer replaced");
    }
}

/// A message went to the dead letters.
pub(crate) struct DeadLettered<'a> {
    pub(crate) sink: &'a str,
    pub(crate) reason: &'a str,
}

impl DeadLettered<'_> {
    pub(crate) fn emit(&self, counters: &Counters) {
        counters.dead_letters.increment(1);
        tracing::debug!(sink = self.sink, reason = self.reason, "message dead-lettered");
    }
}

/// A line of librdkafka's own log. It repeats itself while a broker is down, so it stays at DEBUG; what matters of it comes
/// as an error too and becomes [`OutageBegan`].
pub(crate) fn library_line(facility: &str, line: &str) {
    tracing::debug!(target: "librdkafka", facility, line);
}
