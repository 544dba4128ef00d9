//! A topic that takes single records and says at once whether they are safe: for events that are few, such as alerts.
//! - Invariants: idempotent and `acks=all` like the sink; [`Topic::publish`] returns `Ok` when the replicas have the record.
//! - Limits: one record at a time, [`PUBLISH_WAIT`] for each.
//! - Errors: [`TopicError`]: whether trying again makes sense. A record whose time was over may still have been stored.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use millrace_model::Timestamp;
use rdkafka::config::ClientConfig;
use rdkafka::message::OwnedHeaders;

use crate::client::{Client, Outage, Report, Sent, Verdict, error_text};
use crate::config::KafkaConfig;
use crate::events::Counters;

/// How long a record may be on its way.
const PUBLISH_WAIT: Duration = Duration::from_secs(5);

/// A producer has one record at a time.
const TICKET: usize = 0;

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

/// See the module's documentation.
pub struct Topic {
    settings: ClientConfig,
    name: String,
    outage: Arc<Outage>,
    /// A producer that failed a record for good is of no more use; the next record gets a new one.
    client: Mutex<Option<Client>>,
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
        let settings = config.client_config(topic).map_err(TopicError::Refused)?;
        let outage = Outage::new(topic, Counters::new(topic));
        let client = Client::new(&settings, topic, &outage).map_err(TopicError::Refused)?;
        Ok(Self { settings, name: topic.to_owned(), outage, client: Mutex::new(Some(client)) })
    }

    /// Publishes one record and waits until it is safe.
    ///
    /// # Errors
    /// See [`TopicError`].
    pub fn publish(&self, key: &[u8], payload: &[u8]) -> Result<(), TopicError> {
        let key = std::str::from_utf8(key).map_err(|_| TopicError::Refused("the key is not UTF-8".to_owned()))?;
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let client = match kept.take() {
            Some(client) => client,
            None => Client::new(&self.settings, &self.name, &self.outage).map_err(TopicError::Unavailable)?,
        };
        let now = Timestamp::from(SystemTime::now());
        let result = match client.send(TICKET, key, payload, now.0, OwnedHeaders::new()) {
            Sent::Queued => wait_for_report(&client),
            Sent::Full => Err(TopicError::Unavailable("the producer's queue is full".to_owned())),
            Sent::Failed(reason) => Err(TopicError::Unavailable(reason)),
            Sent::Refused(reason) => Err(TopicError::Refused(reason)),
        };
        if result.is_ok() {
            *kept = Some(client);
        }
        result
    }
}

fn wait_for_report(client: &Client) -> Result<(), TopicError> {
    let deadline = Instant::now() + PUBLISH_WAIT;
    let mut reports: Vec<Report> = Vec::new();
    while Instant::now() < deadline {
        client.poll(POLL_WAIT);
        client.reports(&mut reports);
        if let Some(report) = reports.first() {
            return match report.verdict {
                Verdict::Acknowledged => Ok(()),
                Verdict::Suspect(code) => Err(TopicError::Refused(error_text(code))),
                Verdict::Failed(code) => Err(TopicError::Unavailable(client.failure_text(code))),
            };
        }
    }
    client.purge();
    Err(TopicError::Unavailable("no answer in time".to_owned()))
}
