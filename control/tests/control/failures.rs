//! A store that is out of reach: everybody is told so, nothing is half done, and it goes on by itself afterwards.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use millrace_control_command::{Draft, MethodCall};
use millrace_model::door::{EndReason, Refusal, Request, Subscription, ToDevice};
use serde_json::json;

use crate::harness::{Hub, PATIENCE, subscriptions};

#[tokio::test]
async fn devices_are_told_to_come_again_never_that_they_are_unknown() {
    let hub = Hub::new().await;
    let name = hub.create("d").await;
    let device = hub.connected(&name, &[Subscription::TwinAnswers, Subscription::Methods]).await;
    hub.documents.is_failing.store(true, Ordering::SeqCst);
    let second = hub.opening(&hub.control.identity(&name).await.unwrap().name, false, None);
    assert!(matches!(second.next().await, ToDevice::Refused(Refusal::Unavailable)));
    let (status, _, body) = device.report("{}").await;
    assert_eq!((status, &body["errorCode"]), (503, &json!(503_001)));
    // Methods need no store.
    let reply = async {
        let ToDevice::Method { call, .. } = device.next().await else { panic!() };
        device.ask(Request::MethodAnswered { call, status: 200, payload: Bytes::new() });
    };
    let call = MethodCall::new("m", Bytes::new()).unwrap();
    let (answered, ()) = tokio::join!(hub.control.invoke(&name, call), reply);
    assert!(answered.is_ok());
    device.ask(Request::Subscribe { added: subscriptions(&[Subscription::Desired]), token: 1 });
    assert!(matches!(device.next().await, ToDevice::End(EndReason::Unavailable)));
    hub.documents.is_failing.store(false, Ordering::SeqCst);
    assert_eq!(device.report("{}").await.0, 204);
}

#[tokio::test]
async fn services_are_told_so_and_nothing_is_taken() {
    let hub = Hub::new().await;
    let name = hub.create("d").await;
    hub.documents.is_failing.store(true, Ordering::SeqCst);
    let message = hub.control.message(Draft { body: "x".into(), ..Draft::default() }).unwrap();
    assert_eq!(hub.control.send_command(&name, &message).await.unwrap_err().status, 503);
    assert_eq!(hub.control.patch_twin(&name, None, &json!({ "tags": {} })).await.unwrap_err().status, 503);
    assert_eq!(hub.control.receive_feedback().await.unwrap_err().status, 503);
    hub.documents.is_failing.store(false, Ordering::SeqCst);
    assert_eq!(hub.control.command_count(&name).await.unwrap(), 0);
    assert_eq!(hub.control.twin(&name).await.unwrap()["version"], 1);
}

#[tokio::test]
async fn deadlines_that_pass_meanwhile_are_kept_afterwards() {
    let hub = Hub::new().await;
    let name = hub.create("d").await;
    let expiry = std::time::SystemTime::now() + Duration::from_millis(200);
    let draft = Draft { expiry: Some(expiry.into()), body: "late".into(), ..Draft::default() };
    let message = hub.control.message(draft).unwrap();
    hub.control.send_command(&name, &message).await.unwrap();
    hub.documents.is_failing.store(true, Ordering::SeqCst);
    while std::time::SystemTime::now() < expiry + Duration::from_millis(100) {
        tokio::task::yield_now().await;
    }
    hub.documents.is_failing.store(false, Ordering::SeqCst);
    let emptied = async {
        while hub.control.command_count(&name).await.unwrap() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, emptied).await.expect("the queue is looked at again");
}
