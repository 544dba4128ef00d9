//! The sections of the configuration file as they are written. Those of other parts (`journal`, endpoints, routes) are defined there.

use std::net::SocketAddr;
use std::path::PathBuf;

use millrace_ingest::AcknowledgeLevel;
use serde::Deserialize;

/// `[hub]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HubSection {
    /// Name of the hub in enrichments (`$iothubname`).
    pub(crate) name: String,
    /// Names under which devices reach this hub; the first one goes into connection strings. Tokens for other names are refused.
    pub(crate) host_names: Vec<String>,
}

impl Default for HubSection {
    fn default() -> Self {
        Self { name: "millrace".to_owned(), host_names: vec!["localhost".to_owned()] }
    }
}

/// `[mqtt]` and `[mqtts]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListenerSection {
    /// Address to listen on; without it 127.0.0.1 and the standard port, if no other listener is named.
    pub(crate) listen: Option<SocketAddr>,
    /// `memory`, `disk` or `kafka`.
    pub(crate) acknowledge: AcknowledgeLevel,
}

/// `[database]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DatabaseSection {
    /// File that holds the URL of a PostgreSQL database (`postgres://user:password@host/name`); without it, SQLite in the data directory.
    pub(crate) url_file: Option<PathBuf>,
}

/// `[admin]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AdminSection {
    /// Address of metrics, health and the service API.
    pub(crate) listen: Option<SocketAddr>,
}

/// `[tls]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsSection {
    /// PEM file of the certificate chain; without it a private CA is made in the data directory.
    pub(crate) certificate: Option<PathBuf>,
    /// PEM file of its private key.
    pub(crate) key: Option<PathBuf>,
}

/// `[ingest]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct IngestSection {
    /// Number of shards; 0: one for each core. Journals that a larger number has left are still read and delivered.
    pub(crate) shards: u16,
    /// Bind each shard to a core.
    pub(crate) pin_cores: bool,
    /// Connections of one shard.
    pub(crate) connections_max: usize,
    /// New sessions a second on one shard; 0: no limit.
    pub(crate) connect_rate_max: u32,
    /// Seconds for the TLS handshake and the whole CONNECT.
    pub(crate) connect_seconds_max: u32,
}

impl Default for IngestSection {
    fn default() -> Self {
        Self { shards: 0, pin_cores: false, connections_max: 1_000_000, connect_rate_max: 0, connect_seconds_max: 10 }
    }
}

/// `[shutdown]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ShutdownSection {
    /// Seconds that sinks have for what is left; the rest stays in the journal.
    pub(crate) drain_seconds: u64,
}

impl Default for ShutdownSection {
    fn default() -> Self {
        Self { drain_seconds: 20 }
    }
}

/// `[dead_letter]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DeadLetterSection {
    /// Bytes that dead letters may take in the data directory.
    pub(crate) bytes_max: u64,
}

impl Default for DeadLetterSection {
    fn default() -> Self {
        Self { bytes_max: 1 << 30 }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogSection {
    /// `text` or `json`.
    pub(crate) format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, or a filter such as `info,millrace_ingest=debug`.
    pub(crate) level: String,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}
