//! The executor: carries out what devices ask through their doors and what the service asks, over the stores.
//! - Shape: [`Control`] is a handle on what all parts share; each part of it has a file: `requests` (devices), `twins`, `methods`,
//!   `commands`, `identities`, `queries` and so on. Decisions are made in `control/twin` and `control/command`; here they are read for,
//!   written, and told.
//! - Invariants: what is answered is durable. Nothing is held in memory that a crash may not take: sessions, calls under way, deadlines.
//! - Limits: `limits`.

use std::sync::{Arc, Mutex, PoisonError};

use millrace_control_command::CommandConfig;
use millrace_control_store::documents::{Documents, Notices};
use millrace_control_store::error::RegistryError;
use millrace_control_store::registry::Change;
use millrace_control_store::store::Store;
use millrace_model::door::{self, Doors, Full, Intake, Request, SessionKey};
use millrace_model::{HubError, IdentityName};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::announcements::Announcer;
use crate::config::ControlConfig;
use crate::deadlines::Deadlines;
use crate::directory::RegistryDirectory;
use crate::events;
use crate::feedback::Feedback;
use crate::follower::Follower;
use crate::lanes::{Asked, Lanes};
use crate::lifecycle::Farewells;
use crate::limits::{LANES, UNDER_WAY_MAX};
use crate::methods::Calls;
use crate::models::Models;
use crate::notices::Noted;
use crate::refresher::Refresher;
use crate::refreshes::Refreshes;
use crate::sessions::Sessions;
use crate::stripes::Stripes;
use crate::throttle::{ThrottleConfig, Throttles};
use crate::tokens::Tokens;
use crate::trusted::Newest;

/// All settings of the executor.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Name of the hub, as events carry it: the host name up to its first dot.
    pub hub_name: String,
    /// Section `[control]`.
    pub control: ControlConfig,
    /// Section `[commands]`.
    pub commands: CommandConfig,
    /// Section `[throttles]`.
    pub throttles: ThrottleConfig,
}

/// What the executor works with.
pub struct Parts {
    /// Identities.
    pub store: Arc<dyn Store>,
    /// Everything else that is kept.
    pub documents: Arc<dyn Documents>,
    /// Identities as the doors see them.
    pub directory: Arc<RegistryDirectory>,
    /// Keeps the directory in step; it has loaded all identities.
    pub follower: Follower,
    /// The way to sessions.
    pub doors: Arc<dyn Doors>,
    /// The way into the journal.
    pub intake: Arc<dyn Intake>,
    /// Told of each change of an identity; it ends sessions, and must not block.
    pub on_change: Box<dyn FnMut(&Change) + Send>,
}

/// The executor. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Control {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) directory: Arc<RegistryDirectory>,
    pub(crate) refresher: Refresher,
    pub(crate) doors: Arc<dyn Doors>,
    pub(crate) announcer: Announcer,
    pub(crate) sessions: Sessions,
    pub(crate) lanes: Lanes,
    pub(crate) twin_turns: Stripes,
    pub(crate) queue_turns: Stripes,
    pub(crate) calls: Calls,
    pub(crate) deadlines: Deadlines,
    pub(crate) noted: Noted,
    /// Whether other nodes work on the same documents.
    pub(crate) has_peers: bool,
    pub(crate) feedback: Feedback,
    pub(crate) farewells: Farewells,
    pub(crate) models: Models,
    pub(crate) throttles: Throttles,
    pub(crate) tokens: Tokens,
    pub(crate) trusted: Newest,
    /// Whoever makes a snapshot anew holds it from reading to replacing, so that none is replaced by an older one.
    pub(crate) loading: tokio::sync::Mutex<()>,
    pub(crate) refreshes: Refreshes,
    stopping: watch::Sender<bool>,
    /// Places for what is seen through.
    under_way: Arc<Semaphore>,
    tasks: Mutex<JoinSet<()>>,
}

