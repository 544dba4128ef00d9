//! What happens when things fall on the same moment: somebody goes away, connects, or cannot be read just then.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use millrace_control_command::{Ack, Draft};
use millrace_control_store::documents::Collection;
use millrace_control_store::registry::Expected;
use millrace_model::door::{Refusal, Request, Subscription, ToDevice};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::commands::send;
use crate::harness::{Hub, name};

const COMMANDS: [Subscription; 1] = [Subscription::Commands];

#[tokio::test]
async fn a_command_is_delivered_also_when_its_sender_has_gone_away() {
    let hub = Hub::new().await;
    let device = hub.connected(&hub.create("d").await, &COMMANDS).await;
    let before = hub.documents.batches.load(Ordering::SeqCst);
    let (control, target) = (hub.control.clone(), name("d"));
    let message = control.message(Draft { body: "a".into(), ..Draft::default() }).unwrap();
    let sending = tokio::spawn(async move { control.send_command(&target, &message).await });
    hub.documents.batches_beyond(before).await;
    // As a connection does that ends before its answer.
    sending.abort();
    assert_eq!(device.command().await.1, "a");
}

#[tokio::test]
async fn a_desired_change_is_told_also_when_its_maker_has_gone_away() {
    let hub = Hub::new().await;
    let device = hub.connected(&hub.create("d").await, &[Subscription::Desired]).await;
    let before = hub.documents.batches.load(Ordering::SeqCst);
    let (control, target) = (hub.control.clone(), name("d"));
    let patch = json!({ "properties": { "desired": { "a": 1 } } });
    let patching = tokio::spawn(async move { control.patch_twin(&target, None, &patch).await });
    hub.documents.batches_beyond(before).await;
    patching.abort();
    assert!(matches!(device.next().await, ToDevice::Desired { version: 2, .. }));
}

#[tokio::test]
async fn the_first_command_reaches_a_device_that_is_just_connecting() {
    let hub = Hub::new().await;
    let device = hub.create("d").await;
    hub.connected(&device, &COMMANDS).await.close().await;
    // It has no queue yet, and its session is not live yet.
    hub.documents.hold_next(Collection::Session);
    let session = hub.opening(&device, false, None);
    hub.documents.holding().await;
    send(&hub, &device, "a").await.unwrap();
    hub.documents.let_go();
    assert!(matches!(session.next().await, ToDevice::Opened { is_present: true, .. }));
    assert_eq!(session.command().await.1, "a");
}

#[tokio::test]
async fn a_command_that_could_not_be_read_for_a_moment_is_delivered_soon() {
    let hub = Hub::new().await;
    let device = hub.create("d").await;
    send(&hub, &device, "a").await.unwrap();
    let session = hub.connected(&device, &[]).await;
    hub.documents.cannot_read_many.store(true, Ordering::SeqCst);
    session.subscribe(&COMMANDS).await;
    session.settled().await;
    assert!(session.try_next().is_none());
    hub.documents.cannot_read_many.store(false, Ordering::SeqCst);
    assert_eq!(session.command().await.1, "a", "long before it expires");
}

#[tokio::test]
async fn a_twin_that_a_device_reads_is_never_older_than_what_it_was_told() {
    let hub = Hub::new().await;
    let device = hub.connected(&hub.create("d").await, &[Subscription::TwinAnswers, Subscription::Desired]).await;
    hub.documents.hold_next(Collection::Twin);
    device.ask(Request::ReadTwin { request_id: "r".into() });
    hub.documents.holding().await;
    let patch = json!({ "properties": { "desired": { "a": 1 } } });
    let target = name("d");
    let mut patching = std::pin::pin!(hub.control.patch_twin(&target, None, &patch));
    // Long enough for it, if nothing keeps it waiting.
    let early = timeout(Duration::from_millis(300), patching.as_mut()).await;
    hub.documents.let_go();
    if early.is_err() {
        patching.await.unwrap();
    }
    let (mut seen, mut versions) = (Vec::new(), Vec::new());
    while versions.len() < 2 {
        let told = device.next().await;
        let version = match &told {
            ToDevice::Desired { version, .. } => *version,
            ToDevice::Twin { body, .. } => {
                let twin: Value = serde_json::from_slice(body).unwrap();
                twin["desired"]["$version"].as_u64().unwrap()
            }
            other => panic!("{other:?}"),
        };
        versions.push(version);
        seen.push(told);
    }
    assert!(versions.is_sorted(), "{seen:?}");
}

#[tokio::test]
async fn a_registry_that_cannot_be_read_is_no_reason_to_turn_a_device_away_for_good() {
    let hub = Hub::new().await;
    hub.store.close().await;
    let device = hub.stranger(Arc::new(name("new")));
    device.ask(Request::Refresh);
    assert!(matches!(device.next().await, ToDevice::Refused(Refusal::Unavailable)));
}

#[tokio::test]
async fn feedback_on_devices_that_are_gone_does_not_hold_up_the_rest() {
    let hub = Hub::new().await;
    let (gone, there) = (hub.create("gone").await, hub.create("there").await);
    for device in [&gone, &gone, &there, &there] {
        for number in 0..32 {
            let draft = Draft { ack: Ack::Full, body: number.to_string().into(), ..Draft::default() };
            let message = hub.control.message(draft).unwrap();
            hub.control.send_command(device, &message).await.unwrap();
        }
        hub.control.purge_commands(device).await.unwrap();
    }
    hub.control.delete(&gone, Expected::Any).await.unwrap();
    let received = hub.control.receive_feedback().await.unwrap().expect("a full batch is due at once");
    let records: Vec<Value> = serde_json::from_str(&received.json).unwrap();
    assert_eq!(records.len(), 64);
    assert!(records.iter().all(|record| record["deviceId"] == "there"));
}
