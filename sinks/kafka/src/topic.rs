//! A topic that takes single records and says at once whether they are safe: for events that are few, such as alerts.
//! - Invariants: idempotent and `acks=all` like the sink; [`Topic::publish`] returns `Ok` when the replicas have the record.
//! - Limits: one record at a time, [`PUBLISH_WAIT`] for each.
//! - Errors: [`TopicError`]: whether trying again makes sense. A record whose time was over may still have been stored.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use millrace_model::Timestamp;
use rdkafka::message::OwnedHeaders;

use crate::client::{Client, Outage, Report, Sent, Verdict, error_text};
use crate::config::KafkaConfig;
use crate::events::Counters;

/// How long a record may be on its way.
const PUBLISH_WAIT: Duration = Duration::from_secs(5);

/// How long one look for the record's report waits.
const POLL_WAIT: Duration = Duration::from_millis(10);

/// Why a record was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// It will never be taken.
    #[error("the record is refused: {0}")]
    Refused(String),
    /// It may be taken later.
    #[error("the topic is unavailable: {0}")]
    Unavailable(String),
}

/// See the module's documentation. Called by one thread at a time.
pub struct Topic {
    client: Client,
    ticket: AtomicUsize,
}

impl std::fmt::Debug for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topic").finish_non_exhaustive()
    }
}

impl Topic {
    /// Opens a topic with the connection settings of a sink.
    ///
    /// # Errors
    /// When librdkafka does not take the settings.
    pub fn open(config: &KafkaConfig, topic: &str) -> Result<Self, TopicError> {
        let outage = Outage::new(topic, Counters::new(topic));
        let settings = config.client_config(topic).map_err(TopicError::Refused)?;
        let client = Client::new(&settings, topic, &outage).map_err(TopicError::Refused)?;
        Ok(Self { client, ticket: AtomicUsize::new(0) })
    }

    /// Publishes one record and waits until it is safe.
    ///
    /// # Errors
    /// See [`TopicError`].
    pub fn publish(&self, key: &[u8], payload: &[u8]) -> Result<(), TopicError> {
        let key = std::str::from_utf8(key).map_err(|_| TopicError::Refused("the key is not UTF-8".to_owned()))?;
        let ticket = self.ticket.fetch_add(1, Ordering::Relaxed);
        let now = Timestamp::from(SystemTime::now());
        match self.client.send(ticket, key, payload, now.0, OwnedHeaders::new()) {
            Sent::Queued => self.wait_for(ticket),
            Sent::Full => Err(TopicError::Unavailable("the producer's queue is full".to_owned())),
            Sent::Failed(reason) => Err(TopicError::Unavailable(reason)),
            Sent::Refused(reason) => Err(TopicError::Refused(reason)),
        }
    }

    fn wait_for(&self, ticket: usize) -> Result<(), TopicError> {
        let deadline = Instant::now() + PUBLISH_WAIT;
        let mut reports: Vec<Report> = Vec::new();
        while Instant::now() < deadline {
            self.client.poll(POLL_WAIT);
            reports.clear();
            self.client.reports(&mut reports);
            if let Some(report) = reports.iter().find(|report| report.ticket == ticket) {
                return match report.verdict {
                    Verdict::Acknowledged => Ok(()),
                    Verdict::Suspect(code) => Err(TopicError::Refused(error_text(code))),
                    Verdict::Failed(code) => Err(TopicError::Unavailable(self.client.failure_text(code))),
                };
            }
        }
        self.client.purge();
        Err(TopicError::Unavailable("no answer in time".to_owned()))
    }
}