impl Control {
    /// Reads what has to be in memory, and starts to work on the current runtime.
    ///
    /// # Errors
    /// When a store cannot be read.
    pub async fn start(settings: Settings, parts: Parts) -> Result<Self, RegistryError> {
        let Parts { store, documents, directory, follower, doors, intake, on_change } = parts;
        let (announcer, announced_again) = Announcer::new(intake, &settings.hub_name);
        // Before anything is read: what is noted from now on is looked at.
        let notices = documents.listen().await?;
        let shared = Shared {
            refresher: follower.refresher(),
            announcer,
            sessions: Sessions::new(),
            lanes: Lanes::new(),
            twin_turns: Stripes::new(),
            queue_turns: Stripes::new(),
            calls: Calls::new(&settings.commands),
            deadlines: Deadlines::default(),
            noted: Noted::default(),
            has_peers: notices.is_some(),
            feedback: Feedback::default(),
            farewells: Farewells::default(),
            models: Models::default(),
            throttles: Throttles::new(&settings.throttles, Instant::now()),
            tokens: Tokens::new(),
            trusted: Newest::default(),
            loading: tokio::sync::Mutex::default(),
            refreshes: Refreshes::default(),
            stopping: watch::Sender::new(false),
            under_way: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
            tasks: Mutex::default(),
            settings,
            store,
            documents,
            directory,
            doors,
        };
        let control = Self { shared: Arc::new(shared) };
        control.load_deadlines().await?;
        control.load_snapshots().await?;
        control.begin_announcing().await?;
        control.spawn_all(follower, on_change, announced_again);
        control.spawn_follower_of(notices);
        Ok(control)
    }

    fn spawn_all(
        &self,
        follower: Follower,
        mut on_change: Box<dyn FnMut(&Change) + Send>,
        announced_again: tokio::sync::mpsc::Receiver<door::Submission>,
    ) {
        for lane in 0..LANES {
            let control = self.clone();
            self.spawn(async move { control.serve_lane(lane).await });
        }
        let control = self.clone();
        self.spawn(async move {
            let noted = control.clone();
            let note = move |change: &Change| {
                noted.note_change(change);
                on_change(change);
            };
            follower.run(note, std::future::pending()).await;
        });
        let control = self.clone();
        self.spawn(async move { control.answer_refreshes().await });
        let control = self.clone();
        self.spawn(async move { control.shared.announcer.offer_again(announced_again).await });
        let control = self.clone();
        self.spawn(async move { control.keep_deadlines().await });
        let control = self.clone();
        self.spawn(async move { control.announce_lifecycles().await });
        let control = self.clone();
        self.spawn(async move { control.follow_snapshots().await });
        let control = self.clone();
        self.spawn(async move { control.sweep_feedback().await });
    }

    fn spawn_follower_of(&self, notices: Option<Box<dyn Notices>>) {
        let Some(notices) = notices else { return };
        let control = self.clone();
        self.spawn(async move { control.follow_notices(notices).await });
    }

    /// Does something to its end although whoever asked for it may go away, as an HTTP client does when its connection is lost: what was
    /// written has to be told and timed as well.
    pub(crate) async fn see_through<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, HubError>> + Send + 'static,
    ) -> Result<T, HubError> {
        let place = Arc::clone(&self.shared.under_way).try_acquire_owned().map_err(|_| HubError::UNAVAILABLE)?;
        let (done, outcome) = oneshot::channel();
        self.spawn(async move {
            let _place = place;
            // Whoever asked may have gone away.
            drop(done.send(work.await));
        });
        // Dropped without an outcome when the executor stops.
        outcome.await.unwrap_or(Err(HubError::UNAVAILABLE))
    }

    /// Runs `work` until it is done or the executor stops.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut stopping = self.shared.stopping.subscribe();
        let mut tasks = self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            // Whatever `work` waits for may be dropped: answers that were not given are not owed, and what a store was asked is whole
            // or not at all.
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => {}
                () = work => {}
            }
        });
    }

    /// Stops all work. Requests that wait are not carried out.
    pub async fn shutdown(&self) {
        self.shared.stopping.send_replace(true);
        self.shared.refresher.ended();
        let mut tasks = std::mem::take(&mut *self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }

    /// The identities.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    /// Everything else that is kept.
    #[must_use]
    pub fn documents(&self) -> &Arc<dyn Documents> {
        &self.shared.documents
    }

    /// Identities as the doors see them.
    #[must_use]
    pub fn directory(&self) -> &Arc<RegistryDirectory> {
        &self.shared.directory
    }

    /// All settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    async fn serve_lane(&self, lane: usize) {
        while let Some(asked) = self.shared.lanes.next(lane).await {
            self.carry_out(asked).await;
        }
    }
}

impl door::Control for Control {
    fn ask(&self, from: SessionKey, name: &Arc<IdentityName>, request: Request) -> Result<(), Full> {
        let asked = Asked { from, name: Arc::clone(name), request };
        self.shared.lanes.push(asked).inspect_err(|Full| events::lane_full())
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("sessions", &self.shared.sessions.count()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}
