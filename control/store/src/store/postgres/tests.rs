//! The common suites, and what is particular to a database that several nodes share.

use std::time::Instant;

use millrace_model::{Classify, Kind};

use super::*;
use crate::documents::{ApplyError, Batch, Collection, Documents, Heard, Notice, Notices, Precondition};
use crate::registry::Status;
use crate::store::document_suite::{self, batch, key, put};
use crate::store::postgres::server::Server;
use crate::store::suite::{self, name, record};
use crate::store::{document_model, follow};

const DEADLINE: Duration = Duration::from_secs(60);

async fn open() -> ((), PostgresStore) {
    ((), PostgresStore::open(&Server::shared().database().await).await.unwrap())
}

/// Two nodes on one database.
async fn nodes() -> [PostgresStore; 2] {
    let url = Server::shared().database().await;
    let (one, other) = tokio::join!(PostgresStore::open(&url), PostgresStore::open(&url));
    [one.unwrap(), other.unwrap()]
}

#[tokio::test]
async fn does_what_every_store_must() {
    suite::every_check(open).await;
}

#[tokio::test]
async fn keeps_documents_as_every_store_must() {
    document_suite::every_check(open).await;
}

#[test]
fn documents_are_those_of_the_model() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ((), store) = runtime.block_on(open());
    document_model::compare(&runtime, &store, 20);
}

#[tokio::test]
async fn of_many_callers_on_two_nodes_only_one_is_first() {
    let [one, other] = nodes().await;
    document_suite::of_many_only_one_is_first(&one, &other).await;
}

#[tokio::test]
async fn no_increment_of_two_nodes_is_lost() {
    document_suite::no_increment_is_lost(&nodes().await).await;
}

#[tokio::test]
async fn a_node_hears_what_others_note_with_their_writes() {
    let [one, other] = nodes().await;
    let mut heard = Documents::listen(&one).await.unwrap().unwrap();
    let twin = key(Collection::Twin, "d", "m");
    let of = |precondition, note: Option<&str>| batch([put(&twin, precondition, "1").noted(note.map(Into::into))]);
    // Its own, one without a note, and one that is not done.
    one.apply(of(Precondition::Any, Some("own"))).await.unwrap();
    other.apply(of(Precondition::Any, None)).await.unwrap();
    other.apply(of(Precondition::Absent, Some("refused"))).await.unwrap_err();
    other.apply(of(Precondition::Any, Some("done"))).await.unwrap();
    let notice = Notice { key: twin.clone(), text: "done".into() };
    assert_eq!(next(heard.as_mut()).await, Ok(Heard::Notice(notice)));
    // However long a note is, its write is done.
    other.apply(of(Precondition::Any, Some(&"x".repeat(100_000)))).await.unwrap();
    assert_eq!(next(heard.as_mut()).await, Ok(Heard::Notice(Notice { key: twin.clone(), text: "".into() })));
}

#[tokio::test]
async fn nobody_waits_long_for_a_server_that_is_silent() {
    let server = Server::start();
    let store = PostgresStore::open(&server.database().await).await.unwrap();
    let twin = key(Collection::Twin, "d", "");
    Documents::read(&store, &twin).await.unwrap();
    server.pause();
    let begun = Instant::now();
    let (read, newest) = tokio::join!(Documents::read(&store, &twin), Store::newest_change(&store));
    assert!(matches!((read, newest), (Err(RegistryError::Busy), Err(RegistryError::Busy))));
    assert!(begun.elapsed() < Duration::from_secs(WAIT_SECONDS + ANSWER_SECONDS_MAX + 5));
    server.resume();
    while Documents::read(&store, &twin).await.is_err() {
        assert!(begun.elapsed() < DEADLINE);
    }
}

#[tokio::test]
async fn a_listener_says_when_it_may_have_missed_something() {
    let [one, other] = nodes().await;
    let mut heard = Documents::listen(&one).await.unwrap().unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    sqlx::raw_sql(end).execute(&other.writer).await.unwrap();
    next(heard.as_mut()).await.unwrap_err();
    assert_eq!(next(heard.as_mut()).await, Ok(Heard::Gap));
    let queue = key(Collection::CommandQueue, "d", "");
    let noted = put(&queue, Precondition::Any, "1").noted(Some("".into()));
    other.apply(batch([noted])).await.unwrap();
    assert_eq!(next(heard.as_mut()).await, Ok(Heard::Notice(Notice { key: queue, text: "".into() })));
}

