//! The flags of `loadgen run`. Each stands for a field of the plan; a flag wins over the plan file, the file over the scenario.

use std::path::PathBuf;

use clap::Args;

use crate::plan::{Arrival, Phase, PhaseKind, Plan, Protocol, Replay, StampPlace, TraceDevices, scenario};

#[derive(Debug, Default, Args)]
pub(crate) struct RunFlags {
    /// Plan as TOML; flags given as well win.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// A named shape: conn-tcp-10K-500, pipelined, alone, fleet, 100x4, ...
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// No live view.
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Exit 0 even if the generator was the bottleneck; the report still says so.
    #[arg(long)]
    pub(crate) allow_invalid: bool,

    /// Address of the server [default: 127.0.0.1:1883].
    #[arg(long, value_name = "HOST:PORT", help_heading = "Server")]
    target: Option<String>,
    /// Speak TLS.
    #[arg(long, help_heading = "Server")]
    tls: bool,
    /// Certificates (PEM) to trust; implies --tls.
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    ca: Option<PathBuf>,
    /// Accept any certificate; implies --tls.
    #[arg(long, help_heading = "Server")]
    insecure_skip_verify: bool,
    /// Share of TLS connections that try to resume a session [default: 100].
    #[arg(long, value_name = "PERCENT", help_heading = "Server")]
    tls_resume_percent: Option<u8>,
    /// MQTT version [default: 3.1.1].
    #[arg(long, value_enum, help_heading = "Server")]
    protocol: Option<Protocol>,
    /// QoS, 0 or 1 [default: 1].
    #[arg(long, help_heading = "Server")]
    qos: Option<u8>,
    /// Processes of the server: their CPU and memory go into the report.
    #[arg(long, value_name = "PID", help_heading = "Server")]
    pid: Vec<u32>,

    /// Topic of a plain broker, {id} is the device; without it the server is a hub.
    #[arg(long, help_heading = "Devices")]
    topic: Option<String>,
    /// The hub's host name in user names and tokens [default: host of --target].
    #[arg(long, value_name = "NAME", help_heading = "Devices")]
    host_name: Option<String>,
    /// CSV of id,base64 key.
    #[arg(long, value_name = "FILE", help_heading = "Devices")]
    devices: Option<PathBuf>,
    /// Ids are this and a number [default: dev-].
    #[arg(long, value_name = "TEXT", help_heading = "Devices")]
    device_prefix: Option<String>,
    /// Number of the first device (with --devices: rows to skip) [default: 0].
    #[arg(long, value_name = "N", help_heading = "Devices")]
    device_first: Option<u64>,
    /// File with one base64 key for all numbered devices.
    #[arg(long, value_name = "FILE", help_heading = "Devices")]
    key_file: Option<PathBuf>,
    /// User name for a plain broker.
    #[arg(long, value_name = "NAME", help_heading = "Devices")]
    user_name: Option<String>,
    /// File with the password for a plain broker.
    #[arg(long, value_name = "FILE", help_heading = "Devices")]
    password_file: Option<PathBuf>,

    /// Connections, one device each [default: 1].
    #[arg(long, visible_alias = "count", value_name = "N", help_heading = "Connections")]
    connections: Option<u32>,
    /// New connections a second, 0 for as fast as possible [default: 1000].
    #[arg(long, value_name = "N", help_heading = "Connections")]
    connect_rate: Option<f64>,
    /// MQTT keep alive [default: 60].
    #[arg(long, value_name = "SECONDS", help_heading = "Connections")]
    keep_alive: Option<u16>,
    /// Ask for a persistent session.
    #[arg(long, help_heading = "Connections")]
    persistent_session: bool,
    /// Source addresses: 127.0.0.1-127.0.0.50, or a list with commas.
    #[arg(long, value_name = "ADDRESSES", help_heading = "Connections")]
    source: Option<String>,
    /// Threads of each process [default: 1].
    #[arg(long, value_name = "N", help_heading = "Connections")]
    threads: Option<u16>,
    /// Processes [default: 1].
    #[arg(long, value_name = "N", help_heading = "Connections")]
    processes: Option<u16>,

    /// Messages a second, all connections together [default: 0].
    #[arg(long, value_name = "N", help_heading = "Load")]
    rate: Option<f64>,
    /// Messages a second of each connection.
    #[arg(long, value_name = "N", conflicts_with = "rate", help_heading = "Load")]
    rate_per_connection: Option<f64>,
    /// Spread of the sends [default: uniform].
    #[arg(long, value_enum, help_heading = "Load")]
    arrival: Option<Arrival>,
    /// Closed loop: this many unacknowledged messages per connection, always.
    #[arg(long, value_name = "N", help_heading = "Load")]
    window: Option<u16>,
    /// Open loop: at most this many unacknowledged per connection [default: 100].
    #[arg(long, value_name = "N", help_heading = "Load")]
    in_flight_max: Option<u16>,
    /// Seconds that are not measured, before the rest.
    #[arg(long, value_name = "SECONDS", help_heading = "Load")]
    warm_up: Option<f64>,
    /// Seconds of the load [default: 10].
    #[arg(long, value_name = "SECONDS", help_heading = "Load")]
    duration: Option<f64>,
    /// While it lasts, cut this share of the connections every second.
    #[arg(long, value_name = "PERCENT", help_heading = "Load")]
    churn: Option<f64>,
    /// After it, cut all connections at once, and go on for so long.
    #[arg(long, value_name = "SECONDS", help_heading = "Load")]
    storm: Option<f64>,
    /// Time for the last acknowledgements [default: 10].
    #[arg(long, value_name = "SECONDS", help_heading = "Load")]
    drain: Option<u64>,
    /// Start of all random numbers [default: 1].
    #[arg(long, value_name = "N", help_heading = "Load")]
    seed: Option<u64>,

