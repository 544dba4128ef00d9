//! Twins: versions, notifications, events, and what a crash leaves.

use std::sync::atomic::Ordering;

use millrace_control::{Settings, ThrottleConfig};
use millrace_control_store::documents::{Collection, DocumentKey, Documents};
use millrace_model::door::{Request, Subscription, ToDevice};
use millrace_model::{IdentityName, MessageSource};
use serde_json::{Value, json};

use crate::harness::{Device, Hub, name, record};

const LISTENING: [Subscription; 2] = [Subscription::TwinAnswers, Subscription::Desired];

fn desired(value: &Value) -> Value {
    json!({ "properties": { "desired": value } })
}

async fn notice(device: &Device<'_>) -> (u64, Value) {
    match device.next().await {
        ToDevice::Desired { version, patch } => (version, serde_json::from_slice(&patch).unwrap()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_device_reads_reports_and_is_told() {
    let hub = Hub::new().await;
    let name = hub.create("d").await;
    let device = hub.connected(&name, &LISTENING).await;
    device.ask(Request::ReadTwin { request_id: "1".into() });
    let fresh = json!({ "desired": { "$version": 1 }, "reported": { "$version": 1 } });
    assert_eq!(device.twin_answer().await, (200, None, fresh));

    let view = hub.control.patch_twin(&name, None, &desired(&json!({ "a": 1 }))).await.unwrap();
    assert_eq!(notice(&device).await, (2, json!({ "a": 1, "$version": 2 })));
    assert_eq!(view["etag"], "AAAAAAAAAAI=");
    assert_eq!((&view["connectionState"], &view["properties"]["desired"]["a"]), (&json!("Connected"), &json!(1)));

    assert_eq!(device.report(r#"{"fw":"1.2"}"#).await, (204, Some(2), Value::Null));
    assert_eq!(device.report(r#"{"fw":null}"#).await, (204, Some(3), Value::Null));
    hub.control.replace_twin(&name, Some("*"), &desired(&json!({ "b": 2 }))).await.unwrap();
    assert_eq!(notice(&device).await, (3, json!({ "b": 2, "$version": 3 })));
}

#[tokio::test]
async fn refusals_have_a_body_that_sdks_can_read() {
    let hub = Hub::new().await;
    let name = hub.create("d").await;
    let device = hub.connected(&name, &LISTENING).await;
    let stale = Request::PatchReported { request_id: "1".into(), if_version: Some(9), patch: "{}".into() };
    device.ask(stale);
    let (status, version, body) = device.twin_answer().await;
    assert_eq!((status, version, &body["errorCode"]), (412, None, &json!(412_001)));
    for patch in ["", "[]", "{", r#"{"a.b":1}"#, r#"{"$x":1}"#] {
        let (status, _, body) = device.report(patch).await;
        assert_eq!(status, 400, "{patch}");
        assert!(body["message"].is_string() && body["trackingId"].is_string() && body["errorCode"].is_u64(), "{body}");
    }
    let large = json!({ "a": vec!["x".repeat(4_000); 9] }).to_string();
    assert_eq!(device.report(&large).await.0, 413);
    assert_eq!(device.report(r#"{"a":1}"#).await.1, Some(2), "what was refused has changed nothing");
}

#[tokio::test]
async fn only_who_listens_is_told_and_nothing_is_told_later() {
    let hub = Hub::new().await;
    let name = hub.create("d").await;
    let deaf = hub.connected(&name, &LISTENING[..1]).await;
    hub.control.patch_twin(&name, None, &desired(&json!({ "a": 1 }))).await.unwrap();
    deaf.settled().await;
    deaf.subscribe(&LISTENING).await;
    hub.control.patch_twin(&name, None, &json!({ "tags": { "site": "A" } })).await.unwrap();
    hub.control.patch_twin(&name, None, &desired(&json!({ "a": 2 }))).await.unwrap();
    assert_eq!(notice(&deaf).await.0, 3, "tags are not told, and nothing is kept for later");
}

#[tokio::test]
async fn services_that_write_together_lose_nothing_and_devices_hear_it_in_order() {
    let hub = Hub::new().await;
    let name = hub.create("d").await;
    let device = hub.connected(&name, &LISTENING).await;
    let beside = hub.beside().await;
    let mut writing = tokio::task::JoinSet::new();
    for number in 0..40 {
        let control = if number % 4 == 0 { beside.control.clone() } else { hub.control.clone() };
        let name = name.clone();
        writing.spawn(async move {
            let member = format!("m{number}");
            while let Err(error) = control.patch_twin(&name, None, &desired(&json!({ member.as_str(): number }))).await
            {
                assert_eq!(error.status, 412, "lost to the other process too often");
            }
        });
    }
    writing.join_all().await;
    let view = hub.control.twin(&name).await.unwrap();
    assert_eq!(view["properties"]["desired"]["$version"], 41);
    assert!((0..40).all(|number| view["properties"]["desired"][format!("m{number}")] == number));
    let mut told = Vec::new();
    while told.len() < 30 {
        told.push(notice(&device).await.0);
    }
    assert!(told.is_sorted_by(|earlier, later| earlier < later), "{told:?}");
}

#[tokio::test]
async fn etags_guard_and_unknown_identities_have_no_twin() {
    let hub = Hub::new().await;
    let name_d = hub.create("d").await;
    let stale = hub.control.patch_twin(&name_d, Some("\"AAAAAAAAAAk=\""), &json!({})).await.unwrap_err();
    assert_eq!((stale.status, stale.code), (412, 412_001));
    let unknown = hub.control.patch_twin(&name("nobody"), None, &json!({ "tags": {} })).await.unwrap_err();
    assert_eq!(unknown.code, 404_001);
    assert_eq!(hub.control.twin(&name("nobody")).await.unwrap_err().code, 404_001);
    let module = IdentityName::new("d", Some("m")).unwrap();
    assert_eq!(hub.control.twin(&module).await.unwrap_err().code, 404_010);
    let documents: &dyn Documents = &*hub.store;
    let left = documents.read(&DocumentKey::of(Collection::Twin, &name("nobody"))).await.unwrap();
    assert!(left.is_none(), "nothing is written for an identity that is not there");
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_crash() {
    let mut hub = Hub::new().await;
    let name = hub.create("d").await;
    let mut acknowledged = 1;
    for round in 0..5 {
        for _ in 0..3 {
            let version = hub.control.patch_reported(&name, None, br#"{"n":1}"#).await.unwrap();
            assert_eq!(version, acknowledged + 1, "round {round}");
            acknowledged = version;
        }
        // More is under way when it stops.
        let device = hub.connected(&name, &LISTENING[..1]).await;
        for _ in 0..10 {
            let patch = r#"{"n":2}"#.into();
            device.ask(Request::PatchReported { request_id: "r".into(), if_version: None, patch });
        }
        acknowledged = device.twin_answer().await.1.unwrap();
        hub = hub.restarted().await;
        let view = hub.control.twin(&name).await.unwrap();
        let version = view["properties"]["reported"]["$version"].as_u64().unwrap();
        assert!(version >= acknowledged, "{version} < {acknowledged}");
        acknowledged = version;
    }
}

#[tokio::test]
async fn changes_are_events_in_the_documented_shape() {
    let hub = Hub::new().await;
    let name = hub.create("d").await;
    hub.control.patch_reported(&name, None, br#"{"fw":"1.3"}"#).await.unwrap();
    let event = hub.event(MessageSource::TwinChangeEvents).await;
    assert_eq!((event.device.as_str(), event.module.as_deref()), ("d", None));
    assert_eq!(event.generation, record(&name).generation.to_string());
    let property = |name: &str| event.properties.get(name).map(String::as_str).unwrap_or_default().to_owned();
    assert_eq!(
        (property("opType"), property("hubName"), property("$.uid")),
        ("updateTwin".into(), "hub".into(), "hub".into())
    );
    assert_eq!(property("iothub-message-schema"), "twinChangeNotification");
    assert_eq!(
        (property("$.ct"), property("$.ce"), property("deviceId")),
        ("application/json".into(), "utf-8".into(), "d".into())
    );
    assert!(property("operationTimestamp").ends_with('Z'));
    let reported = &event.body["properties"]["reported"];
    assert_eq!((&reported["fw"], &reported["$version"]), (&json!("1.3"), &json!(2)));
    hub.control.replace_twin(&name, None, &json!({ "tags": { "a": 1 } })).await.unwrap();
    let event = hub.event(MessageSource::TwinChangeEvents).await;
    assert_eq!(event.properties["opType"], "replaceTwin");
}

#[tokio::test]
async fn an_event_that_the_journal_does_not_take_comes_later() {
    let hub = Hub::new().await;
    let name = hub.create("d").await;
    hub.intake.is_full.store(true, Ordering::SeqCst);
    hub.control.patch_reported(&name, None, br#"{"a":1}"#).await.unwrap();
    while hub.intake.refused.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    hub.intake.is_full.store(false, Ordering::SeqCst);
    assert_eq!(hub.event(MessageSource::TwinChangeEvents).await.properties["opType"], "updateTwin");
}

#[tokio::test]
async fn too_many_requests_are_answered_429() {
    let throttles = ThrottleConfig { twin_updates_per_second: 2, shaping_ms: 0, ..ThrottleConfig::default() };
    let hub = Hub::with(Settings { throttles, ..Settings::default() }).await;
    let name = hub.create("d").await;
    let device = hub.connected(&name, &LISTENING).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(device.report("{}").await.0);
    }
    assert!(statuses.contains(&429) && statuses[0] == 204, "{statuses:?}");
    let refused = hub.control.patch_twin(&name, None, &json!({})).await.unwrap_err();
    assert_eq!(refused.code, 429_001);
}

#[tokio::test]
async fn the_model_of_the_last_connection_counts() {
    let hub = Hub::new().await;
    let name = hub.create("d").await;
    let model = "dtmi:com:example:Thermostat;1";
    let device = hub.opening(&name, false, Some(model));
    device.next().await;
    assert_eq!(hub.control.twin(&name).await.unwrap()["modelId"], model);
    device.report(r#"{"thermostat1":{"__t":"c","temperature":{"value":21,"ac":200,"av":1}}}"#).await;
    let event = hub.event(MessageSource::DigitalTwinChangeEvents).await;
    assert_eq!(event.properties["$.ct"], "application/json-patch+json");
    assert!(event.body.is_array());
    let same = hub.opening(&name, false, Some(model));
    same.next().await;
    let without = hub.opening(&name, false, None);
    without.next().await;
    assert!(hub.control.twin(&name).await.unwrap().get("modelId").is_none());
}

#[tokio::test]
async fn digital_twins_are_read_patched_and_commanded() {
    let hub = Hub::new().await;
    let name = hub.create("d").await;
    let model = json!({
        "@context": "dtmi:dtdl:context;2", "@id": "dtmi:com:example:Thermostat;1", "@type": "Interface",
        "contents": [
            { "@type": "Property", "name": "target", "schema": "double", "writable": true },
            { "@type": "Command", "name": "reboot", "request": { "name": "delay", "schema": "integer" } }
        ]
    });
    let ids = hub.control.add_models(model.to_string().as_bytes()).await.unwrap();
    assert_eq!(ids, ["dtmi:com:example:Thermostat;1"]);
    hub.control.add_models(model.to_string().as_bytes()).await.unwrap();
    let mut other = model.clone();
    other["contents"] = json!([]);
    assert_eq!(hub.control.add_models(other.to_string().as_bytes()).await.unwrap_err().status, 409);
    assert_eq!(hub.control.model(&ids[0]).await.unwrap(), model);

    let device = hub.opening(&name, false, Some(&ids[0]));
    device.next().await;
    device.subscribe(&[Subscription::Desired, Subscription::Methods]).await;
    let patch = json!([{ "op": "add", "path": "/target", "value": 20.5 }]);
    let etag = hub.control.patch_digital_twin(&name, None, &patch).await.unwrap();
    assert_eq!(notice(&device).await, (2, json!({ "target": 20.5, "$version": 2 })));
    let twin = hub.control.digital_twin(&name).await.unwrap();
    assert_eq!((&twin.document["$metadata"]["$model"], &twin.etag), (&json!(ids[0]), &etag));
    let wrong = json!([{ "op": "add", "path": "/target", "value": "hot" }]);
    assert_eq!(hub.control.patch_digital_twin(&name, None, &wrong).await.unwrap_err().status, 400);

    let answer = async {
        let ToDevice::Method { call, name, payload } = device.next().await else { panic!() };
        assert_eq!((&*name, &payload[..]), ("reboot", &b"5"[..]));
        device.ask(Request::MethodAnswered { call, status: 200, payload: "{}".into() });
    };
    let delay = json!(5);
    let command = hub.control.invoke_command(&name, None, "reboot", &delay, None, None);
    let (result, ()) = tokio::join!(command, answer);
    assert_eq!(result.unwrap().status(), 200);
    let unknown = hub.control.invoke_command(&name, None, "explode", &Value::Null, None, None).await;
    assert!(unknown.unwrap_err().status < 500);
    hub.control.delete_model(&ids[0]).await.unwrap();
    assert!(hub.control.models().is_empty());
}
