//! A whole service API over SQLite in a folder of its own, with devices that answer; for tests.
//! - Not here: sockets, unless asked for ([`Served::listen`]).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use millrace_control::policies::OWNER;
use millrace_control::{Control, Follower, Parts, Policies, RegistryConfig, RegistryDirectory};
use millrace_control_files::{Files, FilesConfig};
use millrace_control_jobs::{Containers, Jobs};
use millrace_control_store::SqliteStore;
use millrace_control_store::clock;
use millrace_model::IdentityName;
use millrace_model::door::{
    Control as _, Doors, Full, Intake, Request as Ask, SessionKey, Submission, Submitted, Subscription, Subscriptions,
    ToDevice,
};
use millrace_protocols_identity::sas;
use object_store::memory::InMemory;
use serde_json::Value;
use tower_service::Service as _;

use crate::{ServiceState, router};

/// The hub's host name.
pub const HOST: &str = "hub.example.net";

/// A service API; ends when dropped.
pub struct Served {
    /// Where it listens, once it does.
    pub url: String,
    /// Its keys.
    pub policies: Arc<Policies>,
    /// What it works with.
    pub state: ServiceState,
    /// The hub's own containers.
    pub containers: Arc<InMemory>,
    router: Router,
    doors: Arc<Devices>,
    directory: tempfile::TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answered {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub bytes: Bytes,
}

/// Connected devices. They answer every method with its own name and payload, but `silent`.
#[derive(Default)]
struct Devices {
    control: OnceLock<Control>,
    /// By the slots of their sessions.
    sessions: Mutex<HashMap<u32, Connected>>,
}

/// A connected device, and what it was told.
struct Connected {
    name: Arc<IdentityName>,
    told: Vec<ToDevice>,
}

struct NoJournal;

impl Intake for NoJournal {
    fn submit(&self, _: Submission, done: Submitted) {
        done(Ok(()));
    }
}

impl Doors for Devices {
    fn tell(&self, session: SessionKey, what: ToDevice) -> Result<(), Full> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(device) = sessions.get_mut(&session.slot) else { return Ok(()) };
        let name = Arc::clone(&device.name);
        device.told.push(what.clone());
        drop(sessions);
        if let ToDevice::Method { call, name: method, payload } = what
            && &*method != "silent"
            && let Some(control) = self.control.get().cloned()
        {
            let status = if &*method == "fail" { 500 } else { 200 };
            drop(tokio::spawn(
                async move { control.ask(session, &name, Ask::MethodAnswered { call, status, payload }) },
            ));
        }
        Ok(())
    }
}

/// Starts one in a folder of its own.
#[expect(clippy::expect_used, reason = "a test that cannot start has failed")]
pub async fn serve() -> Served {
    let directory = tempfile::tempdir().expect("a folder");
    serve_in(directory, Arc::default()).await
}

#[expect(clippy::expect_used, reason = "a test that cannot start has failed")]
async fn serve_in(directory: tempfile::TempDir, containers: Arc<InMemory>) -> Served {
    let policies = Arc::new(Policies::open(directory.path()).expect("keys"));
    let store = Arc::new(SqliteStore::open(directory.path()).await.expect("a store"));
    let identities = Arc::new(RegistryDirectory::new(10_000, Arc::clone(&policies)));
    let config = RegistryConfig { poll_ms: 20, ..RegistryConfig::default() };
    let follower = Follower::start(store.clone(), Arc::clone(&identities), &config);
    let follower = follower.await.expect("identities");
    let doors = Arc::new(Devices::default());
    let parts = Parts {
        store: store.clone(),
        documents: store.clone(),
        directory: identities,
        follower,
        doors: doors.clone(),
        intake: Arc::new(NoJournal),
        on_change: Box::new(|_| {}),
    };
    let control = Control::start(millrace_control::Settings::default(), parts).await.expect("an executor");
    drop(doors.control.set(control.clone()));
    let own = Containers::new(Some(containers.clone()), vec![HOST.to_owned()], Vec::new());
    let jobs = Jobs::start(millrace_control_jobs::Settings::default(), control.clone(), own).await.expect("jobs");
    let config = FilesConfig { notifications: true, ..FilesConfig::default() };
    let files = Files::open(config, store, directory.path(), HOST).await.expect("files");
    let state = ServiceState {
        control,
        jobs,
        files: Some(files),
        policies: Arc::clone(&policies),
        host_name: HOST.into(),
        token_skew_seconds: 300,
    };
    let router = router(state.clone());
    Served { url: String::new(), policies, state, containers, router, doors, directory }
}

