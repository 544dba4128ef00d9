//! Alerts that go to a Kafka topic: the alerts sink's idea of a publisher, served by the Kafka sink's connection settings.

use anyhow::Context as _;
use millrace_sinks_alerts::{EventPublisher, PublishError};
use millrace_sinks_kafka::{KafkaConfig, Topic, TopicError};

/// Publishes to one topic.
pub(crate) struct TopicPublisher(Topic);

impl TopicPublisher {
    pub(crate) fn new(config: &KafkaConfig, topic: &str) -> anyhow::Result<Self> {
        Ok(Self(Topic::open(config, topic).with_context(|| format!("topic {topic}"))?))
    }
}

impl EventPublisher for TopicPublisher {
    fn publish(&self, key: &[u8], payload: &[u8]) -> Result<(), PublishError> {
        self.0.publish(key, payload).map_err(|error| match error {
            TopicError::Refused(reason) => PublishError::Refused(reason),
            TopicError::Unavailable(reason) => PublishError::Unavailable(reason),
        })
    }
}
