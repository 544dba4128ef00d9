//! Cloud-to-device messages: order, locks, ends of sessions and of time, feedback.

use std::time::Duration;

use millrace_control::{Received, Settings};
use millrace_control_command::{Ack, CommandConfig, Draft};
use millrace_control_store::registry::Expected;
use millrace_model::door::{Request, Subscription, ToDevice};
use millrace_model::{HubError, IdentityName, Timestamp};
use serde_json::Value;

use crate::harness::{Device, Hub, name, record};

const COMMANDS: [Subscription; 1] = [Subscription::Commands];

pub(crate) async fn send(hub: &Hub, device: &IdentityName, body: &str) -> Result<(), HubError> {
    send_draft(hub, device, Draft { body: body.to_owned().into(), ..Draft::default() }).await
}

async fn send_draft(hub: &Hub, device: &IdentityName, draft: Draft) -> Result<(), HubError> {
    let message = hub.control.message(draft)?;
    hub.control.send_command(device, &message).await
}

fn taken(device: &Device<'_>, lock: u64) {
    device.ask(Request::CommandTaken { lock });
}

async fn received(hub: &Hub, device: &IdentityName) -> Option<(String, String)> {
    let received = hub.control.receive_command(device, None).await.unwrap();
    received.map(|Received { lock_token, body, .. }| (lock_token, String::from_utf8(body.to_vec()).unwrap()))
}

fn with_window(session_window: usize) -> Settings {
    Settings { commands: CommandConfig { session_window, ..CommandConfig::default() }, ..Settings::default() }
}

fn soon() -> Option<Timestamp> {
    let now = std::time::SystemTime::now() + Duration::from_millis(300);
    Some(Timestamp::from(now))
}

#[tokio::test]
async fn a_listening_device_gets_commands_in_order_within_its_window() {
    let hub = Hub::with(with_window(3)).await;
    let device = hub.connected(&hub.create("d").await, &COMMANDS).await;
    for number in 0..10 {
        send(&hub, &device.name, &number.to_string()).await.unwrap();
    }
    let mut locks = std::collections::VecDeque::new();
    for expected in 0..10 {
        let (lock, body) = device.command().await;
        assert_eq!(body, expected.to_string());
        locks.push_back(lock);
        if locks.len() == 3 {
            device.settled().await;
            taken(&device, locks.pop_front().unwrap());
        }
    }
    for lock in locks {
        taken(&device, lock);
        taken(&device, lock);
    }
    device.settled().await;
    assert_eq!(hub.control.command_count(&device.name).await.unwrap(), 0);
}

#[tokio::test]
async fn a_command_carries_what_the_protocols_send() {
    let hub = Hub::new().await;
    let device = hub.connected(&hub.create("d").await, &COMMANDS).await;
    let draft = || Draft {
        message_id: Some("m1".into()),
        ack: Ack::Full,
        properties: vec![("k".into(), "v".into())],
        body: "hello".into(),
        ..Draft::default()
    };
    send_draft(&hub, &device.name, draft()).await.unwrap();
    let ToDevice::Command { bag, body, lock } = device.next().await else { panic!() };
    assert_eq!(&body[..], b"hello");
    assert!(bag.contains("%24.mid=m1") && bag.contains("iothub-ack=full") && bag.contains("k=v"), "{bag}");
    taken(&device, lock);
    device.close().await;
    send_draft(&hub, &name("d"), draft()).await.unwrap();
    let received = hub.control.receive_command(&name("d"), Some(Duration::from_secs(5))).await.unwrap().unwrap();
    let header =
        |wanted: &str| received.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let etag = format!("\"{}\"", received.lock_token);
    assert_eq!((header("etag"), header("iothub-app-k")), (Some(etag.as_str()), Some("v")));
    assert_eq!(
        (header("iothub-sequencenumber"), header("iothub-to")),
        (Some("2"), Some("/devices/d/messages/deviceBound"))
    );
}

#[tokio::test]
async fn what_an_absent_device_is_sent_waits_also_over_restarts() {
    let hub = Hub::new().await;
    let device_name = hub.create("d").await;
    hub.connected(&device_name, &COMMANDS).await.close().await;
    for body in ["a", "b", "c"] {
        send(&hub, &device_name, body).await.unwrap();
    }
    let hub = hub.restarted().await;
    let device = hub.connected(&device_name, &[]).await;
    let (lock, body) = device.command().await;
    assert_eq!(body, "a");
    taken(&device, lock);
    assert_eq!(device.command().await.1, "b");
    device.settled().await;

    // It stops with one completed and two handed out: those come again, in order, and the completed one does not.
    let hub = hub.restarted().await;
    let device = hub.connected(&device_name, &[]).await;
    let (first, second) = (device.command().await, device.command().await);
    assert_eq!([first.1, second.1], ["b", "c"]);
    taken(&device, first.0);
    taken(&device, second.0);
    device.settled().await;
    assert_eq!(hub.control.command_count(&device_name).await.unwrap(), 0);
}

#[tokio::test]
async fn a_session_that_ends_gives_back_what_it_held() {
    let hub = Hub::new().await;
    let device_name = hub.create("d").await;
    let device = hub.connected(&device_name, &COMMANDS).await;
    for body in ["a", "b"] {
        send(&hub, &device_name, body).await.unwrap();
    }
    let (stale, _) = device.command().await;
    let newer = hub.connected(&device_name, &[]).await;
    let (lock, body) = newer.command().await;
    assert_eq!((body.as_str(), newer.command().await.1.as_str()), ("a", "b"));
    assert_ne!(stale, lock);
    taken(&newer, stale);
    newer.settled().await;
    assert_eq!(hub.control.command_count(&device_name).await.unwrap(), 2, "a lock of an earlier session ends nothing");
    newer.close().await;
    assert_eq!(received(&hub, &device_name).await.unwrap().1, "a");
}

