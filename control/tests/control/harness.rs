//! A hub without doors and journal: what sessions are told and what events are announced is written down, and waited for.
//! - Invariants: no sleeps; a test that waits in vain fails after [`PATIENCE`].

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millrace_control::{Control, Follower, Parts, Policies, RegistryConfig, RegistryDirectory, Settings};
use millrace_control_store::documents::{ApplyError, Batch, Collection, Document, DocumentKey, PendingDocuments, Scan};
use millrace_control_store::registry::{Authentication, Change, Record};
use millrace_control_store::store::SqliteStore;
use millrace_control_store::{Documents, RegistryError, Store};
use millrace_model::door::{
    Control as _, Doors, Full, Intake, Request, SessionKey, Submission, Submitted, Subscription, Subscriptions,
    ToDevice,
};
use millrace_model::{IdentityName, MessageSource, PropertyName, Timestamp, bag};
use millrace_protocols_identity::Key;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::time::timeout;

/// How long a test waits for what should come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

static NEXT_SESSION: AtomicU32 = AtomicU32::new(1);

/// Documents that can be out of reach, in part or altogether, or slow to answer.
pub(crate) struct FlakyDocuments {
    inner: Arc<SqliteStore>,
    pub(crate) is_failing: AtomicBool,
    /// Several at once cannot be read.
    pub(crate) cannot_read_many: AtomicBool,
    /// Batches that were handed over.
    pub(crate) batches: AtomicUsize,
    held: Mutex<Option<Collection>>,
    held_page: Mutex<Option<Collection>>,
    is_holding: AtomicBool,
    let_go: Notify,
}

/// What was told to whom.
#[derive(Default)]
pub(crate) struct NotedDoors {
    told: Mutex<HashMap<SessionKey, VecDeque<ToDevice>>>,
    arrived: Notify,
    /// So many tellings are refused first.
    pub(crate) refusals: AtomicUsize,
}

/// What was announced.
#[derive(Default)]
pub(crate) struct NotedIntake {
    events: Mutex<VecDeque<Submission>>,
    arrived: Notify,
    /// Takes nothing.
    pub(crate) is_full: AtomicBool,
    pub(crate) refused: AtomicUsize,
}

/// One event, read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) source: MessageSource,
    pub(crate) device: String,
    pub(crate) module: Option<String>,
    pub(crate) generation: String,
    pub(crate) properties: HashMap<String, String>,
    pub(crate) body: Value,
}

pub(crate) struct Hub {
    pub(crate) control: Control,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) documents: Arc<FlakyDocuments>,
    pub(crate) doors: Arc<NotedDoors>,
    pub(crate) intake: Arc<NotedIntake>,
    pub(crate) changes: Arc<Mutex<Vec<Change>>>,
    pub(crate) dir: Arc<TempDir>,
}

/// A device with a session.
pub(crate) struct Device<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) name: Arc<IdentityName>,
    pub(crate) key: SessionKey,
}

pub(crate) fn name(device: &str) -> IdentityName {
    IdentityName::new(device, None).unwrap()
}

pub(crate) fn record(name: &IdentityName) -> Record {
    let key = |byte| Key::from_bytes(&[byte; 32]).unwrap();
    let authentication = Authentication::Sas { primary: key(b'k'), secondary: key(b'l') };
    Record::new(name.clone(), authentication, Timestamp(1_714_557_600_000), 7)
}

pub(crate) fn subscriptions(kinds: &[Subscription]) -> Subscriptions {
    kinds.iter().fold(Subscriptions::default(), |all, &kind| all.with(Subscriptions::one(kind, true)))
}

/// Waits until something has come about.
pub(crate) async fn until(has_come: impl Fn() -> bool) {
    let waiting = async {
        while !has_come() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("it never comes about"));
}

