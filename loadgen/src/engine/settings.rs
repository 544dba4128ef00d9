//! A plan made ready: files read, names resolved, tables built. Shared by all threads of a process, never changed.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, bail};
use millrace_model::bag;
use millrace_protocols_mqtt::Version;

use crate::engine::bodies::{Bodies, Stamping};
use crate::engine::fleet::Fleet;
use crate::engine::replay::Traces;
use crate::engine::schedule::NEVER;
use crate::engine::source;
use crate::engine::template::Template;
use crate::engine::timer::Clock;
use crate::engine::tls::Tls;
use crate::number;
use crate::plan::{Phase, Plan, Protocol};

/// Longer than the interval of a thread's housekeeping.
const START_DELAY_NS: u64 = 150_000_000;

/// Everything that the threads of a process share.
pub(crate) struct Settings {
    /// The plan of this process; `connections` is what there really are.
    pub(crate) plan: Plan,
    /// Number of the process, for reports.
    pub(crate) process: u16,
    /// Time of the run.
    pub(crate) clock: Clock,
    /// When the phases begin; `NEVER` until all have connected.
    pub(crate) go_ns: AtomicU64,
    /// Resolved target.
    pub(crate) target: SocketAddr,
    /// Source addresses; empty: the system's choice.
    pub(crate) sources: Vec<IpAddr>,
    /// Who connects.
    pub(crate) fleet: Fleet,
    /// TLS, if any.
    pub(crate) tls: Option<Tls>,
    /// What is sent.
    pub(crate) bodies: Bodies,
    /// How it is stamped.
    pub(crate) stamping: Stamping,
    /// Version of MQTT.
    pub(crate) version: Version,
    /// Property bag of every message, encoded.
    pub(crate) bag: String,
    /// User properties of every message, where there is no bag.
    pub(crate) user_properties: Vec<(String, String)>,
}

impl Settings {
    /// Reads the files and resolves the names of a plan.
    ///
    /// # Errors
    /// What can't be read or resolved.
    pub(crate) fn prepare(mut plan: Plan, process: u16, run: u32) -> Result<Self> {
        let fleet = Fleet::open(&plan)?;
        if let Some(len) = fleet.len_max() {
            plan.connections = plan.connections.min(u32::try_from(len).unwrap_or(u32::MAX));
            if plan.connections == 0 {
                bail!("no devices are left for this process");
            }
        }
        let target = resolve(&plan.target)?;
        let sources = source::parse(plan.source.as_deref().unwrap_or_default()).unwrap_or_default();
        let bodies = match (&plan.replay, &plan.template) {
            (Some(replay), _) => Bodies::Traces(Traces::open(replay)?),
            (None, Some(text)) => Bodies::Template(Template::parse(text).map_err(anyhow::Error::msg)?),
            (None, None) => Bodies::Filler(number::index(u64::from(plan.payload_bytes))),
        };
        let properties = properties(&plan);
        let mut encoded = Vec::new();
        for (key, value) in &properties {
            bag::push(&mut encoded, key, value);
        }
        Ok(Self {
            process,
            clock: Clock::start(),
            go_ns: AtomicU64::new(NEVER),
            target,
            sources,
            fleet,
            tls: if plan.tls { Some(Tls::open(&plan)?) } else { None },
            bodies,
            stamping: Stamping { place: plan.stamp, run },
            version: match plan.protocol {
                Protocol::Mqtt311 => Version::V311,
                Protocol::Mqtt5 => Version::V5,
            },
            bag: String::from_utf8(encoded)?,
            user_properties: if plan.topic.is_some() { properties } else { Vec::new() },
            plan,
        })
    }

    /// When the phases begin, once that is known.
    pub(crate) fn go_ns(&self) -> u64 {
        self.go_ns.load(Ordering::Acquire)
    }

    /// Starts the phases, a moment from now: no thread sleeps longer than this, so all of them begin in time.
    pub(crate) fn go(&self) {
        self.go_ns.store(self.clock.now_ns() + START_DELAY_NS, Ordering::Release);
    }

    /// The topic of a device, up to and with the properties that all messages have.
    pub(crate) fn topic(&self, id: &str) -> String {
        match &self.plan.topic {
            Some(pattern) => pattern.replace("{id}", id),
            None => format!("devices/{id}/messages/events/{}", self.bag),
        }
    }

    /// The phase of an instant: its number (1 is the first) and its end; `None` after the last.
    pub(crate) fn phase_at(&self, now_ns: u64) -> Option<(usize, &Phase, u64)> {
        let mut end = self.go_ns();
        for (index, phase) in self.plan.phases.iter().enumerate() {
            end = end.saturating_add(number::nanoseconds(phase.seconds));
            if now_ns < end {
                return Some((index + 1, phase, end));
            }
        }
        None
    }
}

fn properties(plan: &Plan) -> Vec<(String, String)> {
    let system = [("$.ct", &plan.content_type), ("$.ce", &plan.content_encoding)];
    let system = system.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
    system.chain(plan.properties.clone()).collect()
}

fn resolve(target: &str) -> Result<SocketAddr> {
    let mut addresses = target.to_socket_addrs().with_context(|| format!("target {target:?}"))?;
    addresses.next().with_context(|| format!("target {target:?} has no address"))
}
