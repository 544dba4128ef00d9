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
    /// The hub's name in the events that it makes itself.
    pub hub_name: String,
    /// When messages of other doors, and of sessions that came through them, are acknowledged.
    pub acknowledge: AcknowledgeLevel,
    /// Whether a session's begin and end are messages of their own. `None`: where there is a control side.
    pub connection_events: Option<bool>,
    /// What devices may send and how often they may connect.
    pub quotas: QuotasConfig,
}

impl Default for IngestConfig {
    /// One shard without listeners.
    fn default() -> Self {
        Self {
            shards: 1,
            pin_cores: false,
            listeners: Vec::new(),
            connections_max: 100_000,
            connect_rate_max: 0,
            connect_seconds_max: 30,
            host_names: Vec::new(),
            hub_name: "millrace".to_owned(),
            acknowledge: AcknowledgeLevel::Disk,
            connection_events: None,
            quotas: QuotasConfig::default(),
        }
    }
}

/// Bounds on what devices send. Everything is unlimited by default.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuotasConfig {
    /// Messages a second of one device or module; who sends more is read, and so acknowledged, later. 0 (default): no limit.
    pub device_messages_per_second: u32,
    /// Messages a second of all devices of this node, an equal share for each shard. 0 (default): no limit.
    pub hub_messages_per_second: u32,
    /// Seconds' worth of messages that may come at once. Default 2.
    pub burst_seconds: u32,
    /// Seconds without pause over its limit after which a device's session ends. 0: it never does. Default 60.
    pub violation_seconds: u32,
    /// New sessions a second of this node, an equal share for each shard; more are told to try later. 0 (default): no limit.
    pub hub_connects_per_second: u32,
    /// Messages a day (UTC) that this node takes since it was started; then sessions that send more end. 0 (default): no limit.
    pub hub_messages_per_day: u64,
}

impl Default for QuotasConfig {
    fn default() -> Self {
        Self {
            device_messages_per_second: 0,
            hub_messages_per_second: 0,
            burst_seconds: 2,
            violation_seconds: 60,
            hub_connects_per_second: 0,
            hub_messages_per_day: 0,
        }
    }
}

impl QuotasConfig {
    /// All that is wrong with it.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(1..=3600).contains(&self.burst_seconds) {
            problems.push("quotas.burst_seconds must be 1 to 3600".to_owned());
        }
        if self.violation_seconds > 86_400 {
            problems.push("quotas.violation_seconds must be at most 86400".to_owned());
        }
        problems
    }
}
