//! Configuration of the ingest tier, resolved.

use std::net::SocketAddr;

/// How safe a message is before its sender is told so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AcknowledgeLevel {
    /// In this process's memory: lost with the process.
    Memory,
    /// Written to the journal and synced: survives kill -9 and power loss.
    #[default]
    Disk,
    /// Also acknowledged by Kafka for every Kafka endpoint that its routes name.
    Kafka,
}

/// What lies between TCP and MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Nothing.
    Tcp,
    /// TLS 1.2 or 1.3.
    Tls,
}

/// One address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Address; port 0 picks a free one.
    pub address: SocketAddr,
    /// Plain or TLS.
    pub transport: Transport,
    /// When its senders get their PUBACK.
    pub acknowledge: AcknowledgeLevel,
}

/// The ingest tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestConfig {
    /// Number of shards, each a thread with a journal.
    pub shards: u16,
    /// Bind each shard to a core.
    pub pin_cores: bool,
    /// Addresses.
    pub listeners: Vec<ListenerConfig>,
    /// Connections that one shard holds at once; more are closed at accept.
    pub connections_max: usize,
    /// New sessions a second on one shard; more are refused with "server unavailable". 0: no limit.
    pub connect_rate_max: u32,
    /// Seconds for the TLS handshake and the whole CONNECT.
    pub connect_seconds_max: u32,
    /// Names that a token may be made out for; empty: whatever host name the client says it dialled.
    pub host_names: Vec<String>,
}
