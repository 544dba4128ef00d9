//! The common suite, and what is particular to the file.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::limits::CHANGES_KEPT;
use crate::store::document_suite;
use crate::store::suite::{every_check, name, record};

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
    for damage in ["SET primary_key = NULL", "SET primary_key = x'00'", "SET device_id = 'a/b'"] {
        let (_dir, store) = open().await;
        store.create(&record("d", None)).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("UPDATE identity {damage}"))).execute(&store.writer).await.unwrap();
        let error = store.devices(None, 9).await.unwrap_err();
        assert!(matches!(error, RegistryError::Corrupt { .. }), "{damage}: {error:?}");
    }
}
