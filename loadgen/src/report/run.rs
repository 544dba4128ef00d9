//! The report of a run, and how tallies become one.
//! - Invariants: latencies count whatever was acknowledged of the measured phases, the drain included, so that the slow ones are in;
//!   throughput counts the measured phases alone.
//! - Units: in the names; latencies in microseconds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::number;
use crate::plan::{Phase, Plan};
use crate::report::server::{ServerProcess, Watched};
use crate::report::verdict::{self, Verdict};
use crate::report::{Quantiles, Tally};

/// The report of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// Run id, as in stamps and ledger.
    pub run: String,
    /// Address of the server.
    pub target: String,
    /// What was asked for, in words.
    pub load: String,
    /// Whether the figures may be quoted.
    pub verdict: Verdict,
    /// Seconds measured.
    pub measured_seconds: f64,
    /// Messages.
    pub messages: Messages,
    /// Connections.
    pub connections: Connections,
    /// Intended send time to acknowledgement, microseconds.
    pub latency_us: Quantiles,
    /// The generator's own delay, microseconds.
    pub lag_us: Quantiles,
    /// The generator itself.
    pub generator: Generator,
    /// The processes of the server.
    pub servers: Vec<ServerProcess>,
    /// Per phase.
    pub phases: Vec<PhaseReport>,
    /// Per second.
    pub series: Vec<Second>,
}

/// What became of the messages of the measured phases (and the drain).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Messages {
    /// Sent for the first time.
    pub sent: u64,
    /// Sent again with DUP after a reconnection: possibly delivered twice.
    pub sent_again: u64,
    /// Acknowledged.
    pub acknowledged: u64,
    /// Refused by the server, by reason code.
    pub rejected: BTreeMap<String, u64>,
    /// Sent after their time because the server or the window held them back.
    pub late: u64,
    /// Due, but not sent before the end.
    pub unsent: u64,
    /// Sent, but not acknowledged before the end.
    pub unacknowledged: u64,
    /// Messages a second: acknowledged ones, at QoS 0 sent ones.
    pub throughput_per_second: f64,
    /// Bytes of PUBLISH packets a second.
    pub bytes_per_second: f64,
}

/// What became of the connections, ramp included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Connections {
    /// Asked for.
    pub wanted: u32,
    /// Open at the end, before the generator closed them.
    pub open: u64,
    /// Attempts.
    pub started: u64,
    /// CONNACK 0.
    pub accepted: u64,
    /// Of these, on a connection that had been open before.
    pub reconnected: u64,
    /// Of these, with a resumed TLS session.
    pub resumed: u64,
    /// Attempts that failed, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Connections that were open and ended, by reason.
    pub lost: BTreeMap<String, u64>,
    /// Start of connecting to CONNACK, microseconds.
    pub latency_us: Quantiles,
}

/// What the generator itself needed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Generator {
    /// Processor seconds of its threads, measured phases.
    pub cpu_seconds: f64,
    /// Processor time per acknowledged message (sent at QoS 0), microseconds.
    pub cpu_us_per_message: f64,
    /// Share of the time that its busiest thread was on a processor.
    pub busiest_thread: f64,
    /// Its threads.
    pub threads: usize,
}

/// One phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseReport {
    /// `ramp`, a name of the plan's phases, or `drain`.
    pub name: String,
    /// Length.
    pub seconds: f64,
    /// Sent for the first time.
    pub sent: u64,
    /// Acknowledged.
    pub acknowledged: u64,
    /// Accepted connections.
    pub accepted: u64,
    /// Connections that ended.
    pub lost: u64,
    /// Latency, microseconds.
    pub latency_us: Quantiles,
}

/// One second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Its phase.
    pub phase: String,
    /// Second of the phase.
    pub second: u64,
    /// Sent for the first time.
    pub sent: u64,
    /// Acknowledged.
    pub acknowledged: u64,
    /// Open connections.
    pub open: u64,
    /// Unacknowledged messages.
    pub in_flight: u64,
    /// Latency, median, microseconds.
    pub latency_p50_us: u64,
    /// Latency, 99 of 100, microseconds.
    pub latency_p99_us: u64,
    /// Latency, largest, microseconds.
    pub latency_max_us: u64,
}