    /// Bytes of a body [default: 92].
    #[arg(long, value_name = "N", help_heading = "Messages")]
    payload_bytes: Option<u32>,
    /// Body with variables, see below.
    #[arg(long, value_name = "TEXT", help_heading = "Messages")]
    template: Option<String>,
    /// CSV trace to play.
    #[arg(long, value_name = "FILE", help_heading = "Messages")]
    replay: Option<PathBuf>,
    /// How many times faster than recorded [default: 1].
    #[arg(long, value_name = "N", requires = "replay", help_heading = "Messages")]
    time_compression: Option<f64>,
    /// Play the trace again and again.
    #[arg(long = "loop", requires = "replay", help_heading = "Messages")]
    looped: bool,
    /// How rows become devices [default: column].
    #[arg(long, value_enum, requires = "replay", help_heading = "Messages")]
    replay_devices: Option<TraceDevices>,
    /// Column with the time [default: the first].
    #[arg(long, value_name = "NAME", requires = "replay", help_heading = "Messages")]
    timestamp_column: Option<String>,
    /// Column with the device [default: the second].
    #[arg(long, value_name = "NAME", requires = "replay", help_heading = "Messages")]
    device_column: Option<String>,
    /// Application property of every message.
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Messages")]
    property: Vec<String>,
    /// Content type of every message.
    #[arg(long, value_name = "TYPE", help_heading = "Messages")]
    content_type: Option<String>,
    /// Content encoding of every message.
    #[arg(long, value_name = "NAME", help_heading = "Messages")]
    content_encoding: Option<String>,
    /// Number and sign every message, so that `loadgen verify` can find it.
    #[arg(long, help_heading = "Messages")]
    verify: bool,
    /// Where the number goes [default with --verify: body].
    #[arg(long, value_enum, help_heading = "Messages")]
    stamp: Option<StampPlace>,
    /// Where to write what was acknowledged; implies --verify.
    #[arg(long, value_name = "FILE", help_heading = "Messages")]
    ledger: Option<PathBuf>,
}

fn set<T: Clone>(field: &mut T, flag: Option<&T>) {
    if let Some(value) = flag {
        *field = value.clone();
    }
}

fn set_some<T: Clone>(field: &mut Option<T>, flag: Option<&T>) {
    if flag.is_some() {
        *field = flag.cloned();
    }
}