async fn next(heard: &mut dyn Notices) -> Result<Heard, String> {
    let next = timeout(DEADLINE, heard.next()).await.unwrap();
    next.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_follower_misses_no_change_of_two_nodes() {
    let [one, other] = nodes().await;
    follow::misses_nothing(&one, &other).await;
}

#[tokio::test]
async fn a_change_that_commits_late_is_not_overtaken() {
    let [one, other] = nodes().await;
    one.create(&record("first", None)).await.unwrap();
    let mut late = one.begin_import().await.unwrap();
    assert_eq!(late.add(&[record("late", None)]).await.unwrap(), [0; 0]);
    let creation = tokio::spawn({
        let other = other.clone();
        async move { Store::create(&other, &record("hasty", None)).await }
    });
    wait_for(
        &other,
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())",
    )
    .await;
    assert_eq!(other.newest_change().await.unwrap(), 1, "what is not committed is not seen");
    Box::new(late).commit().await.unwrap();
    creation.await.unwrap().unwrap();
    let changes = other.changes_since(1, 9).await.unwrap().unwrap();
    let seen: Vec<_> = changes.iter().map(|change| (change.sequence, change.name.device_id())).collect();
    assert_eq!(seen, [(2, "late"), (3, "hasty")]);
}

/// Waits until a question is answered with yes.
async fn wait_for(store: &PostgresStore, sql: &'static str) {
    let begun = Instant::now();
    while !sqlx::query(sql).fetch_one(&store.readers).await.unwrap().get::<bool, _>(0) {
        assert!(begun.elapsed() < DEADLINE, "{sql}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn deletion_on_one_node_and_writes_on_another_leave_no_orphan() {
    let [one, other] = nodes().await;
    for round in 0..20 {
        let device = name(&format!("d{round}"), None);
        one.create(&record(device.device_id(), None)).await.unwrap();
        let writes = (0..8).map(|number| {
            let (store, device) = (other.clone(), device.clone());
            tokio::spawn(async move {
                let key = key(Collection::Command, device.device_id(), &number.to_string());
                store.apply(Batch { identity: Some(device), ..batch([put(&key, Precondition::Any, "x")]) }).await
            })
        });
        let writes: Vec<_> = writes.collect();
        one.delete(&device, Expected::Any).await.unwrap();
        for write in writes {
            let answer = write.await.unwrap();
            assert!(matches!(answer, Ok(_) | Err(ApplyError::NoIdentity)), "{answer:?}");
        }
        assert_eq!(one.count_documents(Collection::Command, Some(device.device_id())).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn groups_share_commits() {
    let ((), store) = open().await;
    let callers: Vec<_> = (0..1_000)
        .map(|number| {
            let store = store.clone();
            let key = key(Collection::Twin, &format!("d{number}"), "");
            tokio::spawn(async move { store.apply(batch([put(&key, Precondition::Absent, "x")])).await })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap(), [1]);
    }
    // Each row bears the number of the transaction that wrote it.
    let row = sqlx::query("SELECT count(DISTINCT xmin::text) FROM document").fetch_one(&store.readers).await.unwrap();
    let transactions = row.get::<i64, _>(0);
    assert!(transactions <= 20, "{transactions} transactions");
}

#[tokio::test]
async fn after_the_server_was_killed_everything_answered_is_there() {
    let server = Server::start();
    let store = PostgresStore::open(&server.database().await).await.unwrap();
    let twin = key(Collection::Twin, "d", "");
    store.create(&record("d", None)).await.unwrap();
    store.apply(batch([put(&twin, Precondition::Absent, "x")])).await.unwrap();
    server.kill();
    let error = store.apply(batch([put(&twin, Precondition::Version(1), "y")])).await.unwrap_err();
    let ApplyError::Store(error) = error else { panic!("{error:?}") };
    assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
    let error = store.get(&name("d", None)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
    server.restart();
    let begun = Instant::now();
    while store.apply(batch([put(&twin, Precondition::Any, "z")])).await.is_err() {
        assert!(begun.elapsed() < DEADLINE);
    }
    assert!(store.read(&twin).await.unwrap().unwrap().version >= 2);
    assert!(store.get(&name("d", None)).await.unwrap().is_some());
}

#[tokio::test]
async fn slow_scans_leave_look_ups_alone() {
    let ((), store) = open().await;
    let mut scans = Vec::new();
    for _ in 0..SCANNERS {
        scans.push(store.scanners.acquire().await.unwrap());
    }
    assert!(store.read(&key(Collection::Twin, "d", "")).await.unwrap().is_none());
    assert!(store.get(&name("d", None)).await.unwrap().is_none());
}

#[tokio::test]
async fn nodes_may_start_on_a_new_database_at_once() {
    let url = Server::shared().database().await;
    let open = || PostgresStore::open(&url);
    let (one, two, three) = tokio::join!(open(), open(), open());
    for (number, store) in [one.unwrap(), two.unwrap(), three.unwrap()].iter().enumerate() {
        store.create(&record(&format!("d{number}"), None)).await.unwrap();
        assert_eq!(store.devices(None, 9).await.unwrap().len(), number + 1);
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let url = Server::shared().database().await;
    let store = PostgresStore::open(&url).await.unwrap();
    sqlx::raw_sql("INSERT INTO millrace_schema (version) VALUES (99)").execute(&store.writer).await.unwrap();
    let error = PostgresStore::open(&url).await.unwrap_err();
    assert!(matches!(error, RegistryError::Newer { found: 99, known: 1 }), "{error:?}");
}

#[tokio::test]
async fn no_error_names_the_password() {
    let url = Server::shared().database().await;
    let wrong = |url: String| async move {
        let error = PostgresStore::open(&url).await.unwrap_err();
        let text = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
        assert!(!text.contains("hunter2"), "{text}");
        error
    };
    let closed_port = "postgres://millrace:hunter2@127.0.0.1:1/x".to_owned();
    assert_eq!(wrong(closed_port).await.kind(), Kind::Unavailable);
    assert!(matches!(wrong("postgres://u:hunter2@[h/x".to_owned()).await, RegistryError::Url));
    assert!(matches!(wrong("postgres://u:hunter2@h:port/x".to_owned()).await, RegistryError::Url));
    wrong(url.replace("millrace@", "nobody:hunter2@")).await;
    let store = PostgresStore::open(&url.replace("millrace@", "millrace:hunter2@")).await.unwrap();
    assert!(!format!("{store:?}").contains("hunter2"), "{store:?}");
}

#[tokio::test]
async fn a_change_by_hand_is_logged_too() {
    let ((), store) = open().await;
    for id in ["d", "e"] {
        store.create(&record(id, None)).await.unwrap();
    }
    sqlx::raw_sql("UPDATE identity SET enabled = false").execute(&store.writer).await.unwrap();
    let changes = store.changes_since(2, 9).await.unwrap().unwrap();
    assert_eq!(changes.iter().map(|change| change.sequence).collect::<Vec<_>>(), [3, 4]);
    assert!(changes.iter().all(|change| change.now.as_ref().is_some_and(|now| now.status == Status::Disabled)));
}

#[tokio::test]
async fn the_change_log_keeps_within_its_bound() {
    let ((), store) = open().await;
    store.create(&record("d", None)).await.unwrap();
    let flood = "UPDATE change_bounds SET newest = 300500; \
                 INSERT INTO change SELECT i, 'd', '', 1 FROM generate_series(2, 300500) i";
    sqlx::raw_sql(flood).execute(&store.writer).await.unwrap();
    let many: Vec<Record> = (0..600).map(|number| record(&format!("m{number}"), None)).collect();
    let mut import = Store::begin_import(&store).await.unwrap();
    import.add(&many).await.unwrap();
    import.commit().await.unwrap();
    let newest = store.newest_change().await.unwrap();
    assert_eq!(newest, 301_100);
    let row = sqlx::query("SELECT count(*) FROM change").fetch_one(&store.readers).await.unwrap();
    let kept = row.get::<i64, _>(0);
    assert!((crate::limits::CHANGES_KEPT..=crate::limits::CHANGES_KEPT + 1_000).contains(&kept), "{kept}");
    assert!(store.changes_since(1, 9).await.unwrap().is_none(), "too far back");
    assert_eq!(store.changes_since(newest - 600, 999).await.unwrap().unwrap().len(), 600);
}

#[tokio::test]
async fn impossible_rows_are_reported_not_believed() {
    for damage in
        ["SET primary_key = NULL", "SET primary_key = '\\x00'", "SET device_id = 'a/b'", "SET authentication = 9"]
    {
        let ((), store) = open().await;
        store.create(&record("d", None)).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("UPDATE identity {damage}"))).execute(&store.writer).await.unwrap();
        let error = store.devices(None, 9).await.unwrap_err();
        assert!(matches!(error, RegistryError::Corrupt { .. }), "{damage}: {error:?}");
    }
}
