//! A follower beside writers in this and in another process.

use std::path::Path;
use std::sync::mpsc;

use millrace_ingest::Directory;

use super::*;
use crate::policies::Policies;
use crate::samples::{name, record};
use millrace_control_store::registry::{Expected, Status, Update};
use millrace_control_store::store::SqliteStore;

const DEADLINE: Duration = Duration::from_secs(30);
/// Tells the test below that it is the other process, and where to write.
const OTHER_PROCESS: &str = "MILLRACE_TEST_OTHER_PROCESS";

struct Hub {
    directory: Arc<RegistryDirectory>,
    follower: Follower,
}

async fn hub(dir: &Path) -> Hub {
    let store = Arc::new(SqliteStore::open(dir).await.unwrap());
    let directory = Arc::new(RegistryDirectory::new(1_000_000, Arc::new(Policies::open(dir).unwrap())));
    let config = RegistryConfig { poll_ms: 10, ..RegistryConfig::default() };
    let follower = Follower::start(store, Arc::clone(&directory), &config).await.unwrap();
    Hub { directory, follower }
}

fn status(status: Status) -> Update {
    Update { status: Some(status), ..Update::default() }
}

async fn kinds(follower: &mut Follower) -> Vec<(String, ChangeKind)> {
    let mut kinds = Vec::new();
    follower.catch_up(|change| kinds.push((change.name.to_string(), change.kind))).await.unwrap();
    kinds
}

#[tokio::test]
async fn takes_over_what_others_change_and_reports_it_once() {
    let dir = tempfile::tempdir().unwrap();
    let operator = SqliteStore::open(dir.path()).await.unwrap();
    let operator: &dyn Store = &operator;
    operator.create(&record("before", None)).await.unwrap();
    let Hub { directory, mut follower } = hub(dir.path()).await;
    assert!(directory.find("before", None).is_some());
    assert_eq!(kinds(&mut follower).await, []);

    operator.create(&record("d", None)).await.unwrap();
    operator.create(&record("d", Some("m"))).await.unwrap();
    let created = |name: &str| (name.to_owned(), ChangeKind::Created);
    assert_eq!(kinds(&mut follower).await, [created("d"), created("d/m")]);
    operator.update(&name("d", None), Expected::Any, status(Status::Disabled)).await.unwrap();
    assert_eq!(kinds(&mut follower).await, [("d".to_owned(), ChangeKind::Disabled)]);
    assert!(!directory.find("d", None).unwrap().enabled);
    operator.delete(&name("d", None), Expected::Any).await.unwrap();
    let deleted = |name: &str| (name.to_owned(), ChangeKind::Deleted);
    let mut gone = kinds(&mut follower).await;
    gone.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(gone, [deleted("d"), deleted("d/m")]);
    assert_eq!(kinds(&mut follower).await, []);
    assert_eq!(directory.len(), 1);
}

#[tokio::test]
async fn deleted_and_created_between_two_looks_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let operator = SqliteStore::open(dir.path()).await.unwrap();
    let operator: &dyn Store = &operator;
    operator.create(&record("d", None)).await.unwrap();
    let Hub { mut follower, .. } = hub(dir.path()).await;
    operator.delete(&name("d", None), Expected::Any).await.unwrap();
    let mut again = record("d", None);
    again.generation.0 += 1;
    operator.create(&again).await.unwrap();
    assert_eq!(kinds(&mut follower).await, [("d".to_owned(), ChangeKind::Recreated)]);
}

#[tokio::test]
async fn far_behind_the_log_everything_is_compared() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let operator: &dyn Store = &store;
    for id in ["stays", "goes", "changes"] {
        operator.create(&record(id, None)).await.unwrap();
    }
    let Hub { directory, mut follower } = hub(dir.path()).await;
    operator.delete(&name("goes", None), Expected::Any).await.unwrap();
    operator.update(&name("changes", None), Expected::Any, status(Status::Disabled)).await.unwrap();
    operator.create(&record("comes", None)).await.unwrap();
    store.forget_changes().await.unwrap();
    let mut seen = kinds(&mut follower).await;
    seen.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [("changes", ChangeKind::Disabled), ("comes", ChangeKind::Created), ("goes", ChangeKind::Deleted)];
    assert_eq!(seen, expected.map(|(name, kind)| (name.to_owned(), kind)));
    assert_eq!(directory.len(), 3);
    assert_eq!(kinds(&mut follower).await, []);
}

/// Run as the other process: adds, disables and deletes devices. Run as a test: nothing to do.
#[tokio::test]
async fn other_process() {
    let Some(dir) = std::env::var_os(OTHER_PROCESS) else { return };
    let store = SqliteStore::open(Path::new(&dir)).await.unwrap();
    let store: &dyn Store = &store;
    for number in 0..50 {
        store.create(&record(&format!("d{number}"), None)).await.unwrap();
    }
    store.update(&name("d7", None), Expected::Any, status(Status::Disabled)).await.unwrap();
    store.delete(&name("d8", None), Expected::Any).await.unwrap();
}

#[tokio::test]
async fn follows_another_process_while_both_write() {
    let dir = tempfile::tempdir().unwrap();
    let Hub { directory, follower } = hub(dir.path()).await;
    let (changes, changed) = mpsc::sync_channel(1 << 16);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let following = follower.run(move |change| changes.send(change.clone()).unwrap_or_default(), async {
        stopped.await.unwrap_or_default()
    });
    let working = async {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "follower::tests::other_process"])
            .env(OTHER_PROCESS, dir.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let own = SqliteStore::open(dir.path()).await.unwrap();
        for number in 0..50 {
            Store::create(&own, &record(&format!("own{number}"), None)).await.unwrap();
        }
        let mut last = (false, false);
        while last != (true, true) || directory.len() != 99 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            for change in changed.try_iter() {
                last.0 |= change.kind == ChangeKind::Disabled && change.name == name("d7", None);
                last.1 |= change.kind == ChangeKind::Deleted && change.name == name("d8", None);
            }
        }
        assert!(child.wait().unwrap().success());
        stop.send(()).unwrap();
    };
    tokio::time::timeout(DEADLINE, async { tokio::join!(following, working) }).await.unwrap();
    assert!(!directory.find("d7", None).unwrap().enabled);
}
