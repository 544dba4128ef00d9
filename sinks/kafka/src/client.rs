//! librdkafka's producer: takes records, collects delivery reports, notices outages. Knows nothing of batches.
//! - Shape: [`Client::send`] hands over one record with a ticket; [`Client::reports`] gives back tickets with their outcome.
//! - Invariants: with `enable.gapless.guarantee` a producer that fails a record for good sends nothing after it, so order holds;
//!   it then is useless and has to be replaced.
//! - Limits: librdkafka's queue holds `in_flight_messages`; there is at most one report for each of them.
//! - Errors: [`Sent`] and [`Verdict`] say what to do; the library's error codes end here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig};

use crate::events::{Counters, OutageBegan, OutageEnded, library_line};

/// Most events served by one call without waiting; each may carry thousands of reports.
const EVENTS_MAX: usize = 64;

/// How long a purged producer may take to report what it purged.
const PURGE_WAIT: Duration = Duration::from_millis(200);

/// What became of a record that was offered to the producer.
#[derive(Debug)]
pub(crate) enum Sent {
    /// It is in the queue; a report will come.
    Queued,
    /// The queue is full.
    Full,
    /// It can never be taken, for this reason.
    Refused(String),
    /// Nothing can be taken now, for this reason.
    Failed(String),
}

/// What a report says about one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All in-sync replicas have it.
    Acknowledged,
    /// The broker refuses the request it was in: this record, or one beside it.
    Suspect(RDKafkaErrorCode),
    /// It was not stored, by no fault of its own.
    Failed(RDKafkaErrorCode),
}

/// The outcome of one record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    pub(crate) ticket: usize,
    pub(crate) verdict: Verdict,
}

/// Whether brokers can be reached; outlives the producers.
pub(crate) struct Outage {
    sink: String,
    counters: Counters,
    is_on: AtomicBool,
    reason: Mutex<String>,
    /// What was last said about a single broker: tells more than that none is left.
    detail: Mutex<String>,
}

impl Outage {
    pub(crate) fn new(sink: &str, counters: Counters) -> Arc<Self> {
        let sink = sink.to_owned();
        Arc::new(Self {
            sink,
            counters,
            is_on: AtomicBool::new(false),
            reason: Mutex::default(),
            detail: Mutex::default(),
        })
    }

    pub(crate) fn begin(&self, reason: &str) {
        reason.clone_into(&mut lock(&self.reason));
        if !self.is_on.swap(true, Ordering::AcqRel) {
            OutageBegan { sink: &self.sink, reason }.emit(&self.counters);
        }
    }

    pub(crate) fn end(&self) {
        if self.is_on.load(Ordering::Acquire) && self.is_on.swap(false, Ordering::AcqRel) {
            OutageEnded { sink: &self.sink }.emit();
        }
    }

    /// Why nothing goes through, while that is so.
    pub(crate) fn reason(&self) -> Option<String> {
        self.is_on.load(Ordering::Acquire).then(|| lock(&self.reason).clone())
    }
}

/// What librdkafka calls back.
struct Context {
    outage: Arc<Outage>,
    reports: Mutex<Vec<Report>>,
}

impl ClientContext for Context {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, line: &str) {
        library_line(facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            // A fatal error shows in the reports of the records that it hit.
            Some(Code::Fatal) => library_line("FATAL", reason),
            // One of several brokers, or a connection closed while idle; all of them at once is an outage.
            Some(Code::BrokerTransportFailure | Code::OperationTimedOut) => {
                reason.clone_into(&mut lock(&self.outage.detail));
            }
            Some(Code::AllBrokersDown) => {
                let detail = lock(&self.outage.detail).clone();
                self.outage.begin(if detail.is_empty() { reason } else { &detail });
            }
            _ => self.outage.begin(reason),
        }
    }

    fn stats_raw(&self, _statistics: &[u8]) {}
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: usize) {
        let verdict = match result {
            Ok(_) => Verdict::Acknowledged,
            Err((error, _)) => verdict(error),
        };
        lock(&self.reports).push(Report { ticket, verdict });
    }
}