impl Hub {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        Self::over(Arc::new(tempfile::tempdir().unwrap()), settings, false).await
    }

    /// Another process on the same data.
    pub(crate) async fn beside(&self) -> Self {
        Self::over(Arc::clone(&self.dir), self.control.settings().clone(), false).await
    }

    pub(crate) async fn over(dir: Arc<TempDir>, settings: Settings, intake_is_full: bool) -> Self {
        let store = Arc::new(SqliteStore::open(dir.path()).await.unwrap());
        let directory = Arc::new(RegistryDirectory::new(100_000, Arc::new(Policies::open(dir.path()).unwrap())));
        let registry: Arc<dyn Store> = Arc::<SqliteStore>::clone(&store);
        let config = RegistryConfig { poll_ms: 20, ..RegistryConfig::default() };
        let follower = Follower::start(Arc::clone(&registry), Arc::clone(&directory), &config).await.unwrap();
        let (doors, intake) = (Arc::<NotedDoors>::default(), Arc::<NotedIntake>::default());
        intake.is_full.store(intake_is_full, Ordering::SeqCst);
        let changes = Arc::<Mutex<Vec<Change>>>::default();
        let noted = Arc::clone(&changes);
        let documents = Arc::new(FlakyDocuments::over(Arc::clone(&store)));
        let parts = Parts {
            store: registry,
            documents: Arc::<FlakyDocuments>::clone(&documents),
            directory,
            follower,
            doors: Arc::<NotedDoors>::clone(&doors),
            intake: Arc::<NotedIntake>::clone(&intake),
            on_change: Box::new(move |change| noted.lock().unwrap().push(change.clone())),
        };
        let settings = Settings { hub_name: "hub".to_owned(), ..settings };
        let control = Control::start(settings, parts).await.unwrap();
        Self { control, store, documents, doors, intake, changes, dir }
    }

    /// Stops in the middle of things and starts anew on the same data.
    pub(crate) async fn restarted(self) -> Self {
        let (dir, settings) = (Arc::clone(&self.dir), self.control.settings().clone());
        self.control.shutdown().await;
        drop(self);
        Self::over(dir, settings, false).await
    }

    /// Creates a device.
    pub(crate) async fn create(&self, device: &str) -> IdentityName {
        let name = name(device);
        self.control.create(&record(&name)).await.unwrap();
        name
    }

    /// Somebody who has asked for nothing yet.
    pub(crate) fn stranger(&self, name: Arc<IdentityName>) -> Device<'_> {
        let slot = NEXT_SESSION.fetch_add(1, Ordering::Relaxed);
        Device { hub: self, name, key: SessionKey { shard: 0, slot, generation: 1 } }
    }

    /// A session that was let in; `Opened` is still to be read.
    pub(crate) fn opening<'a>(&'a self, name: &IdentityName, clean: bool, model_id: Option<&str>) -> Device<'a> {
        let device = self.stranger(Arc::new(name.clone()));
        device.ask(Request::Open { clean, model_id: model_id.map(Into::into) });
        device
    }

    /// A session that has begun and listens to these.
    pub(crate) async fn connected<'a>(&'a self, name: &IdentityName, kinds: &[Subscription]) -> Device<'a> {
        let device = self.opening(name, false, None);
        assert!(matches!(device.next().await, ToDevice::Opened { .. }));
        if !kinds.is_empty() {
            device.subscribe(kinds).await;
        }
        device
    }

    /// The next event from this source.
    pub(crate) async fn event(&self, source: MessageSource) -> Event {
        let found = timeout(PATIENCE, async {
            loop {
                let arrived = self.intake.arrived.notified();
                {
                    let mut events = self.intake.events.lock().unwrap();
                    if let Some(at) = events.iter().position(|event| event.source == source) {
                        return events.remove(at).unwrap();
                    }
                }
                arrived.await;
            }
        });
        read(&found.await.unwrap_or_else(|_| panic!("no event of {source:?}")))
    }
}

