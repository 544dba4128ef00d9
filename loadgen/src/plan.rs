//! The plan of a run: everything a run is, from a TOML file, from flags, or from a parent process.
//! - Units: in the names of the fields.
//! - Invariants: a plan that `validate` finds nothing wrong with can be run; checks need no network.
//! - Not here: command line flags (`cli`), what the fields turn into while running (`engine::settings`).

pub(crate) mod phase;
pub(crate) mod scenario;
mod validate;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use phase::{Phase, PhaseKind};

/// The version of MQTT to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
pub enum Protocol {
    /// MQTT 3.1.1.
    #[default]
    #[serde(rename = "3.1.1")]
    #[value(name = "3.1.1")]
    Mqtt311,
    /// MQTT 5.
    #[serde(rename = "5")]
    #[value(name = "5")]
    Mqtt5,
}

/// How the sends of an open loop are spread over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Arrival {
    /// Equal intervals per connection, each connection starting at a random point of its interval.
    #[default]
    Uniform,
    /// Independent exponential intervals.
    Poisson,
}

/// Where the run id, number and checksum of a message travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum StampPlace {
    /// No stamp: the run can't be verified.
    #[default]
    None,
    /// First field of the JSON object in the body.
    Body,
    /// An application property.
    Property,
}

/// How a trace file is cut into devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum TraceDevices {
    /// A column names the device of a row.
    #[default]
    Column,
    /// Each value column is a device of its own.
    EachColumn,
    /// Every connection plays every row.
    All,
}

/// A recorded trace that is played instead of a rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Replay {
    /// CSV file with a header line.
    pub file: PathBuf,
    /// Name of the column with the time: RFC 3339, `YYYY-MM-DD HH:MM:SS` (UTC), or UNIX seconds or milliseconds. Default: the first column.
    pub timestamp_column: Option<String>,
    /// Name of the column that names the device. Default: the second column.
    pub device_column: Option<String>,
    /// How rows become devices. Default `column`.
    pub devices: TraceDevices,
    /// How many times faster than recorded. Default 1.
    pub time_compression: f64,
    /// Start again at the end. Default false.
    pub looped: bool,
    /// Refuse a trace that needs more memory than this. Default 1 GiB.
    pub memory_bytes_max: u64,
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            file: PathBuf::new(),
            timestamp_column: None,
            device_column: None,
            devices: TraceDevices::Column,
            time_compression: 1.0,
            looped: false,
            memory_bytes_max: 1 << 30,
        }
    }
}

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// Address of the server. Default `127.0.0.1:1883`.
    pub target: String,
    /// Speak TLS. Default false.
    pub tls: bool,
    /// Certificates (PEM) to trust.
    pub ca_file: Option<PathBuf>,
    /// Accept any certificate. Default false.
    pub insecure_skip_verify: bool,
    /// Share of TLS connections that try to resume an earlier session. Default 100.
    pub tls_resume_percent: u8,
    /// Version of MQTT. Default 3.1.1.
    pub protocol: Protocol,
    /// 0 or 1. Default 1.
    pub qos: u8,
    /// Topic for a plain broker; `{id}` is the device. Without it the run speaks to a hub, on the hub's topics.
    pub topic: Option<String>,
    /// The host name that devices give in user name and token. Default: the host of `target`.
    pub host_name: Option<String>,
    /// CSV of device id and base64 key.
    pub devices_file: Option<PathBuf>,
    /// Device ids are this and a number. Default `dev-`.
    pub device_prefix: String,
    /// Number of the first device. Default 0.
    pub device_first: u64,
    /// File with one base64 key for all numbered devices.
    pub key_file: Option<PathBuf>,
    /// Life of a token. Default 86,400.
    pub token_seconds: u64,
    /// User name for a plain broker.
    pub user_name: Option<String>,
    /// File with the password for a plain broker.
    pub password_file: Option<PathBuf>,
    /// Connections, one device each. Default 1; with `devices_file` at most its rows.
    pub connections: u32,
    /// New connections a second, for ramp, storm and churn; 0 is as fast as possible. Default 1,000.
    pub connect_rate: f64,
    /// Give up a connection attempt after this. Default 30.
    pub connect_timeout_seconds: u64,
    /// MQTT keep alive. Default 60.
    pub keep_alive_seconds: u16,
    /// Ask for a clean session. Default true.
    pub clean_start: bool,
    /// Source addresses, `127.0.0.1-127.0.0.50` or a list with commas; used in turn.
    pub source: Option<String>,
    /// Messages a second of all connections together. Default 0: none, unless `rate_per_connection`.
    pub rate: f64,
    /// Messages a second of each connection; wins over `rate`.
    pub rate_per_connection: Option<f64>,
    /// Spread of the sends. Default uniform.
    pub arrival: Arrival,
    /// Closed loop: this many unacknowledged messages per connection, always.
    pub window: Option<u16>,
    /// Open loop: at most this many unacknowledged messages per connection; more are sent late. Default 100.
    pub in_flight_max: u16,
    /// Bytes of a generated body. Default 92.
    pub payload_bytes: u32,
    /// Body with variables; wins over `payload_bytes`.
    pub template: Option<String>,
    /// Play a trace.
    pub replay: Option<Replay>,
    /// Application properties of every message.
    pub properties: BTreeMap<String, String>,
    /// Content type of every message.
    pub content_type: Option<String>,
    /// Content encoding of every message.
    pub content_encoding: Option<String>,
    /// Number and sign every message, so that it can be verified. Default none.
    pub stamp: StampPlace,
    /// Where to write what was acknowledged; needs `stamp`.
    pub ledger: Option<PathBuf>,
    /// What happens after all have connected. Default: one hold of 10 s.
    pub phases: Vec<Phase>,
    /// Time that the last acknowledgements get. Default 10.
    pub drain_seconds: u64,
    /// Threads of each process. Default 1.
    pub threads: u16,
    /// Processes. Default 1; each may open 20,000 files on many systems.
    pub processes: u16,
    /// Start of all random numbers. Default 1.
    pub seed: u64,
    /// Processes of the server, whose CPU and memory belong in the report.
    pub pids: Vec<u32>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            target: "127.0.0.1:1883".to_owned(),
            tls: false,
            ca_file: None,
            insecure_skip_verify: false,
            tls_resume_percent: 100,
            protocol: Protocol::Mqtt311,
            qos: 1,
            topic: None,
            host_name: None,
            devices_file: None,
            device_prefix: "dev-".to_owned(),
            device_first: 0,
            key_file: None,
            token_seconds: 86_400,
            user_name: None,
            password_file: None,
            connections: 1,
            connect_rate: 1_000.0,
            connect_timeout_seconds: 30,
            keep_alive_seconds: 60,
            clean_start: true,
            source: None,
            rate: 0.0,
            rate_per_connection: None,
            arrival: Arrival::Uniform,
            window: None,
            in_flight_max: 100,
            payload_bytes: 92,
            template: None,
            replay: None,
            properties: BTreeMap::new(),
            content_type: None,
            content_encoding: None,
            stamp: StampPlace::None,
            ledger: None,
            phases: vec![Phase::hold(10.0)],
            drain_seconds: 10,
            threads: 1,
            processes: 1,
            seed: 1,
            pids: Vec::new(),
        }
    }
}

