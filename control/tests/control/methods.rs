//! Direct methods: answers, time-outs, ends, and that nothing is left behind.

use std::time::Duration;

use bytes::Bytes;
use millrace_control_command::MethodCall;
use millrace_model::door::{Request, Subscription, ToDevice};
use tokio::task::JoinSet;

use crate::harness::{Device, Hub, name};

const METHODS: [Subscription; 1] = [Subscription::Methods];

fn call(response: Duration, connect: Duration) -> MethodCall {
    let call = MethodCall::new("reboot", Bytes::from_static(b"{\"delay\":1}")).unwrap();
    MethodCall { response_timeout: response, connect_timeout: connect, ..call }
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(100);

async fn called(device: &Device<'_>) -> u64 {
    match device.next().await {
        ToDevice::Method { call, name, payload } => {
            assert_eq!((&*name, &payload[..]), ("reboot", &b"{\"delay\":1}"[..]));
            call
        }
        other => panic!("{other:?}"),
    }
}

fn answer(device: &Device<'_>, call: u64, payload: &'static str) {
    device.ask(Request::MethodAnswered { call, status: 200, payload: Bytes::from_static(payload.as_bytes()) });
}

#[tokio::test]
async fn a_listening_device_answers() {
    let hub = Hub::new().await;
    let device = hub.connected(&hub.create("d").await, &METHODS).await;
    let reply = async {
        let call = called(&device).await;
        answer(&device, call, r#"{"ok": true}"#);
        answer(&device, call, r#"{"ok": false}"#);
    };
    let (result, ()) = tokio::join!(hub.control.invoke(&device.name, call(LONG, Duration::ZERO)), reply);
    assert_eq!(result.unwrap().to_json(), r#"{"status":200,"payload":{"ok": true}}"#);
    let reply = async {
        let call = called(&device).await;
        answer(&device, call, "not json");
    };
    let (result, ()) = tokio::join!(hub.control.invoke(&device.name, call(LONG, Duration::ZERO)), reply);
    assert_eq!(result.unwrap_err().status, 400);
    assert_eq!(hub.control.calls_under_way(), 0);
}

#[tokio::test]
async fn who_is_not_there_not_listening_or_silent_has_codes_of_its_own() {
    let hub = Hub::new().await;
    let device_name = hub.create("d").await;
    let code = async |name, call| hub.control.invoke(name, call).await.unwrap_err().code;
    let nobody = name("nobody");
    assert_eq!(code(&nobody, call(SHORT, Duration::ZERO)).await, 404_001);
    assert_eq!(code(&device_name, call(SHORT, Duration::ZERO)).await, 404_103);
    let device = hub.connected(&device_name, &[]).await;
    assert_eq!(code(&device_name, call(SHORT, SHORT)).await, 404_103, "it does not listen");
    device.subscribe(&METHODS).await;
    assert_eq!(code(&device_name, call(SHORT, Duration::ZERO)).await, 504_101);
    let late = called(&device).await;
    answer(&device, late, "{}");
    device.settled().await;
    assert_eq!(hub.control.calls_under_way(), 0);
}

#[tokio::test]
async fn a_call_waits_for_its_device() {
    let hub = Hub::new().await;
    let name = hub.create("d").await;
    let arrive = async {
        let device = hub.connected(&name, &[]).await;
        device.subscribe(&METHODS).await;
        let call = called(&device).await;
        answer(&device, call, "");
        device
    };
    let (result, device) = tokio::join!(hub.control.invoke(&name, call(LONG, LONG)), arrive);
    assert_eq!(result.unwrap().to_json(), r#"{"status":200,"payload":null}"#);
    device.close().await;
    // The second time the subscription is there as soon as the session is.
    let arrive = async {
        let device = hub.connected(&name, &[]).await;
        let call = called(&device).await;
        answer(&device, call, "1");
    };
    let (result, ()) = tokio::join!(hub.control.invoke(&name, call(LONG, LONG)), arrive);
    assert_eq!(result.unwrap().status(), 200);
}

#[tokio::test]
async fn a_session_that_ends_answers_all_its_calls_at_once() {
    let hub = Hub::new().await;
    let name = hub.create("d").await;
    for by_take_over in [false, true] {
        let device = hub.connected(&name, &METHODS).await;
        let mut calls = JoinSet::new();
        for _ in 0..20 {
            let (control, name) = (hub.control.clone(), name.clone());
            calls.spawn(async move { control.invoke(&name, call(LONG, Duration::ZERO)).await.unwrap_err().code });
        }
        for _ in 0..20 {
            called(&device).await;
        }
        if by_take_over {
            hub.connected(&name, &[]).await.close().await;
        } else {
            device.close().await;
        }
        assert_eq!(calls.join_all().await, [404_103; 20]);
        assert_eq!(hub.control.calls_under_way(), 0);
    }
}

#[tokio::test]
async fn only_the_session_that_was_called_answers() {
    let hub = Hub::new().await;
    let device = hub.connected(&hub.create("d").await, &METHODS).await;
    let other = hub.connected(&hub.create("e").await, &METHODS).await;
    let reply = async {
        let call = called(&device).await;
        answer(&other, call, "\"forged\"");
        other.settled().await;
        answer(&device, call, "\"true\"");
    };
    let (result, ()) = tokio::join!(hub.control.invoke(&device.name, call(LONG, Duration::ZERO)), reply);
    assert_eq!(&result.unwrap().payload()[..], b"\"true\"");
}

#[tokio::test]
async fn callers_that_go_away_leave_nothing() {
    let hub = Hub::new().await;
    let name = hub.create("d").await;
    let waiting = hub.control.invoke(&name, call(LONG, LONG));
    assert!(tokio::time::timeout(SHORT, waiting).await.is_err());
    let device = hub.connected(&name, &METHODS).await;
    let under_way = async {
        tokio::select! {
            _ = hub.control.invoke(&name, call(LONG, Duration::ZERO)) => panic!("nobody has answered"),
            call = called(&device) => call,
        }
    };
    let call = under_way.await;
    assert_eq!(hub.control.calls_under_way(), 0);
    answer(&device, call, "{}");
    device.settled().await;
}

#[tokio::test]
async fn thousands_of_calls_are_under_way_together() {
    const DEVICES: usize = 100;
    const CALLS: usize = 50;
    let hub = Hub::new().await;
    let mut devices = Vec::new();
    for number in 0..DEVICES {
        devices.push(hub.connected(&hub.create(&format!("d{number}")).await, &METHODS).await);
    }
    let mut calls = JoinSet::new();
    for device in &devices {
        for _ in 0..CALLS {
            let (control, name) = (hub.control.clone(), device.name.clone());
            calls.spawn(async move { control.invoke(&name, call(LONG, Duration::ZERO)).await.is_ok() });
        }
    }
    let mut told = Vec::new();
    for device in &devices {
        for _ in 0..CALLS {
            told.push((device, called(device).await));
        }
    }
    assert_eq!(hub.control.calls_under_way(), DEVICES * CALLS);
    // In another order than they were called.
    for (device, call) in told.into_iter().rev() {
        answer(device, call, "{}");
    }
    assert!(calls.join_all().await.into_iter().all(|answered| answered));
    assert_eq!(hub.control.calls_under_way(), 0);
}
