//! The common suite, and what is particular to the file.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::documents::{Collection, Documents, Precondition};
use crate::limits::CHANGES_KEPT;
use crate::registry::Authentication;
use crate::store::document_suite::{self, batch, key, put};
use crate::store::suite::{every_check, name, record};
use crate::store::{document_model, follow};

async fn open() -> (tempfile::TempDir, SqliteStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    (dir, store)
}

#[tokio::test]
async fn does_what_every_store_must() {
    every_check(open).await;
}

#[tokio::test]
async fn keeps_documents_as_every_store_must() {
    document_suite::every_check(open).await;
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("new/data");
    let store = SqliteStore::open(&dir).await.unwrap();
    store.create(&record("d", None)).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 3, "the file, its log and the log's index");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn what_was_written_is_there_after_opening_again() {
    let (dir, store) = open().await;
    store.create(&record("d", None)).await.unwrap();
    store.close().await;
    let again = SqliteStore::open(dir.path()).await.unwrap();
    assert!(again.get(&name("d", None)).await.unwrap().is_some());
}

#[tokio::test]
async fn programs_may_open_a_new_file_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let open = || SqliteStore::open(dir.path());
    let (one, two, three) = tokio::join!(open(), open(), open());
    let stores = [one.unwrap(), two.unwrap(), three.unwrap()];
    for (number, store) in stores.iter().enumerate() {
        store.create(&record(&format!("d{number}"), None)).await.unwrap();
    }
    assert_eq!(stores[0].devices(None, 9).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused_and_left_alone() {
    let (dir, store) = open().await;
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&store.writer).await.unwrap();
    store.close().await;
    let error = SqliteStore::open(dir.path()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Newer { found: 99, known: 2 }), "{error:?}");
}

#[tokio::test]
async fn a_file_that_is_no_registry_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join(SqliteStore::FILE_NAME),
        "not a database, but long enough to look like one".repeat(99),
    )
    .unwrap();
    assert!(SqliteStore::open(dir.path()).await.is_err());
}

#[tokio::test]
async fn the_change_log_keeps_within_its_bound() {
    let (_dir, store) = open().await;
    store.create(&record("d", None)).await.unwrap();
    let flood = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200010) \
                 INSERT INTO change (device_id, module_id) SELECT 'd', '' FROM n";
    sqlx::raw_sql(flood).execute(&store.writer).await.unwrap();
    let newest = store.newest_change().await.unwrap();
    assert_eq!(newest, 200_011);
    let row = sqlx::query("SELECT count(*) FROM change").fetch_one(&store.readers).await.unwrap();
    assert_eq!(row.get::<i64, _>(0), CHANGES_KEPT);
    assert!(store.changes_since(newest - CHANGES_KEPT - 1, 9).await.unwrap().is_none(), "too far back");
    let oldest = store.changes_since(newest - CHANGES_KEPT, 1).await.unwrap().unwrap();
    assert_eq!(oldest[0].sequence, newest - CHANGES_KEPT + 1);
}

#[tokio::test]
async fn a_change_by_hand_is_logged_too() {
    let (_dir, store) = open().await;
    store.create(&record("d", None)).await.unwrap();
    let before = store.newest_change().await.unwrap();
    sqlx::raw_sql("UPDATE identity SET enabled = 0").execute(&store.writer).await.unwrap();
    assert_eq!(store.changes_since(before, 9).await.unwrap().unwrap().len(), 1);
}

#[tokio::test]
async fn impossible_rows_are_reported_not_believed() {
    for damage in
        ["SET primary_key = NULL", "SET primary_key = x'00'", "SET device_id = 'a/b'", "SET authentication = 9"]
    {
        let (_dir, store) = open().await;
        store.create(&record("d", None)).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("UPDATE identity {damage}"))).execute(&store.writer).await.unwrap();
        let error = store.devices(None, 9).await.unwrap_err();
        assert!(matches!(error, RegistryError::Corrupt { .. }), "{damage}: {error:?}");
    }
}