/// Collects tallies.
pub(crate) struct Collector {
    plan: Plan,
    seconds: BTreeMap<(usize, u64), Tally>,
    phases: BTreeMap<usize, Tally>,
    /// Processor and wall time of each thread in measured phases.
    threads: BTreeMap<String, (u64, u64)>,
    /// Open connections and unacknowledged messages: the last word of each thread, in all and by second.
    gauges: Gauges,
    gauges_by_second: BTreeMap<(usize, u64), Gauges>,
}

/// Gauges by thread.
#[derive(Debug, Clone, Default)]
struct Gauges(BTreeMap<String, (u64, u64)>);

impl Gauges {
    fn set(&mut self, tally: &Tally) {
        self.0.insert(tally.source.clone(), (tally.open, tally.in_flight));
    }

    fn open(&self) -> u64 {
        self.0.values().map(|(open, _)| open).sum()
    }

    fn in_flight(&self) -> u64 {
        self.0.values().map(|(_, in_flight)| in_flight).sum()
    }
}

impl Collector {
    /// An empty one.
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            plan,
            seconds: BTreeMap::new(),
            phases: BTreeMap::new(),
            threads: BTreeMap::new(),
            gauges: Gauges::default(),
            gauges_by_second: BTreeMap::new(),
        }
    }

    /// Adds a tally.
    pub(crate) fn add(&mut self, tally: &Tally) {
        self.seconds.entry((tally.phase, tally.second)).or_default().merge(tally);
        self.phases.entry(tally.phase).or_default().merge(tally);
        self.gauges.set(tally);
        self.gauges_by_second.entry((tally.phase, tally.second)).or_default().set(tally);
        if self.is_measured(tally.phase) {
            let (cpu_ns, wall_ns) = self.threads.entry(tally.source.clone()).or_default();
            *cpu_ns += tally.cpu_ns;
            *wall_ns += tally.wall_ns;
        }
    }

    /// Open connections and unacknowledged messages by now.
    pub(crate) fn gauges(&self) -> (u64, u64) {
        (self.gauges.open(), self.gauges.in_flight())
    }

    /// Whether a phase of the plan is measured.
    pub(crate) fn is_measured(&self, number: usize) -> bool {
        self.phase(number).is_some_and(Phase::is_measured)
    }

    /// The name of a phase.
    pub(crate) fn phase_name(&self, number: usize) -> &'static str {
        match self.phase(number) {
            Some(phase) => phase.name(),
            None if number == 0 => "ramp",
            None => "drain",
        }
    }

    /// What a connection could not do during the ramp, by reason.
    pub(crate) fn refusals(&self) -> String {
        let refused = self.phases.values().flat_map(|tally| &tally.refused);
        let names: Vec<String> = refused.map(|(name, count)| format!("{count} x {name}")).collect();
        names.join(", ")
    }

    /// How many connections were accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.phases.values().map(|tally| tally.connected).sum()
    }

    /// The report.
    pub(crate) fn finish(&self, run: u32, servers: &[Watched]) -> RunReport {
        let mut measured = Tally::default();
        let mut whole = Tally::default();
        for (&number, tally) in &self.phases {
            whole.merge(tally);
            if self.is_measured(number) {
                measured.merge(tally);
            }
        }
        let drained = self.phases.get(&(self.plan.phases.len() + 1)).cloned().unwrap_or_default();
        let measured_seconds =
            self.plan.phases.iter().filter(|phase| phase.is_measured()).map(|phase| phase.seconds).sum();
        let counted = if self.plan.qos == 0 { measured.sent } else { measured.acknowledged };
        let throughput = number::float(counted) / measured_seconds;
        let bytes = number::float(measured.sent_bytes) / measured_seconds;
        let mut counted_in = measured.clone();
        counted_in.merge(&drained);
        let generator = self.generator(counted);
        let latency_us = counted_in.latency.quantiles();
        let lag_us = measured.lag.quantiles();
        RunReport {
            run: format!("{run:08x}"),
            target: self.plan.target.clone(),
            load: load(&self.plan),
            verdict: verdict::judge(&self.plan, &generator, &lag_us, counted),
            measured_seconds,
            messages: messages(counted_in, throughput, bytes),
            connections: self.connections(whole),
            latency_us,
            lag_us,
            servers: servers.iter().map(|server| server.report(counted)).collect(),
            generator,
            phases: self.phases.iter().map(|(&number, tally)| self.phase_report(number, tally)).collect(),
            series: self.seconds.iter().map(|(&(number, second), tally)| self.second(number, second, tally)).collect(),
        }
    }

    fn phase(&self, number: usize) -> Option<&Phase> {
        self.plan.phases.get(number.checked_sub(1)?)
    }

    fn generator(&self, messages: u64) -> Generator {
        let cpu_ns = self.threads.values().map(|(cpu_ns, _)| cpu_ns).sum();
        let shares = self.threads.values().map(|&(cpu_ns, wall_ns)| number::ratio(cpu_ns, wall_ns));
        Generator {
            cpu_seconds: number::seconds(cpu_ns),
            cpu_us_per_message: number::ratio(cpu_ns, messages) / 1e3,
            busiest_thread: shares.fold(0.0, f64::max),
            threads: self.threads.len(),
        }
    }

    fn connections(&self, whole: Tally) -> Connections {
        Connections {
            wanted: self.plan.connections,
            open: self.gauges.open(),
            started: whole.connects_started,
            accepted: whole.connected,
            reconnected: whole.reconnected,
            resumed: whole.resumed,
            refused: whole.refused,
            lost: whole.lost,
            latency_us: whole.connect.quantiles(),
        }
    }

    fn phase_report(&self, number: usize, tally: &Tally) -> PhaseReport {
        let threads = number::wide(self.threads.len()).max(1);
        PhaseReport {
            name: self.phase_name(number).to_owned(),
            seconds: self.phase(number).map_or_else(|| number::seconds(tally.wall_ns / threads), |phase| phase.seconds),
            sent: tally.sent,
            acknowledged: tally.acknowledged,
            accepted: tally.connected,
            lost: tally.lost.values().sum(),
            latency_us: tally.latency.quantiles(),
        }
    }

    fn second(&self, number: usize, second: u64, tally: &Tally) -> Second {
        let latency = tally.latency.quantiles();
        let gauges = self.gauges_by_second.get(&(number, second));
        Second {
            phase: self.phase_name(number).to_owned(),
            second,
            sent: tally.sent,
            acknowledged: tally.acknowledged,
            open: gauges.map_or(0, Gauges::open),
            in_flight: gauges.map_or(0, Gauges::in_flight),
            latency_p50_us: latency.p50,
            latency_p99_us: latency.p99,
            latency_max_us: latency.max,
        }
    }
}

fn messages(tally: Tally, throughput_per_second: f64, bytes_per_second: f64) -> Messages {
    Messages {
        sent: tally.sent,
        sent_again: tally.sent_again,
        acknowledged: tally.acknowledged,
        rejected: tally.rejected,
        late: tally.late,
        unsent: tally.unsent,
        unacknowledged: tally.unacknowledged,
        throughput_per_second,
        bytes_per_second,
    }
}

fn load(plan: &Plan) -> String {
    let shape = match (plan.window, &plan.replay) {
        (Some(window), _) => format!("closed loop, window {window}"),
        (None, Some(replay)) => format!("replay of {} x {}", replay.file.display(), replay.time_compression),
        (None, None) => {
            format!("open loop, {:.3} messages/s", plan.connection_rate(None) * f64::from(plan.connections))
        }
    };
    let transport = if plan.tls { "TLS" } else { "TCP" };
    let version = match plan.protocol {
        crate::plan::Protocol::Mqtt311 => "3.1.1",
        crate::plan::Protocol::Mqtt5 => "5",
    };
    format!("{} connections, {shape}, MQTT {version} over {transport}, QoS {}", plan.connections, plan.qos)
}
