//! The service: judges devices, begins assignments, answers polls.
//! - Shape: `judge` (who is it?) -> `register` (an operation begins, durably) -> `assign` (a hub is chosen and told) -> polls.
//!   `lanes` carry what comes from sessions; HTTP calls the same methods.
//! - Invariants: a registration is durable before its operation id is answered, and its outcome before it is told. Registering again while
//!   an assignment is under way answers the same operation. An assignment whose node died is taken over when the device asks.
//! - Limits: see [`crate::limits`] and [`ProvisioningConfig`]; what is full answers 429 with the time to wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_control_store::documents::Documents;
use millrace_model::door::Doors;
use reqwest::Client;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::attestation::{CertificateBook, ServiceSecret};
use crate::config::ProvisioningConfig;
use crate::enrollments::Enrollments;
use crate::error::StartError;
use crate::events;
use crate::hub::{HubRegistry, Hubs};
use crate::registrations::Registrations;

mod assign;
mod challenge;
mod judge;
mod lanes;
mod linked;
mod register;
mod scope;
mod throttle;

use judge::{GroupCache, Judgements};
use throttle::Throttle;

/// What the service stands on.
pub struct Surroundings {
    /// Where enrollments and registrations are kept.
    pub documents: Arc<dyn Documents>,
    /// The way back to sessions.
    pub doors: Arc<dyn Doors>,
    /// Authorities that the hub has verified.
    pub book: Arc<dyn CertificateBook>,
    /// Host name of this program's own hub, as devices dial it.
    pub host_name: String,
    /// Its registry.
    pub registry: Arc<dyn HubRegistry>,
}

/// An answer to a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Seconds after which to ask again.
    pub retry_after: Option<u32>,
    /// JSON.
    pub body: Value,
}

/// The provisioning service; a handle that is cheap to clone.
#[derive(Clone)]
pub struct Provisioner {
    shared: Arc<Shared>,
    lanes: Arc<[mpsc::Sender<lanes::Ask>]>,
}

/// What all of it shares.
struct Shared {
    config: ProvisioningConfig,
    id_scope: String,
    secret: ServiceSecret,
    enrollments: Enrollments,
    registrations: Registrations,
    doors: Arc<dyn Doors>,
    book: Arc<dyn CertificateBook>,
    hubs: Hubs,
    webhooks: Client,
    judgements: Mutex<Judgements>,
    groups: tokio::sync::Mutex<GroupCache>,
    throttle: Mutex<Throttle>,
    /// Grows with each change that this node makes to enrollments.
    changes: AtomicU64,
    /// Assignments that may wait or be under way.
    waiting: Arc<Semaphore>,
    /// Assignments that may be under way.
    running: Arc<Semaphore>,
    tasks: Mutex<JoinSet<()>>,
}

impl Provisioner {
    /// Starts the service on the current runtime.
    ///
    /// # Errors
    /// When its state cannot be read or made, or its settings cannot be used.
    pub async fn start(config: ProvisioningConfig, surroundings: Surroundings) -> Result<Self, StartError> {
        let Surroundings { documents, doors, book, host_name, registry } = surroundings;
        let (id_scope, secret) = scope::open(documents.as_ref(), config.id_scope.as_deref()).await?;
        let hubs = linked::open(&config, &host_name, &registry)?;
        events::started(&id_scope, hubs.count());
        let timeout = std::time::Duration::from_secs(config.webhook_seconds);
        let shared = Arc::new(Shared {
            webhooks: crate::client::new(config.webhook_ca_file.as_deref(), timeout, false)?,
            enrollments: Enrollments::new(Arc::clone(&documents)),
            registrations: Registrations::new(documents),
            judgements: Mutex::new(Judgements::new()),
            groups: tokio::sync::Mutex::default(),
            throttle: Mutex::new(Throttle::new(&config)),
            changes: AtomicU64::new(0),
            waiting: Arc::new(Semaphore::new(config.assignments_waiting_max)),
            running: Arc::new(Semaphore::new(config.assignments_max)),
            tasks: Mutex::new(JoinSet::new()),
            config,
            id_scope,
            secret,
            doors,
            book,
            hubs,
        });
        let lanes = lanes::start(&shared);
        Ok(Self { shared, lanes })
    }

    /// The id scope that devices name.
    #[must_use]
    pub fn id_scope(&self) -> &str {
        &self.shared.id_scope
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &ProvisioningConfig {
        &self.shared.config
    }

    /// Enrollments, to be read. Changes go through [`Self::changed`].
    #[must_use]
    pub fn enrollments(&self) -> &Enrollments {
        &self.shared.enrollments
    }

    /// What became of devices.
    #[must_use]
    pub fn registrations(&self) -> &Registrations {
        &self.shared.registrations
    }

    /// To be called after an enrollment was changed: what is remembered of judgements is forgotten.
    pub fn changed(&self) {
        self.shared.changes.fetch_add(1, Ordering::AcqRel);
        lock(&self.shared.judgements).forget();
    }

    /// Ends the service. Assignments under way are left; another node, or the next start, takes them over when their devices ask.
    pub async fn shutdown(&self) {
        let mut tasks = std::mem::take(&mut *lock(&self.shared.tasks));
        tasks.shutdown().await;
    }
}

impl std::fmt::Debug for Provisioner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provisioner").field("id_scope", &self.shared.id_scope).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("host_name", &self.host_name).finish_non_exhaustive()
    }
}

/// Locks for a moment; somebody who panicked inside left nothing half done that matters.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