#[test]
fn documents_are_those_of_the_model() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_dir, store) = runtime.block_on(open());
    document_model::compare(&runtime, &store, 100);
}

#[tokio::test]
async fn a_follower_misses_no_change_of_two_programs() {
    let (dir, one) = open().await;
    let other = SqliteStore::open(dir.path()).await.unwrap();
    follow::misses_nothing(&one, &other).await;
    document_suite::no_increment_is_lost(&[one, other]).await;
}

#[tokio::test]
async fn a_thousand_at_once_cost_a_handful_of_commits() {
    let (_dir, store) = open().await;
    let commits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&commits);
    let mut connection = store.writer.acquire().await.unwrap();
    connection.lock_handle().await.unwrap().set_commit_hook(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        true
    });
    drop(connection);
    let callers: Vec<_> = (0..1_000)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let id = format!("d{number}");
                if number % 10 == 0 {
                    return store.create(&record(&id, None)).await.unwrap();
                }
                let twin = key(Collection::Twin, &id, "");
                assert_eq!(store.apply(batch([put(&twin, Precondition::Absent, "x")])).await.unwrap(), [1]);
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(store.count().await.unwrap().total, 100);
    assert_eq!(store.count_documents(Collection::Twin, None).await.unwrap(), 900);
    let commits = commits.load(Ordering::Relaxed);
    assert!(commits <= 20, "{commits} commits");
}

#[tokio::test]
async fn what_the_file_refuses_of_one_caller_is_refused_to_that_one() {
    let (_dir, store) = open().await;
    let trap = "CREATE TRIGGER trap BEFORE INSERT ON document WHEN new.name = 'trap' \
                BEGIN SELECT RAISE(ABORT, 'trapped'); END";
    sqlx::raw_sql(trap).execute(&store.writer).await.unwrap();
    let apply =
        async |name: &str| store.apply(batch([put(&key(Collection::State, "", name), Precondition::Any, "x")])).await;
    let (one, trapped, other) = tokio::join!(apply("one"), apply("trap"), apply("other"));
    assert_eq!((one.unwrap(), other.unwrap()), (vec![1], vec![1]));
    assert!(trapped.is_err());
}

#[tokio::test]
async fn slow_scans_leave_look_ups_alone() {
    let (_dir, store) = open().await;
    let mut scans = Vec::new();
    for _ in 0..SCANNERS {
        scans.push(store.scanners.acquire().await.unwrap());
    }
    assert!(store.read(&key(Collection::Twin, "d", "")).await.unwrap().is_none());
    assert!(store.get(&name("d", None)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_file_of_version_1_is_brought_forward() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new().filename(dir.path().join(SqliteStore::FILE_NAME)).create_if_missing(true);
    let old = SqlitePool::connect_with(options).await.unwrap();
    sqlx::raw_sql(include_str!("schema_1.sql")).execute(&old).await.unwrap();
    sqlx::raw_sql(
        "PRAGMA user_version = 1; \
         INSERT INTO identity VALUES ('keys', '', 7, 8, 1, NULL, zeroblob(32), zeroblob(32), 1, 2, 3); \
         INSERT INTO identity VALUES ('none', '', 7, 8, 0, 'why', NULL, NULL, 1, 2, 3);",
    )
    .execute(&old)
    .await
    .unwrap();
    old.close().await;
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let keys = store.get(&name("keys", None)).await.unwrap().unwrap();
    let none = store.get(&name("none", None)).await.unwrap().unwrap();
    assert!(matches!(keys.authentication, Authentication::Sas { .. }));
    assert!(matches!(none.authentication, Authentication::None) && none.status_reason.as_deref() == Some("why"));
    let twin = key(Collection::Twin, "keys", "");
    store.apply(batch([put(&twin, Precondition::Absent, "x")])).await.unwrap();
    store.delete(&name("keys", None), Expected::Any).await.unwrap();
    assert!(store.read(&twin).await.unwrap().is_none());
}