#[tokio::test]
async fn over_https_commands_are_completed_rejected_and_abandoned() {
    let hub = Hub::new().await;
    let device = hub.create("d").await;
    assert_eq!(received(&hub, &device).await, None);
    for body in ["a", "b", "c"] {
        send(&hub, &device, body).await.unwrap();
    }
    let (a, _) = received(&hub, &device).await.unwrap();
    let (b, body) = received(&hub, &device).await.unwrap();
    assert_eq!(body, "b", "what is locked is not handed out again");
    hub.control.abandon_command(&device, &a).await.unwrap();
    let (again, body) = received(&hub, &device).await.unwrap();
    assert_eq!(body, "a");
    let lost = hub.control.complete_command(&device, &a).await.unwrap_err();
    assert_eq!((lost.status, lost.code), (412, 412_002));
    hub.control.complete_command(&device, &format!("\"{again}\"")).await.unwrap();
    hub.control.reject_command(&device, &b).await.unwrap();
    assert_eq!(hub.control.complete_command(&device, &again).await.unwrap_err().code, 412_002);
    assert_eq!(hub.control.complete_command(&device, "no token").await.unwrap_err().code, 412_002);
    assert_eq!(hub.control.command_count(&device).await.unwrap(), 1);
    assert_eq!(hub.control.twin(&device).await.unwrap()["cloudToDeviceMessageCount"], 1);
    assert_eq!(hub.control.purge_commands(&device).await.unwrap(), 1);
    assert_eq!(received(&hub, &device).await, None);
}

#[tokio::test]
async fn queues_are_bounded_and_only_of_devices_that_are_there() {
    let hub = Hub::new().await;
    let device = hub.create("d").await;
    for number in 0..50 {
        send(&hub, &device, &number.to_string()).await.unwrap();
    }
    assert_eq!(send(&hub, &device, "one more").await.unwrap_err().code, 403_004);
    assert_eq!(send(&hub, &name("nobody"), "x").await.unwrap_err().code, 404_001);
    assert_eq!(hub.control.purge_commands(&name("nobody")).await.unwrap_err().code, 404_001);
    let module = IdentityName::new("d", Some("m")).unwrap();
    assert_eq!(send(&hub, &module, "x").await.unwrap_err().status, 400);
    hub.control.delete(&device, Expected::Any).await.unwrap();
    hub.control.create(&record(&device)).await.unwrap();
    assert_eq!(hub.control.command_count(&device).await.unwrap(), 0, "the queue goes with the device");
}

#[tokio::test]
async fn time_ends_messages_also_those_of_before_a_restart() {
    let hub = Hub::new().await;
    let device = hub.create("d").await;
    let draft = Draft { expiry: soon(), body: "late".into(), ..Draft::default() };
    send_draft(&hub, &device, draft).await.unwrap();
    let hub = hub.restarted().await;
    tokio::time::timeout(crate::harness::PATIENCE, async {
        while hub.control.command_count(&device).await.unwrap() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the message expires by itself");
}

#[tokio::test]
async fn senders_hear_what_became_of_their_messages_once() {
    let hub = Hub::new().await;
    let (device, gone) = (hub.create("d").await, hub.create("gone").await);
    // Two batches' worth: what waits longer than 15 s is not waited for here.
    for number in 0..96 {
        let body = number.to_string();
        let draft = Draft { message_id: Some(body.clone()), ack: Ack::Full, body: body.into(), ..Draft::default() };
        send_draft(&hub, &device, draft).await.unwrap();
        let (token, _) = received(&hub, &device).await.unwrap();
        if number % 2 == 0 {
            hub.control.complete_command(&device, &token).await.unwrap();
        } else {
            hub.control.reject_command(&device, &token).await.unwrap();
        }
    }
    let wanted = Draft { ack: Ack::Negative, body: "x".into(), ..Draft::default() };
    send_draft(&hub, &gone, wanted).await.unwrap();
    hub.control.purge_commands(&gone).await.unwrap();
    hub.control.delete(&gone, Expected::Any).await.unwrap();

    let first = hub.control.receive_feedback().await.unwrap().unwrap();
    let records: Vec<Value> = serde_json::from_str(&first.json).unwrap();
    assert_eq!(records.len(), 64);
    for (number, record) in records.iter().enumerate() {
        assert_eq!(
            (&record["originalMessageId"], &record["deviceId"]),
            (&Value::from(number.to_string()), &"d".into())
        );
        let status = if number % 2 == 0 { "Success" } else { "Rejected" };
        assert_eq!(record["statusCode"], status);
    }
    assert!(hub.control.receive_feedback().await.unwrap().is_none(), "it is locked, and the rest is too new");
    hub.control.abandon_feedback(&first.lock_token).await.unwrap();
    let again = hub.control.receive_feedback().await.unwrap().unwrap();
    assert_eq!(again.json, first.json);
    assert_eq!(hub.control.complete_feedback(&first.lock_token).await.unwrap_err().code, 412_002);
    hub.control.complete_feedback(&again.lock_token).await.unwrap();
    assert_eq!(hub.control.complete_feedback(&again.lock_token).await.unwrap_err().code, 412_002);
    for forged in ["", ".", "x.y", "../../x.0000000000000000"] {
        assert_eq!(hub.control.complete_feedback(forged).await.unwrap_err().code, 412_002, "{forged}");
    }
}