impl Plan {
    /// The host part of the target.
    #[must_use]
    pub fn target_host(&self) -> &str {
        self.target.rsplit_once(':').map_or(self.target.as_str(), |(host, _)| host).trim_matches(['[', ']'])
    }

    /// The host name that devices claim.
    #[must_use]
    pub fn hub_host(&self) -> &str {
        self.host_name.as_deref().unwrap_or_else(|| self.target_host())
    }

    /// Messages a second of one connection, where `phase_rate` is a phase's own total.
    #[must_use]
    pub fn connection_rate(&self, phase_rate: Option<f64>) -> f64 {
        let shared = |total: f64| total / f64::from(self.connections.max(1));
        match (phase_rate, self.rate_per_connection) {
            (Some(total), _) => shared(total),
            (None, Some(each)) => each,
            (None, None) => shared(self.rate),
        }
    }

    /// The same plan for one of several processes: a range of the devices, and the share of every total.
    #[must_use]
    pub fn share(&self, process: u16) -> Self {
        let processes = u32::from(self.processes.max(1));
        let number = u32::from(process);
        let each = self.connections / processes;
        let larger = self.connections % processes;
        let connections = each + u32::from(number < larger);
        let first = each * number + number.min(larger);
        let share = f64::from(connections) / f64::from(self.connections.max(1));
        let mut plan = self.clone();
        plan.connections = connections;
        plan.device_first = self.device_first + u64::from(first);
        plan.rate = self.rate * share;
        plan.connect_rate = self.connect_rate * share;
        for phase in &mut plan.phases {
            phase.rate = phase.rate.map(|rate| rate * share);
            phase.connect_rate = phase.connect_rate.map(|rate| rate * share);
        }
        plan.processes = 1;
        plan.pids = Vec::new();
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_a_plan_add_up_to_it() {
        let plan = Plan { connections: 10, rate: 100.0, processes: 3, ..Plan::default() };
        let shares: Vec<Plan> = (0..3).map(|process| plan.share(process)).collect();
        assert_eq!(shares.iter().map(|share| share.connections).sum::<u32>(), 10);
        assert_eq!(shares.iter().map(|share| share.device_first).collect::<Vec<_>>(), [0, 4, 7]);
        assert!((shares.iter().map(|share| share.rate).sum::<f64>() - 100.0).abs() < 1e-9);
    }

    #[test]
    fn a_plan_survives_the_way_to_another_process() {
        let plan = Plan { replay: Some(Replay::default()), window: Some(16), ..Plan::default() };
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        assert!(toml::from_str::<Plan>("conections = 3").unwrap_err().to_string().contains("conections"));
    }
}