/// One producer.
pub(crate) struct Client {
    producer: BaseProducer<Context>,
    topic: String,
}

impl Client {
    pub(crate) fn new(config: &ClientConfig, topic: &str, outage: &Arc<Outage>) -> Result<Self, String> {
        let context = Context { outage: Arc::clone(outage), reports: Mutex::default() };
        let producer = config.create_with_context(context).map_err(|error| match error {
            // The full text repeats the value, which may be a secret.
            KafkaError::ClientConfig(_, description, name, _) => format!("{name}: {description}"),
            error => error.to_string(),
        })?;
        Ok(Self { producer, topic: topic.to_owned() })
    }

    /// Offers one record to the queue. Never waits.
    pub(crate) fn send(
        &self,
        ticket: usize,
        key: &str,
        payload: &[u8],
        timestamp: i64,
        headers: rdkafka::message::OwnedHeaders,
    ) -> Sent {
        let record = BaseRecord::with_opaque_to(&self.topic, ticket)
            .key(key)
            .payload(payload)
            .timestamp(timestamp)
            .headers(headers);
        match self.producer.send(record) {
            Ok(()) => Sent::Queued,
            Err((error, _)) => self.explain(&error),
        }
    }

    fn explain(&self, error: &KafkaError) -> Sent {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => Sent::Full,
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                Sent::Refused(error_text(RDKafkaErrorCode::MessageSizeTooLarge))
            }
            Some(code) => Sent::Failed(self.failure_text(code)),
            None => Sent::Failed(error.to_string()),
        }
    }

    /// What a failure means for the operator.
    pub(crate) fn failure_text(&self, code: RDKafkaErrorCode) -> String {
        use RDKafkaErrorCode as Code;
        let topic = &self.topic;
        match code {
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
                format!("topic '{topic}' does not exist; create it, or correct `topic`")
            }
            Code::TopicAuthorizationFailed => format!("no permission to write to topic '{topic}'"),
            Code::ClusterAuthorizationFailed => "no permission for idempotent writes on the cluster".to_owned(),
            Code::Fatal | Code::GaplessGuarantee => match self.producer.client().fatal_error() {
                Some((_, reason)) => reason,
                None => error_text(code),
            },
            code => error_text(code),
        }
    }

    /// Serves what is ready, and waits up to `wait` for more.
    pub(crate) fn poll(&self, wait: Duration) {
        if !wait.is_zero() {
            self.producer.poll(wait);
        }
        // One call without waiting serves one event; it does not say whether there was one.
        for _ in 0..EVENTS_MAX {
            let before = lock(&self.producer.context().reports).len();
            self.producer.poll(Duration::ZERO);
            if lock(&self.producer.context().reports).len() == before {
                return;
            }
        }
    }

    /// Moves the collected reports into `into`, which is empty; its memory is used for the next ones.
    pub(crate) fn reports(&self, into: &mut Vec<Report>) {
        std::mem::swap(into, &mut *lock(&self.producer.context().reports));
    }

    /// Gives up all records: each is reported, those on the road too, though they may have been stored.
    pub(crate) fn purge(&self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
        if self.producer.flush(PURGE_WAIT).is_err() {
            library_line("PURGE", "not all records were reported in time");
        }
    }
}

/// The library's words for an error code.
pub(crate) fn error_text(code: RDKafkaErrorCode) -> String {
    code.to_string()
}

fn verdict(error: &KafkaError) -> Verdict {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(
            code @ (Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::InvalidRecord
            | Code::InvalidTimestamp),
        ) => Verdict::Suspect(code),
        Some(code) => Verdict::Failed(code),
        None => Verdict::Failed(Code::Unknown),
    }
}

/// No code panics while it holds one of these locks; if it did, the value still is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
