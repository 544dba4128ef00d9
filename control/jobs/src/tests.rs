//! Jobs and configurations over SQLite, several nodes and crashes included.
//! - Shape: a node is a runtime of its own with everything on it; dropping the runtime in the middle is what a kill looks like to the store.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millrace_control::{Control, Follower, Parts, Policies, RegistryConfig, RegistryDirectory};
use millrace_control_store::registry::{Authentication, Record};
use millrace_control_store::{SqliteStore, clock};
use millrace_model::IdentityName;
use millrace_model::door::{
    Control as _, Doors, Full, Intake, Request, SessionKey, Submission, Submitted, Subscription, Subscriptions,
    ToDevice,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{ConfigurationsConfig, Containers, Jobs, JobsConfig, Settings};

mod configurations;
mod schedule;

/// A node, and how often each device was called on it.
struct Node {
    runtime: Runtime,
    control: Control,
    jobs: Jobs,
    door: Arc<Door>,
}

/// Devices that are all connected. They answer at once, or never.
#[derive(Default)]
struct Door {
    control: std::sync::OnceLock<Control>,
    names: Mutex<BTreeMap<u32, Arc<IdentityName>>>,
    calls: Mutex<BTreeMap<String, u32>>,
    is_silent: std::sync::atomic::AtomicBool,
}

struct NoJournal;

impl Intake for NoJournal {
    fn submit(&self, _: Submission, done: Submitted) {
        done(Ok(()));
    }
}

impl Doors for Door {
    fn tell(&self, session: SessionKey, what: ToDevice) -> Result<(), Full> {
        let ToDevice::Method { call, payload, .. } = what else { return Ok(()) };
        let Some(name) = self.names.lock().unwrap().get(&session.slot).cloned() else { return Ok(()) };
        *self.calls.lock().unwrap().entry(name.to_string()).or_default() += 1;
        if !self.is_silent.load(std::sync::atomic::Ordering::Relaxed)
            && let Some(control) = self.control.get().cloned()
        {
            let answer = Request::MethodAnswered { call, status: 200, payload };
            drop(tokio::spawn(async move { control.ask(session, &name, answer) }));
        }
        Ok(())
    }
}

impl Node {
    fn start(directory: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let door = Arc::new(Door::default());
        let (control, jobs) = runtime.block_on(open(directory, &door));
        drop(door.control.set(control.clone()));
        Self { runtime, control, jobs, door }
    }

    /// Everything ends in the middle of what it does.
    fn killed(self) -> BTreeMap<String, u32> {
        let calls = self.door.calls.lock().unwrap().clone();
        self.runtime.shutdown_timeout(Duration::from_secs(5));
        calls
    }

    fn create(&self, ids: &[String]) {
        self.runtime.block_on(async {
            let mut import = self.control.store().begin_import().await.unwrap();
            let record = |id: &String| {
                Record::new(IdentityName::new(id, None).unwrap(), Authentication::CertificateAuthority, clock::now(), 7)
            };
            import.add(&ids.iter().map(record).collect::<Vec<_>>()).await.unwrap();
            import.commit().await.unwrap();
            self.control.refresh().await;
        });
    }

    fn connect(&self, ids: &[String]) {
        self.runtime.block_on(async {
            for (slot, id) in ids.iter().enumerate() {
                let slot = u32::try_from(slot).unwrap();
                let name = Arc::new(IdentityName::new(id, None).unwrap());
                self.door.names.lock().unwrap().insert(slot, Arc::clone(&name));
                let key = SessionKey { shard: 0, slot, generation: 1 };
                self.control.ask(key, &name, Request::Open { clean: true, model_id: None }).unwrap();
                let added = Subscriptions::one(Subscription::Methods, true);
                self.control.ask(key, &name, Request::Subscribe { added, token: 1 }).unwrap();
            }
        });
    }

    /// A job once it is as wanted.
    fn job(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.until(|| self.runtime.block_on(self.jobs.job(id)).ok().filter(|job| wanted(job)))
    }

    fn twin(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let name = IdentityName::new(id, None).unwrap();
        self.until(|| self.runtime.block_on(self.control.twin(&name)).ok().filter(|twin| wanted(twin)))
    }

    fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        for _ in 0..6_000 {
            if let Some(found) = look() {
                return found;
            }
            self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(10)).await });
        }
        panic!("it did not become as wanted within a minute");
    }

    /// Rows of a job: device and state.
    fn rows(&self, job: &str) -> BTreeMap<String, String> {
        let query = format!("SELECT deviceId, status FROM devices.jobs WHERE jobId = '{job}'");
        let (mut rows, mut continuation) = (BTreeMap::new(), None);
        loop {
            let page = self.runtime.block_on(self.control.query(&query, continuation.as_deref(), 1_000)).unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            rows.extend(page.rows.iter().map(|row| (text(&row["deviceId"]), text(&row["status"]))));
            continuation = page.continuation;
            if continuation.is_none() {
                return rows;
            }
        }
    }
}

async fn open(directory: &Path, door: &Arc<Door>) -> (Control, Jobs) {
    let policies = Arc::new(Policies::open(directory).unwrap());
    let store = Arc::new(SqliteStore::open(directory).await.unwrap());
    let identities = Arc::new(RegistryDirectory::new(100_000, policies));
    let config = RegistryConfig { poll_ms: 20, ..RegistryConfig::default() };
    let follower = Follower::start(store.clone(), Arc::clone(&identities), &config).await.unwrap();
    let parts = Parts {
        store: store.clone(),
        documents: store,
        directory: identities,
        follower,
        doors: door.clone(),
        intake: Arc::new(NoJournal),
        on_change: Box::new(|_| {}),
    };
    let control = Control::start(millrace_control::Settings::default(), parts).await.unwrap();
    let settings = Settings {
        jobs: JobsConfig { lease_seconds: 1, poll_seconds: 1, ..JobsConfig::default() },
        configurations: ConfigurationsConfig { evaluation_seconds: 3_600, changes_seconds: 1 },
    };
    let jobs = Jobs::start(settings, control.clone(), Containers::new(None, Vec::new(), Vec::new())).await.unwrap();
    (control, jobs)
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("d{number:05}")).collect()
}

fn method_job() -> Value {
    json!({"type": "scheduleDeviceMethod", "queryCondition": "*",
        "cloudToDeviceMethod": {"methodName": "hello", "payload": 1, "responseTimeoutInSeconds": 60, "connectTimeoutInSeconds": 60}})
}

fn is_over(job: &Value) -> bool {
    matches!(job["status"].as_str(), Some("completed" | "failed" | "cancelled"))
        && job["deviceJobStatistics"]["pendingCount"] == 0
}
