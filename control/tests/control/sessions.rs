//! Sessions: who is connected, and what they listen to.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use millrace_control_store::documents::{Collection, DocumentKey, Documents};
use millrace_control_store::registry::{ChangeKind, Expected, Status, Update};
use millrace_control_store::{SqliteStore, Store};
use millrace_ingest::Directory;
use millrace_model::IdentityName;
use millrace_model::door::{EndReason, Request, Subscription, ToDevice};

use crate::harness::{Hub, name, record, subscriptions};

const ALL: [Subscription; 4] =
    [Subscription::Commands, Subscription::Methods, Subscription::TwinAnswers, Subscription::Desired];

#[tokio::test]
async fn subscriptions_outlive_connections_and_restarts() {
    let hub = Hub::new().await;
    let device = hub.create("d").await;
    let first = hub.opening(&device, false, None);
    assert!(matches!(first.next().await, ToDevice::Opened { is_present: false, .. }));
    assert_eq!(first.subscribe(&ALL[..2]).await, subscriptions(&ALL[..2]));
    assert_eq!(first.subscribe(&ALL[1..]).await, subscriptions(&ALL));
    first.ask(Request::Unsubscribe { removed: subscriptions(&ALL[..1]), token: 9 });
    let ToDevice::Subscribed { token: 9, subscriptions: left } = first.next().await else { panic!() };
    assert_eq!(left, subscriptions(&ALL[1..]));
    assert_eq!(hub.control.connected_count(), 1);

    let hub = hub.restarted().await;
    assert_eq!(hub.control.connected_count(), 0);
    let again = hub.opening(&device, false, None);
    let ToDevice::Opened { is_present, subscriptions: kept } = again.next().await else { panic!() };
    assert!(is_present);
    assert_eq!(kept, subscriptions(&ALL[1..]));
}

#[tokio::test]
async fn what_sdks_ask_again_is_not_written_again() {
    let hub = Hub::new().await;
    let device = hub.create("d").await;
    let session = hub.connected(&device, &ALL).await;
    session.subscribe(&ALL).await;
    session.subscribe(&ALL[1..]).await;
    let documents: &dyn Documents = &*hub.store;
    let kept = documents.read(&DocumentKey::of(Collection::Session, &device)).await.unwrap().unwrap();
    assert_eq!((kept.version, kept.body.len()), (1, 3));
}

#[tokio::test]
async fn a_clean_session_keeps_nothing_and_finds_nothing() {
    let hub = Hub::new().await;
    let device = hub.create("d").await;
    hub.connected(&device, &ALL).await.close().await;
    let clean = hub.opening(&device, true, None);
    assert!(matches!(clean.next().await, ToDevice::Opened { is_present: false, .. }));
    clean.subscribe(&ALL).await;
    clean.close().await;
    let later = hub.opening(&device, false, None);
    assert!(matches!(later.next().await, ToDevice::Opened { is_present: false, .. }));
}

#[tokio::test]
async fn a_newer_session_ends_the_older_which_then_changes_nothing() {
    let hub = Hub::new().await;
    let device = hub.create("d").await;
    let older = hub.connected(&device, &ALL[..1]).await;
    let newer = hub.connected(&device, &[]).await;
    assert!(matches!(older.next().await, ToDevice::End(EndReason::TakenOver)));
    older.ask(Request::Subscribe { added: subscriptions(&ALL), token: 1 });
    older.ask(Request::Close);
    assert_eq!(newer.subscribe(&ALL[1..2]).await, subscriptions(&ALL[..2]));
    assert!(older.try_next().is_none(), "nobody answers a session that is over");
    assert_eq!(hub.control.connected_count(), 1);
    newer.close().await;
    assert_eq!(hub.control.connected_count(), 0);
    let presence = hub.control.presence(&device);
    assert!(!presence.is_connected && presence.last_activity.is_some());
}

#[tokio::test]
async fn modules_have_sessions_of_their_own() {
    let hub = Hub::new().await;
    let device = hub.create("d").await;
    let module = IdentityName::new("d", Some("$edgeHub")).unwrap();
    hub.control.create(&record(&module)).await.unwrap();
    let of_device = hub.connected(&device, &ALL[..1]).await;
    let of_module = hub.connected(&module, &ALL[1..2]).await;
    assert_eq!(hub.control.connected_count(), 2);
    assert!(of_device.try_next().is_none());
    assert_eq!(of_module.subscribe(&[]).await, subscriptions(&ALL[1..2]));
}

#[tokio::test]
async fn a_device_that_another_process_has_created_is_found_on_demand() {
    let hub = Hub::new().await;
    let other: Arc<dyn Store> = Arc::new(SqliteStore::open(hub.dir.path()).await.unwrap());
    let device = name("new");
    other.create(&record(&device)).await.unwrap();
    let session = hub.opening(&device, false, None);
    session.next().await;
    session.ask(Request::Refresh);
    assert!(matches!(session.next().await, ToDevice::Refreshed));
    assert!(hub.control.directory().find("new", None).is_some());
}

#[tokio::test]
async fn who_is_changed_by_the_service_is_changed_at_once() {
    let hub = Hub::new().await;
    let device = hub.create("d").await;
    assert!(hub.control.directory().find("d", None).unwrap().enabled);
    let disabled = Update { status: Some(Status::Disabled), ..Update::default() };
    hub.control.update(&device, Expected::Any, disabled).await.unwrap();
    assert!(!hub.control.directory().find("d", None).unwrap().enabled);
    hub.control.delete(&device, Expected::Any).await.unwrap();
    assert!(hub.control.directory().find("d", None).is_none());
    let kinds: Vec<_> = hub.changes.lock().unwrap().iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::Created, ChangeKind::Disabled, ChangeKind::Deleted]);
}

#[tokio::test]
async fn subscriptions_go_with_the_identity() {
    let hub = Hub::new().await;
    let device = hub.create("d").await;
    hub.connected(&device, &ALL).await.close().await;
    hub.control.delete(&device, Expected::Any).await.unwrap();
    hub.create("d").await;
    let session = hub.opening(&device, false, None);
    assert!(matches!(session.next().await, ToDevice::Opened { is_present: false, .. }));
}

#[tokio::test]
async fn a_shard_that_is_full_for_a_moment_is_told_later_and_in_order() {
    let hub = Hub::new().await;
    let device = hub.create("d").await;
    let session = hub.connected(&device, &[]).await;
    hub.doors.refusals.store(5, Ordering::SeqCst);
    for token in 0..10 {
        session.ask(Request::Subscribe { added: subscriptions(&ALL[..1]), token });
    }
    for expected in 0..10 {
        let ToDevice::Subscribed { token, .. } = session.next().await else { panic!() };
        assert_eq!(token, expected);
    }
}