impl Device<'_> {
    pub(crate) fn ask(&self, request: Request) {
        self.hub.control.ask(self.key, &self.name, request).unwrap();
    }

    /// What the session is told next.
    pub(crate) async fn next(&self) -> ToDevice {
        let found = timeout(PATIENCE, async {
            loop {
                let arrived = self.hub.doors.arrived.notified();
                if let Some(told) = self.try_next() {
                    return told;
                }
                arrived.await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("{} is told nothing", self.name))
    }

    pub(crate) fn try_next(&self) -> Option<ToDevice> {
        self.hub.doors.told.lock().unwrap().get_mut(&self.key).and_then(VecDeque::pop_front)
    }

    pub(crate) async fn subscribe(&self, kinds: &[Subscription]) -> Subscriptions {
        self.ask(Request::Subscribe { added: subscriptions(kinds), token: 7 });
        match self.next().await {
            ToDevice::Subscribed { token: 7, subscriptions } => subscriptions,
            other => panic!("{other:?}"),
        }
    }

    /// Ends the session, and waits until the hub has noticed.
    pub(crate) async fn close(self) {
        self.ask(Request::Close);
        self.settled().await;
    }

    /// Waits until everything that was asked before is done.
    pub(crate) async fn settled(&self) {
        self.ask(Request::Refresh);
        while !matches!(self.next().await, ToDevice::Refreshed) {}
    }

    /// The next command: its lock and its body.
    pub(crate) async fn command(&self) -> (u64, String) {
        match self.next().await {
            ToDevice::Command { lock, body, .. } => (lock, String::from_utf8(body.to_vec()).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    /// Answer to a twin request: status, version, body.
    pub(crate) async fn twin_answer(&self) -> (u16, Option<u64>, Value) {
        match self.next().await {
            ToDevice::Twin { status, version, body, .. } => {
                (status, version, serde_json::from_slice(&body).unwrap_or(Value::Null))
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn report(&self, patch: &str) -> (u16, Option<u64>, Value) {
        let patch = patch.to_owned().into();
        self.ask(Request::PatchReported { request_id: "r".into(), if_version: None, patch });
        self.twin_answer().await
    }
}

impl FlakyDocuments {
    fn over(inner: Arc<SqliteStore>) -> Self {
        Self {
            inner,
            is_failing: AtomicBool::default(),
            cannot_read_many: AtomicBool::default(),
            batches: AtomicUsize::default(),
            held: Mutex::default(),
            held_page: Mutex::default(),
            is_holding: AtomicBool::default(),
            let_go: Notify::default(),
        }
    }

    /// What is read of this collection next is answered when it is let go, as it was when it was read.
    pub(crate) fn hold_next(&self, collection: Collection) {
        *self.held.lock().unwrap() = Some(collection);
    }

    /// Likewise the page that is read next.
    pub(crate) fn hold_next_page(&self, collection: Collection) {
        *self.held_page.lock().unwrap() = Some(collection);
    }

    /// Waits until something is held.
    pub(crate) async fn holding(&self) {
        until(|| self.is_holding.load(Ordering::SeqCst)).await;
    }

    pub(crate) fn let_go(&self) {
        self.let_go.notify_one();
    }

    /// Waits until another batch than these many was handed over.
    pub(crate) async fn batches_beyond(&self, count: usize) {
        until(|| self.batches.load(Ordering::SeqCst) > count).await;
    }

    async fn hold(&self, held: &Mutex<Option<Collection>>, collection: Collection) {
        let is_meant = held.lock().unwrap().take_if(|held| *held == collection).is_some();
        if is_meant {
            self.is_holding.store(true, Ordering::SeqCst);
            self.let_go.notified().await;
        }
    }

    fn check(&self) -> Result<(), RegistryError> {
        if self.is_failing.load(Ordering::SeqCst) { Err(RegistryError::Busy) } else { Ok(()) }
    }
}

impl Documents for FlakyDocuments {
    fn read<'a>(&'a self, key: &'a DocumentKey) -> PendingDocuments<'a, Option<Document>> {
        Box::pin(async {
            let found = self.check().map(|()| self.inner.read(key))?.await;
            self.hold(&self.held, key.collection).await;
            found
        })
    }

    fn read_many<'a>(&'a self, keys: &'a [DocumentKey]) -> PendingDocuments<'a, Vec<Document>> {
        Box::pin(async {
            if self.cannot_read_many.load(Ordering::SeqCst) {
                return Err(RegistryError::Busy);
            }
            let found = self.check().map(|()| self.inner.read_many(keys))?.await;
            if let Some(key) = keys.first() {
                self.hold(&self.held, key.collection).await;
            }
            found
        })
    }

    fn scan<'a>(&'a self, scan: &'a Scan) -> PendingDocuments<'a, Vec<Document>> {
        Box::pin(async {
            let found = self.check().map(|()| Documents::scan(&*self.inner, scan))?.await;
            self.hold(&self.held_page, scan.collection).await;
            found
        })
    }

    fn count_documents<'a>(&'a self, collection: Collection, owner: Option<&'a str>) -> PendingDocuments<'a, u64> {
        Box::pin(async move { self.check().map(|()| self.inner.count_documents(collection, owner))?.await })
    }

    fn apply(&self, batch: Batch) -> PendingDocuments<'_, Vec<i64>, ApplyError> {
        Box::pin(async {
            self.batches.fetch_add(1, Ordering::SeqCst);
            self.check().map(|()| Documents::apply(&*self.inner, batch))?.await
        })
    }

    fn revision(&self, collection: Collection) -> PendingDocuments<'_, i64> {
        Box::pin(async move { self.check().map(|()| Documents::revision(&*self.inner, collection))?.await })
    }
}

impl Doors for NotedDoors {
    fn tell(&self, session: SessionKey, what: ToDevice) -> Result<(), Full> {
        let is_refused =
            self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if is_refused {
            return Err(Full);
        }
        self.told.lock().unwrap().entry(session).or_default().push_back(what);
        self.arrived.notify_waiters();
        Ok(())
    }
}

impl Intake for NotedIntake {
    fn submit(&self, submission: Submission, done: Submitted) {
        if self.is_full.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return done(Err(Full));
        }
        self.events.lock().unwrap().push_back(submission);
        self.arrived.notify_waiters();
        done(Ok(()));
    }
}

fn read(submission: &Submission) -> Event {
    let identity = submission.identity.as_ref();
    let properties = bag::properties(&submission.bag).into_iter().map(|property| {
        let name = match property.name {
            PropertyName::System(system) => system.bag_key().to_owned(),
            PropertyName::Application(name) => name.into_owned(),
        };
        (name, property.value.unwrap_or_default().into_owned())
    });
    Event {
        source: submission.source,
        device: identity.device_id.to_owned(),
        module: identity.module_id.map(str::to_owned),
        generation: identity.generation_id.to_owned(),
        properties: properties.collect(),
        body: serde_json::from_slice(&submission.body).unwrap(),
    }
}
