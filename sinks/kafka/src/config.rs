//! What the configuration file says about one Kafka sink, and what librdkafka is told because of it.
//! - Invariants: what the guarantee rests on (`acks`, idempotence, partitioner, bounds) cannot be overridden; secrets are
//!   neither shown by `Debug` nor repeated in a problem report.
//! - Errors: [`KafkaConfig::validate`] lists all problems in words for the operator.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use serde::Deserialize;

/// Longest topic name that Kafka takes.
const TOPIC_LENGTH_MAX: usize = 249;

/// Ending of a property whose value is the path of a file that holds the real value.
const FILE_SUFFIX: &str = "_file";

/// Properties that this crate sets itself: the guarantee, the bounds or the order rest on them.
const OWN_PROPERTIES: [&str; 27] = [
    "acks",
    "batch.num.messages",
    "batch.size",
    "bootstrap.servers",
    "compression.codec",
    "compression.type",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "linger.ms",
    "log_level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.max.bytes",
    "message.send.max.retries",
    "message.timeout.ms",
    "metadata.broker.list",
    "partitioner",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "queuing.strategy",
    "request.required.acks",
    "retries",
    "statistics.interval.ms",
    "transactional.id",
];

/// Which headers a record gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeaderSet {
    /// `millrace-offset` and the properties that the message carries.
    #[default]
    Lean,
    /// The lean set, and all facts that the hub states about sender and time.
    Hub,
}

/// How record batches are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// Fast.
    #[default]
    Lz4,
    /// Smaller.
    Zstd,
}

impl Compression {
    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// One Kafka sink.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaConfig {
    /// Brokers to ask first, `host:port` joined by commas. Default `127.0.0.1:9092`.
    pub bootstrap_servers: String,
    /// Topic that takes all records. Default `telemetry`.
    pub topic: String,
    /// Compression of record batches: `none`, `lz4` or `zstd`. Default `lz4`.
    pub compression: Compression,
    /// Headers of each record: `lean` or `hub`. Default `lean`.
    pub headers: HeaderSet,
    /// How long a record waits for company before it is sent, in milliseconds, at most 1,000. Default 5.
    pub linger_ms: u32,
    /// Largest record, key and headers included. A larger message goes to the dead letters; set it no higher than the
    /// topic's `max.message.bytes`. 1,024 to 64 MiB. Default 1,000,000.
    pub message_bytes_max: u32,
    /// Messages handed to the producer and not yet acknowledged, 1,000 to 10,000,000. Default 100,000.
    pub in_flight_messages: u32,
    /// Bytes of the same, and of the batches they stand in; 1 MiB to 1 GiB. Default 64 MiB.
    pub in_flight_bytes: u32,
    /// Further properties of librdkafka, for TLS and SASL above all. The name of any of them may end in `_file`: then the value
    /// is the path of a file whose first line is the real value. Default none.
    pub properties: BTreeMap<String, String>,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            bootstrap_servers: "127.0.0.1:9092".to_owned(),
            topic: "telemetry".to_owned(),
            compression: Compression::default(),
            headers: HeaderSet::default(),
            linger_ms: 5,
            message_bytes_max: 1_000_000,
            in_flight_messages: 100_000,
            in_flight_bytes: 64 * 1024 * 1024,
            properties: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: BTreeMap<&str, &str> = self
            .properties
            .iter()
            .map(|(name, value)| (name.as_str(), if is_secret(name) { "***" } else { value.as_str() }))
            .collect();
        f.debug_struct("KafkaConfig")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("topic", &self.topic)
            .field("compression", &self.compression)
            .field("headers", &self.headers)
            .field("linger_ms", &self.linger_ms)
            .field("message_bytes_max", &self.message_bytes_max)
            .field("in_flight_messages", &self.in_flight_messages)
            .field("in_flight_bytes", &self.in_flight_bytes)
            .field("properties", &shown)
            .finish()
    }
}

impl KafkaConfig {
    /// All problems, in words for the operator; empty when there are none. Reads no file and opens no connection.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.bootstrap_servers.split(',').any(|server| server.trim().is_empty()) {
            problems.push("bootstrap_servers: needs one or more host:port joined by commas".to_owned());
        }
        problems.extend(topic_problem(&self.topic));
        let ranges = [
            ("linger_ms", self.linger_ms, 0, 1_000),
            ("message_bytes_max", self.message_bytes_max, 1_024, 64 * 1024 * 1024),
            ("in_flight_messages", self.in_flight_messages, 1_000, 10_000_000),
            ("in_flight_bytes", self.in_flight_bytes, 1024 * 1024, 1024 * 1024 * 1024),
        ];
        for (name, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                problems.push(format!("{name}: {value} is not between {low} and {high}"));
            }
        }
        problems.extend(self.properties.iter().filter_map(|(name, value)| property_problem(name, value)));
        problems
    }

    /// Everything librdkafka is told, but for what changes from one producer to the next.
    pub(crate) fn client_config(&self, sink: &str) -> Result<ClientConfig, String> {
        let mut config = ClientConfig::new();
        config
            .set("client.id", format!("millrace-{sink}"))
            // A broker that comes back is met within a second, and a missing topic is named after five.
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.propagation.max.ms", "5000");
        for (name, value) in &self.properties {
            match name.strip_suffix(FILE_SUFFIX) {
                Some(name) => config.set(name, first_line(name, value)?),
                None => config.set(name, value),
            };
        }
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            // Of five requests on the road, one that fails for good must not be overtaken by the next.
            .set("enable.gapless.guarantee", "true")
            // The hash of Kafka's own clients, so that others who produce for a device meet its partition.
            .set("partitioner", "murmur2_random")
            // The journal decides how long a message is kept, so none ever times out here.
            .set("message.timeout.ms", "0")
            .set("compression.type", self.compression.name())
            .set("linger.ms", self.linger_ms.to_string())
            .set("message.max.bytes", self.message_bytes_max.to_string())
            .set("queue.buffering.max.messages", self.in_flight_messages.to_string())
            .set("queue.buffering.max.kbytes", (self.in_flight_bytes / 1024).to_string());
        Ok(config)
    }
}

