//! Hubs that devices are assigned to.
//! - Shape: [`HubRegistry`] is what the service asks of a hub; [`RemoteHub`] asks another hub's REST API, [`LocalHub`] the
//!   program's own hub. [`Hubs`] are all linked ones with what the allocation policies need to know.
//! - Invariants: every call may be repeated; the second one changes nothing.
//! - Errors: [`HubError`]; what is worth another try has status 429 or 5xx.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use millrace_control_store::registry::Authentication;
use millrace_model::HubError;

use crate::allocation::Candidate;
use crate::enrollment::InitialTwin;

mod local;
mod remote;

pub use local::LocalHub;
pub use remote::{RemoteHub, without_metadata};

/// What a hub's registry answers; boxed, so that hubs of both kinds are one type.
pub type PendingHub<'a, T> = Pin<Box<dyn Future<Output = Result<T, HubError>> + Send + 'a>>;

/// A device as its hub is to know it.
#[derive(Debug, Clone)]
pub struct DeviceSpec {
    /// Its id.
    pub device_id: String,
    /// How it proves itself.
    pub authentication: Authentication,
    /// Whether it is a gateway for others; `None`: as it is.
    pub iot_edge: Option<bool>,
}

/// A hub's registry, as far as provisioning needs it.
pub trait HubRegistry: Send + Sync {
    /// Creates a device, or updates the one that is there. A new one is enabled; one that is there keeps its status.
    fn put_device<'a>(&'a self, device: &'a DeviceSpec) -> PendingHub<'a, ()>;

    /// Tags and desired properties, without metadata; `None` when the device is not there.
    fn twin<'a>(&'a self, device_id: &'a str) -> PendingHub<'a, Option<InitialTwin>>;

    /// Replaces tags and desired properties.
    fn replace_twin<'a>(&'a self, device_id: &'a str, twin: &'a InitialTwin) -> PendingHub<'a, ()>;

    /// Deletes a device; good if it is not there.
    fn delete_device<'a>(&'a self, device_id: &'a str) -> PendingHub<'a, ()>;
}

/// A linked hub.
pub struct LinkedHub {
    host_name: String,
    weight: u32,
    latency_ms: Option<u32>,
    /// Smoothed time of its answers in microseconds; 0: none yet.
    measured_us: AtomicU64,
    registry: Arc<dyn HubRegistry>,
}

/// All linked hubs.
#[derive(Debug, Clone, Default)]
pub struct Hubs(Arc<[LinkedHub]>);

impl LinkedHub {
    /// A hub with its share under the hashed policy and, if it is known, the time that devices need to reach it.
    #[must_use]
    pub fn new(host_name: &str, weight: u32, latency_ms: Option<u32>, registry: Arc<dyn HubRegistry>) -> Self {
        Self { host_name: host_name.to_owned(), weight, latency_ms, measured_us: AtomicU64::new(0), registry }
    }

    /// Its host name.
    #[must_use]
    pub fn host_name(&self) -> &str {
        &self.host_name
    }

    /// Its registry.
    #[must_use]
    pub fn registry(&self) -> &dyn HubRegistry {
        self.registry.as_ref()
    }

    /// What the allocation policies need to know of it.
    #[must_use]
    pub fn candidate(&self) -> Candidate {
        let measured = || match self.measured_us.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros).as_secs_f64() * 1_000.0),
        };
        let latency_ms = self.latency_ms.map(f64::from).or_else(measured);
        Candidate { host_name: self.host_name.clone(), weight: self.weight, latency_ms }
    }

    /// Notes how long an answer took that began at `start`.
    pub(crate) fn note_answer(&self, start: Instant) {
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
        let before = self.measured_us.load(Ordering::Relaxed);
        // A lost update of two calls at a time is one measurement less.
        let smoothed = if before == 0 { micros } else { before - before / 8 + micros / 8 };
        self.measured_us.store(smoothed, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for LinkedHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkedHub")
            .field("host_name", &self.host_name)
            .field("weight", &self.weight)
            .finish_non_exhaustive()
    }
}

impl Hubs {
    /// All hubs.
    #[must_use]
    pub fn new(hubs: Vec<LinkedHub>) -> Self {
        Self(hubs.into())
    }

    /// The hub of that name.
    #[must_use]
    pub fn find(&self, host_name: &str) -> Option<&LinkedHub> {
        self.0.iter().find(|hub| hub.host_name.eq_ignore_ascii_case(host_name))
    }

    /// Those among `wanted`, or all when nothing is wanted.
    #[must_use]
    pub fn candidates(&self, wanted: &[String]) -> Vec<Candidate> {
        let is_wanted =
            |hub: &&LinkedHub| wanted.is_empty() || wanted.iter().any(|name| name.eq_ignore_ascii_case(&hub.host_name));
        self.0.iter().filter(is_wanted).map(LinkedHub::candidate).collect()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}