impl Served {
    /// Listens on a free port of this machine.
    #[expect(clippy::expect_used, reason = "a test that cannot start has failed")]
    pub async fn listen(mut self) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        self.url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = self.router.clone();
        drop(tokio::spawn(async move { axum::serve(listener, router).await.expect("served") }));
        self
    }

    /// Where its data are.
    #[must_use]
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// A token of a policy for a resource, good for so many seconds from now.
    #[must_use]
    #[expect(clippy::expect_used, reason = "tests name policies that are there")]
    pub fn token(&self, policy: &str, resource: &str, seconds: i64) -> String {
        let expiry = u64::try_from(clock::now().unix_seconds().saturating_add(seconds)).unwrap_or_default();
        let key = self.policies.find(policy).expect("a policy").keys[0].clone();
        sas::sign(resource, &key, expiry, Some(policy))
    }

    /// Sends a request with these headers.
    #[expect(clippy::expect_used, reason = "tests send requests that can be sent")]
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answered {
        let mut request = Request::builder().method(method).uri(path).header("host", HOST);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a request");
        let response = self.router.clone().call(request).await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = to_bytes(response.into_body(), 64 * 1024 * 1024).await.expect("a body");
        Answered { status, headers, bytes }
    }

    /// Sends JSON as the owner.
    pub async fn call(&self, method: Method, path: &str, body: Value) -> Answered {
        self.call_with(method, path, &[], body).await
    }

    /// Likewise, with further headers.
    pub async fn call_with(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Value) -> Answered {
        let token = self.token(OWNER, HOST, 60);
        let mut all = vec![("authorization", token.as_str())];
        all.extend(headers);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, path, &all, body).await
    }

    /// Connects a device or module that listens to everything.
    #[expect(clippy::expect_used, reason = "a test that cannot connect has failed")]
    pub async fn connect(&self, slot: u32, name: &IdentityName) {
        let (name, key) = (Arc::new(name.clone()), SessionKey { shard: 0, slot, generation: 1 });
        self.doors
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(slot, Connected { name: Arc::clone(&name), told: Vec::new() });
        let control = &self.state.control;
        control.ask(key, &name, Ask::Open { clean: true, model_id: None }).expect("room");
        let all = [Subscription::Commands, Subscription::Methods, Subscription::TwinAnswers, Subscription::Desired];
        let added = all.into_iter().fold(Subscriptions::default(), |all, one| all.with(Subscriptions::one(one, true)));
        control.ask(key, &name, Ask::Subscribe { added, token: 1 }).expect("room");
        self.told(slot, |what| matches!(what, ToDevice::Subscribed { .. })).await;
    }

    /// Waits until a device was told something.
    ///
    /// # Panics
    /// When it was not within 10 s.
    pub async fn told(&self, slot: u32, wanted: impl Fn(&ToDevice) -> bool) -> ToDevice {
        for _ in 0..1_000 {
            {
                let sessions = self.doors.sessions.lock().unwrap_or_else(PoisonError::into_inner);
                let found =
                    sessions.get(&slot).and_then(|device| device.told.iter().find(|what| wanted(what)).cloned());
                if let Some(found) = found {
                    return found;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the device was not told in time");
    }

    /// Asks again until an answer is as wanted.
    ///
    /// # Panics
    /// When it was not within 10 s.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..1_000 {
            last = self.call(Method::GET, path, Value::Null).await.json();
            if wanted(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{path} did not become as wanted: {last}");
    }

    /// Stops it as a kill would, and starts another one over the same folder.
    pub async fn restarted(self) -> Self {
        let containers = Arc::clone(&self.containers);
        self.state.jobs.shutdown().await;
        self.state.control.shutdown().await;
        let Self { directory, .. } = self;
        serve_in(directory, containers).await
    }
}

impl Answered {
    /// Its body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// A header as text; empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Number of the hub's error.
    #[must_use]
    pub fn error_code(&self) -> u64 {
        self.json()["errorCode"].as_u64().unwrap_or_default()
    }
}