fn topic_problem(topic: &str) -> Option<String> {
    let legal = topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let good = legal && (1..=TOPIC_LENGTH_MAX).contains(&topic.len()) && topic != "." && topic != "..";
    (!good).then(|| format!("topic: '{topic}' is not a topic name (1 to 249 of a-z A-Z 0-9 . _ -)"))
}

fn property_problem(name: &str, value: &str) -> Option<String> {
    let (name, from_file) = match name.strip_suffix(FILE_SUFFIX) {
        Some(name) => (name, true),
        None => (name, false),
    };
    if OWN_PROPERTIES.contains(&name) {
        return Some(format!("properties: '{name}' is set by the sink itself and cannot be changed"));
    }
    // A value from a file is known only later; the name can be checked with any value that is text.
    let probe = ClientConfig::new().set(name, if from_file { "" } else { value }).create_native_config();
    match probe {
        Err(KafkaError::ClientConfig(rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            Some(format!("properties: '{name}' is not a property of librdkafka"))
        }
        Err(_) if from_file => None,
        Err(_) if is_secret(name) => Some(format!("properties: the value of '{name}' is not valid")),
        Err(KafkaError::ClientConfig(_, description, ..)) => Some(format!("properties: {name}: {description}")),
        Err(_) => Some(format!("properties: '{name}' is not valid")),
        Ok(_) => None,
    }
}

/// Whether the value of a property must not be shown. A path to a secret may be.
fn is_secret(name: &str) -> bool {
    !name.ends_with(FILE_SUFFIX)
        && (name.contains("password")
            || name.contains("secret")
            || name.ends_with(".pem")
            || name == "sasl.oauthbearer.config")
}

fn first_line(name: &str, path: &str) -> Result<String, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("properties: {name}{FILE_SUFFIX}: {path}: {error}"))?;
    // A PEM value has many lines; anything else is one line, whatever the editor put after it.
    Ok(if name.ends_with(".pem") { text } else { text.lines().next().unwrap_or_default().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Client, Outage};
    use crate::events::Counters;

    fn problems(text: &str) -> Vec<String> {
        toml::from_str::<KafkaConfig>(text).unwrap().validate()
    }

    fn create(config: &KafkaConfig) -> Result<(), String> {
        let outage = Outage::new("test", Counters::new("test"));
        Client::new(&config.client_config("test")?, &config.topic, &outage).map(drop)
    }

    #[test]
    fn defaults_are_valid() {
        assert_eq!(problems(""), [""; 0]);
        assert_eq!(create(&KafkaConfig::default()), Ok(()));
        assert!(toml::from_str::<KafkaConfig>("topics = 'x'").is_err());
    }

    #[test]
    fn all_problems_are_listed_at_once() {
        let found = problems(
            "bootstrap_servers = 'a:1,,b:2'\ntopic = 'a/b'\nlinger_ms = 5000\nin_flight_bytes = 1\n\
             [properties]\n'acks' = '1'\n'enable.idempotence_file' = '/x'\n'secruity.protocol' = 'SSL'\n\
             'security.protocol' = 'TLS'\n'sasl.pasword_file' = '/x'",
        );
        let expected = [
            "bootstrap_servers: needs",
            "topic: 'a/b'",
            "linger_ms: 5000",
            "in_flight_bytes: 1 ",
            "properties: 'acks' is set by the sink",
            "properties: 'enable.idempotence' is set by the sink",
            "properties: 'sasl.pasword' is not a property",
            "properties: 'secruity.protocol' is not a property",
            "properties: security.protocol: Invalid value",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        let mut found = found;
        found.sort();
        let mut expected = expected;
        expected.sort_unstable();
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found} / {expected}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut config = KafkaConfig::default();
        for name in ["sasl.password", "ssl.key.password", "ssl.key.pem", "sasl.oauthbearer.client.secret"] {
            config.properties.insert(name.to_owned(), "hunter2".to_owned());
        }
        config.properties.insert("sasl.username".to_owned(), "millrace".to_owned());
        let shown = format!("{config:?} {:?}", config.validate());
        assert!(shown.contains("millrace") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn tls_and_sasl_pass_through_and_secrets_come_from_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        std::fs::write(&path, "hunter2\n").unwrap();
        let text = format!(
            "compression = 'zstd'\nheaders = 'hub'\n[properties]\n'security.protocol' = 'SASL_SSL'\n\
             'sasl.mechanism' = 'SCRAM-SHA-512'\n'sasl.username' = 'millrace'\n'sasl.password_file' = '{}'",
            path.display()
        );
        let config: KafkaConfig = toml::from_str(&text).unwrap();
        assert_eq!(config.validate(), [""; 0]);
        assert_eq!(config.client_config("test").unwrap().get("sasl.password"), Some("hunter2"));
        assert_eq!(create(&config), Ok(()));
        std::fs::remove_file(&path).unwrap();
        assert!(create(&config).unwrap_err().contains("sasl.password_file"));
    }

    #[test]
    fn a_certificate_that_is_none_is_refused_without_being_repeated() {
        let mut config = KafkaConfig::default();
        config.properties.insert("security.protocol".to_owned(), "SSL".to_owned());
        config.properties.insert("ssl.key.pem".to_owned(), "hunter2".to_owned());
        let error = create(&config).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
