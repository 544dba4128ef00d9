//! Figures of jobs over SQLite: a scheduled change of twins, an export, an import and a round of configurations.
//! - Shape: `cargo run --release -p millrace-control-jobs --example figures -- DEVICES`

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program that measures and prints")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_control::{Control, Follower, Parts, Policies, RegistryConfig, RegistryDirectory};
use millrace_control_jobs::{Containers, Jobs, Settings};
use millrace_control_store::registry::{Authentication, Record};
use millrace_control_store::{SqliteStore, clock};
use millrace_model::IdentityName;
use millrace_model::door::{Doors, Full, Intake, SessionKey, Submission, Submitted, ToDevice};
use object_store::local::LocalFileSystem;
use serde_json::{Value, json};

struct Nobody;

impl Doors for Nobody {
    fn tell(&self, _: SessionKey, _: ToDevice) -> Result<(), Full> {
        Ok(())
    }
}

impl Intake for Nobody {
    fn submit(&self, _: Submission, done: Submitted) {
        done(Ok(()));
    }
}

fn main() {
    let devices = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(20_000);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(measure(devices));
}

async fn measure(devices: u32) {
    let directory = tempfile::tempdir().unwrap();
    let (control, jobs) = open(directory.path()).await;
    create(&control, devices).await;
    let begun = Instant::now();
    let body = json!({"type": "scheduleUpdateTwin", "queryCondition": "*", "updateTwin": {"tags": {"site": "A"}}});
    jobs.create_job("j", &body).await.unwrap();
    while jobs.job("j").await.unwrap()["status"] != "completed" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    told("scheduled twin updates", devices, begun);

    let begun = Instant::now();
    transfer(&jobs, json!({"type": "export", "outputBlobContainerUri": "exports"})).await;
    told("exported identities", devices, begun);
    let begun = Instant::now();
    transfer(&jobs, json!({"type": "import", "inputBlobContainerUri": "exports", "outputBlobContainerUri": "exports"}))
        .await;
    told("imported identities (all there: updates with twins)", devices, begun);

    let begun = Instant::now();
    let content = json!({"deviceContent": {"properties.desired.x": 1}});
    let configuration = json!({"targetCondition": "tags.site = 'A'", "priority": 1, "content": content});
    jobs.put_configuration("c", &configuration, None).await.unwrap();
    jobs.evaluated().await;
    told("twins compared and changed by a configuration", devices, begun);
    let begun = Instant::now();
    jobs.evaluated().await;
    told("twins compared and left as they are", devices, begun);
    jobs.shutdown().await;
    control.shutdown().await;
}

async fn transfer(jobs: &Jobs, body: Value) {
    let job = jobs.create_transfer(&body).await.unwrap();
    let id = job["jobId"].as_str().unwrap();
    while jobs.transfer(id).await.unwrap()["status"] != "completed" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn told(what: &str, count: u32, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64();
    println!("{what}: {count} in {seconds:.2} s = {:.0}/s", f64::from(count) / seconds);
}

async fn create(control: &Control, devices: u32) {
    let mut import = control.store().begin_import().await.unwrap();
    for begin in (0..devices).step_by(1_000) {
        let record = |number: u32| {
            let name = IdentityName::new(&format!("device-{number:07}"), None).unwrap();
            Record::new(name, Authentication::CertificateAuthority, clock::now(), 7)
        };
        let records: Vec<_> = (begin..devices.min(begin.saturating_add(1_000))).map(record).collect();
        import.add(&records).await.unwrap();
    }
    import.commit().await.unwrap();
    control.refresh().await;
}

async fn open(directory: &std::path::Path) -> (Control, Jobs) {
    let policies = Arc::new(Policies::open(directory).unwrap());
    let store = Arc::new(SqliteStore::open(directory).await.unwrap());
    let identities = Arc::new(RegistryDirectory::new(2_000_000, policies));
    let follower = Follower::start(store.clone(), Arc::clone(&identities), &RegistryConfig::default()).await.unwrap();
    let parts = Parts {
        store: store.clone(),
        documents: store,
        directory: identities,
        follower,
        doors: Arc::new(Nobody),
        intake: Arc::new(Nobody),
        on_change: Box::new(|_| {}),
    };
    let control = Control::start(millrace_control::Settings::default(), parts).await.unwrap();
    let folder = directory.join("containers");
    std::fs::create_dir(&folder).unwrap();
    let local = Arc::new(LocalFileSystem::new_with_prefix(folder).unwrap());
    let containers = Containers::new(Some(local), Vec::new(), Vec::new());
    let jobs = Jobs::start(Settings::default(), control.clone(), containers).await.unwrap();
    (control, jobs)
}