impl RunFlags {
    /// The plan that scenario, file and flags make together, checked.
    ///
    /// # Errors
    /// All problems at once.
    pub(crate) fn plan(&self) -> Result<Plan, Vec<String>> {
        let mut plan = match &self.plan {
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).map_err(|error| vec![format!("{}: {error}", path.display())])?;
                toml::from_str(&text).map_err(|error| vec![format!("{}: {error}", path.display())])?
            }
            None => Plan::default(),
        };
        if let Some(name) = &self.scenario {
            scenario::apply(name, &mut plan).map_err(|problem| vec![problem])?;
        }
        self.apply_server(&mut plan);
        self.apply_connections(&mut plan);
        self.apply_load(&mut plan);
        let mut problems = self.apply_messages(&mut plan);
        problems.extend(plan.validate());
        if problems.is_empty() { Ok(plan) } else { Err(problems) }
    }

    fn apply_server(&self, plan: &mut Plan) {
        set(&mut plan.target, self.target.as_ref());
        plan.tls |= self.tls || self.ca.is_some() || self.insecure_skip_verify;
        set_some(&mut plan.ca_file, self.ca.as_ref());
        plan.insecure_skip_verify |= self.insecure_skip_verify;
        set(&mut plan.tls_resume_percent, self.tls_resume_percent.as_ref());
        set(&mut plan.protocol, self.protocol.as_ref());
        set(&mut plan.qos, self.qos.as_ref());
        plan.pids.extend(&self.pid);
        set_some(&mut plan.topic, self.topic.as_ref());
        set_some(&mut plan.host_name, self.host_name.as_ref());
        set_some(&mut plan.devices_file, self.devices.as_ref());
        set(&mut plan.device_prefix, self.device_prefix.as_ref());
        set(&mut plan.device_first, self.device_first.as_ref());
        set_some(&mut plan.key_file, self.key_file.as_ref());
        set_some(&mut plan.user_name, self.user_name.as_ref());
        set_some(&mut plan.password_file, self.password_file.as_ref());
    }

    fn apply_connections(&self, plan: &mut Plan) {
        set(&mut plan.connections, self.connections.as_ref());
        set(&mut plan.connect_rate, self.connect_rate.as_ref());
        set(&mut plan.keep_alive_seconds, self.keep_alive.as_ref());
        plan.clean_start &= !self.persistent_session;
        set_some(&mut plan.source, self.source.as_ref());
        set(&mut plan.threads, self.threads.as_ref());
        set(&mut plan.processes, self.processes.as_ref());
    }

    fn apply_load(&self, plan: &mut Plan) {
        set(&mut plan.rate, self.rate.as_ref());
        set_some(&mut plan.rate_per_connection, self.rate_per_connection.as_ref());
        set(&mut plan.arrival, self.arrival.as_ref());
        set_some(&mut plan.window, self.window.as_ref());
        set(&mut plan.in_flight_max, self.in_flight_max.as_ref());
        set(&mut plan.drain_seconds, self.drain.as_ref());
        set(&mut plan.seed, self.seed.as_ref());
        if self.duration.is_some() || self.warm_up.is_some() || self.churn.is_some() || self.storm.is_some() {
            plan.phases = self.phases(plan);
        }
    }

    /// Phases from flags: what is not said is taken from the plan's first phase that is no warm-up.
    fn phases(&self, plan: &Plan) -> Vec<Phase> {
        let planned = plan.phases.iter().find(|phase| phase.is_measured());
        let seconds = self.duration.or_else(|| planned.map(|phase| phase.seconds)).unwrap_or(10.0);
        let warm_up = self.warm_up.map(|seconds| Phase::new(PhaseKind::Warm, seconds));
        let load = match self.churn {
            Some(churn_percent) => Phase { churn_percent, ..Phase::new(PhaseKind::Churn, seconds) },
            None => Phase::hold(seconds),
        };
        let storm = self.storm.map(|seconds| Phase::new(PhaseKind::Storm, seconds));
        warm_up.into_iter().chain([load]).chain(storm).collect()
    }

    fn apply_messages(&self, plan: &mut Plan) -> Vec<String> {
        let mut problems = Vec::new();
        set(&mut plan.payload_bytes, self.payload_bytes.as_ref());
        set_some(&mut plan.template, self.template.as_ref());
        if let Some(file) = &self.replay {
            let replay = plan.replay.get_or_insert_with(Replay::default);
            replay.file.clone_from(file);
            set(&mut replay.time_compression, self.time_compression.as_ref());
            set(&mut replay.devices, self.replay_devices.as_ref());
            set_some(&mut replay.timestamp_column, self.timestamp_column.as_ref());
            set_some(&mut replay.device_column, self.device_column.as_ref());
            replay.looped |= self.looped;
        }
        for text in &self.property {
            match text.split_once('=') {
                Some((key, value)) => drop(plan.properties.insert(key.to_owned(), value.to_owned())),
                None => problems.push(format!("--property {text:?}: not KEY=VALUE")),
            }
        }
        set_some(&mut plan.content_type, self.content_type.as_ref());
        set_some(&mut plan.content_encoding, self.content_encoding.as_ref());
        if (self.verify || self.ledger.is_some()) && plan.stamp == StampPlace::None {
            plan.stamp = StampPlace::Body;
        }
        set(&mut plan.stamp, self.stamp.as_ref());
        set_some(&mut plan.ledger, self.ledger.as_ref());
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file_and_all_problems_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plan.toml");
        std::fs::write(&path, "connections = 7\nrate = 5.0\n[[phases]]\nkind = \"churn\"\nseconds = 3.0\n").unwrap();
        let mut flags = RunFlags { plan: Some(path.clone()), rate: Some(9.0), ..RunFlags::default() };
        let plan = flags.plan().unwrap();
        assert_eq!((plan.connections, plan.rate), (7, 9.0));
        assert_eq!(plan.phases[0].kind, PhaseKind::Churn);
        flags.property = vec!["a".to_owned()];
        flags.connections = Some(0);
        assert_eq!(flags.plan().unwrap_err().len(), 3, "property, connections, processes");
        std::fs::write(&path, "conections = 7").unwrap();
        assert!(flags.plan().unwrap_err()[0].contains("conections"));
    }

    #[test]
    fn phases_come_in_order() {
        let flags = RunFlags { warm_up: Some(1.0), storm: Some(2.0), churn: Some(5.0), ..RunFlags::default() };
        let kinds: Vec<PhaseKind> = flags.plan().unwrap().phases.iter().map(|phase| phase.kind).collect();
        assert_eq!(kinds, [PhaseKind::Warm, PhaseKind::Churn, PhaseKind::Storm]);
    }

    #[test]
    fn a_ledger_means_stamps() {
        let flags = RunFlags { ledger: Some("x".into()), ..RunFlags::default() };
        assert_eq!(flags.plan().unwrap().stamp, StampPlace::Body);
    }
}
