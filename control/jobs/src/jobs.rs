//! The handle on all work with many identities.
//! - Invariants: cheap to clone; all clones are one. Everything that runs ends with [`Jobs::shutdown`]; what it leaves undone goes on
//!   when it is started again, here or on another node.

use std::collections::HashMap;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_control::Control;
use millrace_model::HubError;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::config::{ConfigurationsConfig, JobsConfig};
use crate::configuration::Rounds;
use crate::schedule::Runner;
use crate::transfer::Containers;

/// All settings of jobs.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Section `[jobs]`.
    pub jobs: JobsConfig,
    /// Section `[configurations]`.
    pub configurations: ConfigurationsConfig,
}

/// Scheduled jobs, imports and exports, and automatic configurations.
#[derive(Clone)]
pub struct Jobs {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) control: Control,
    pub(crate) containers: Containers,
    pub(crate) runner: Runner,
    /// Somebody has put a job in, or changed one.
    pub(crate) wake: Notify,
    /// Likewise an import or export.
    pub(crate) wake_transfer: Notify,
    pub(crate) rounds: Rounds,
    running: Mutex<HashMap<String, Arc<AtomicU64>>>,
    stopping: watch::Sender<bool>,
    tasks: Mutex<JoinSet<()>>,
}

impl Jobs {
    /// Starts to work on the current runtime.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(settings: Settings, control: Control, containers: Containers) -> Result<Self, HubError> {
        let shared = Shared {
            settings,
            control,
            containers,
            runner: Runner(RandomState::new().hash_one("runner")),
            wake: Notify::new(),
            wake_transfer: Notify::new(),
            rounds: Rounds::new(),
            running: Mutex::default(),
            stopping: watch::Sender::new(false),
            tasks: Mutex::default(),
        };
        let jobs = Self { shared: Arc::new(shared) };
        jobs.load_configurations().await?;
        let (schedule, transfer, rounds) = (jobs.clone(), jobs.clone(), jobs.clone());
        jobs.spawn(async move { schedule.run_schedule().await });
        jobs.spawn(async move { transfer.run_transfers().await });
        jobs.spawn(async move { rounds.run_rounds().await });
        Ok(jobs)
    }

    /// Runs `work` until it is done or everything stops.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut stopping = self.shared.stopping.subscribe();
        let mut tasks = self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(async move {
            // Whatever `work` waits for may be dropped: steps are repeated, and what a store was asked is whole or not at all.
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => {}
                () = work => {}
            }
        });
    }

    /// Stops all work, and lets go of the jobs that this node works on, so that another one can go on at once.
    pub async fn shutdown(&self) {
        self.shared.stopping.send_replace(true);
        let mut tasks = std::mem::take(&mut *self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
        let ids: Vec<String> = self.running().drain().map(|(id, _)| id).collect();
        for id in ids {
            // Else its lease runs out.
            drop(self.release(&id).await);
        }
    }

    /// What jobs work through.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.shared.control
    }

    /// Jobs that this node works on, each with how many devices it works on. No code runs under this lock that could leave it half changed.
    pub(crate) fn running(&self) -> MutexGuard<'_, HashMap<String, Arc<AtomicU64>>> {
        self.shared.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
