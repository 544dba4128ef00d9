//! Which hub a device gets, and what happens when it registers again: static, hashed, nearest, webhook; migrate, reset, never.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::routing::post;
use axum::{Json, Router};
use millrace_control_provisioning::LinkedHubConfig;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{OWN_HUB, RemoteHub, Service, config, key, serve, token};

async fn with_two_hubs() -> (Service, RemoteHub) {
    let remote = RemoteHub::start("far.example.net").await;
    let mut settings = config();
    settings.linked_hubs =
        vec![LinkedHubConfig { latency_ms: Some(30_000), ..LinkedHubConfig::default() }, remote.config()];
    (Service::with(settings).await, remote)
}

async fn change(service: &Service, id: &str, change: Value) {
    let path = format!("/enrollments/{id}");
    let (_, mut body) = service.call(Method::GET, &path, None, &Value::Null).await;
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let (status, answer) = service.call(Method::PUT, &path, Some("*"), &body).await;
    assert!(status.is_success(), "{answer}");
}

async fn register(service: &Service, id: &str) -> (String, String) {
    let done = service.register(id, &token(id, &key()), &json!({})).await;
    let state = &done["registrationState"];
    assert_eq!(done["status"], "assigned", "{done}");
    (state["assignedHub"].as_str().unwrap().to_owned(), state["substatus"].as_str().unwrap().to_owned())
}

fn at(hub: &str, substatus: &str) -> (String, String) {
    (hub.to_owned(), substatus.to_owned())
}

#[tokio::test]
async fn a_device_moves_with_its_twin_and_back_without() {
    let (service, remote) = with_two_hubs().await;
    let initial = json!({"tags": {"site": "A"}, "properties": {"desired": {"interval": 5}}});
    let terms = json!({"allocationPolicy": "static", "iotHubHostName": OWN_HUB, "initialTwin": initial});
    service.enroll_key("a", terms).await;
    assert_eq!(register(&service, "a").await, at(OWN_HUB, "initialAssignment"));
    service.hub.devices.lock().unwrap().get_mut("a").unwrap().1.tags.insert("grown".to_owned(), json!(true));
    assert_eq!(register(&service, "a").await, at(OWN_HUB, "initialAssignment"));
    assert!(service.hub.twin_of("a").unwrap().tags.contains_key("grown"), "the same hub: the twin stays");

    change(&service, "a", json!({"iotHubHostName": "FAR.example.net"})).await;
    assert_eq!(register(&service, "a").await, at("far.example.net", "deviceDataMigrated"));
    let moved = remote.device("a").unwrap();
    assert_eq!(moved["twin"]["tags"], json!({"site": "A", "grown": true}));
    assert_eq!(moved["twin"]["properties"]["desired"], json!({"interval": 5}));
    assert_eq!(moved["device"]["authentication"]["type"], "sas");
    assert!(service.hub.twin_of("a").is_none(), "it has left the old hub");

    let reset = json!({"updateHubAssignment": true, "migrateDeviceData": false});
    change(&service, "a", json!({"iotHubHostName": OWN_HUB, "reprovisionPolicy": reset})).await;
    assert_eq!(register(&service, "a").await, at(OWN_HUB, "deviceDataReset"));
    assert_eq!(serde_json::to_value(service.hub.twin_of("a").unwrap()).unwrap(), initial);
    assert!(remote.device("a").is_none());

    let never = json!({"updateHubAssignment": false, "migrateDeviceData": false});
    change(&service, "a", json!({"iotHubHostName": "far.example.net", "reprovisionPolicy": never})).await;
    assert_eq!(register(&service, "a").await, at(OWN_HUB, "deviceDataReset"));
}

#[tokio::test]
async fn a_new_id_moves_the_device_on_the_same_hub() {
    let service = Service::start().await;
    service.enroll_key("a", json!({"deviceId": "old"})).await;
    register(&service, "a").await;
    change(&service, "a", json!({"deviceId": "new"})).await;
    register(&service, "a").await;
    assert_eq!(service.hub.devices.lock().unwrap().keys().collect::<Vec<_>>(), ["new"]);
}

#[tokio::test]
async fn hashed_devices_reach_all_hubs_and_stay() {
    let (service, _remote) = with_two_hubs().await;
    let mut hubs = BTreeMap::<String, u32>::new();
    for number in 0..24 {
        let id = format!("device-{number}");
        service.enroll_key(&id, json!({})).await;
        let first = register(&service, &id).await;
        assert_eq!(register(&service, &id).await, first);
        *hubs.entry(first.0).or_default() += 1;
    }
    assert_eq!(hubs.len(), 2, "{hubs:?}");
}

#[tokio::test]
async fn the_nearest_hub_is_the_one_with_a_known_and_short_way() {
    let (service, _remote) = with_two_hubs().await;
    service.enroll_key("a", json!({"allocationPolicy": "geoLatency"})).await;
    assert_eq!(register(&service, "a").await.0, OWN_HUB, "the other one has not been measured yet");
    let far = json!({"allocationPolicy": "static", "iotHubHostName": "far.example.net"});
    service.enroll_key("b", far).await;
    register(&service, "b").await;
    service.enroll_key("c", json!({"allocationPolicy": "geoLatency"})).await;
    assert_eq!(register(&service, "c").await.0, "far.example.net", "now it has");
}

#[tokio::test]
async fn an_enrollment_without_a_usable_hub_fails_with_the_reason() {
    let service = Service::start().await;
    service.enroll_key("a", json!({"iotHubs": ["unknown.example.net"]})).await;
    let done = service.register("a", &token("a", &key()), &json!({})).await;
    assert_eq!((&done["status"], &done["registrationState"]["errorCode"]), (&json!("failed"), &json!(400_207)));
    change(&service, "a", json!({"iotHubs": [OWN_HUB]})).await;
    assert_eq!(register(&service, "a").await.0, OWN_HUB, "a failed registration may be tried again");
}

#[tokio::test]
async fn a_webhook_chooses_and_speaks_to_the_device() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let hook = post(async move |Json(body): Json<Value>| {
        noted.lock().unwrap().push(body);
        Json(json!({"iotHubHostName": "far.example.net", "payload": {"hello": 1},
            "initialTwin": {"tags": {"by": "hook"}, "properties": {"desired": {}}}}))
    });
    let (url, task) = serve(Router::new().route("/allocate", hook)).await;
    let (service, remote) = with_two_hubs().await;
    let custom = json!({"webhookUrl": format!("{url}/allocate"), "apiVersion": "2019-03-31"});
    service.enroll_key("a", json!({"allocationPolicy": "custom", "customAllocationDefinition": custom})).await;
    let done =
        service.register("a", &token("a", &key()), &json!({"registrationId": "a", "payload": {"size": 3}})).await;
    task.abort();
    let state = &done["registrationState"];
    assert_eq!((&state["assignedHub"], &state["payload"]), (&json!("far.example.net"), &json!({"hello": 1})));
    assert_eq!(remote.device("a").unwrap()["twin"]["tags"], json!({"by": "hook"}));
    let body = asked.lock().unwrap().remove(0);
    assert_eq!(body["deviceRuntimeContext"]["payload"], json!({"size": 3}));
    assert_eq!(body["deviceRuntimeContext"]["registrationId"], "a");
    assert_eq!(body["linkedHubs"], json!([OWN_HUB, "far.example.net"]));
    assert_eq!(body["individualEnrollment"]["registrationId"], "a");
    assert!(!body.to_string().contains(crate::harness::KEY), "no key leaves the service");
}

#[tokio::test]
async fn webhooks_that_misbehave_fail_the_registration() {
    let moved = post(async || (axum::http::StatusCode::TEMPORARY_REDIRECT, [("location", "/good")]));
    let large = post(async || "x".repeat(200_000));
    let foreign = post(async || Json(json!({"iotHubHostName": "foreign.example.net"})));
    let silent = post(std::future::pending::<()>);
    let good = post(async || Json(json!({"iotHubHostName": OWN_HUB})));
    let routes = [("/moved", moved), ("/large", large), ("/foreign", foreign), ("/silent", silent), ("/good", good)];
    let router = routes.into_iter().fold(Router::new(), |router, (path, route)| router.route(path, route));
    let (url, task) = serve(router).await;
    let mut settings = config();
    settings.webhook_seconds = 1;
    let service = Service::with(settings).await;
    for (path, code) in [("moved", 400_208), ("large", 400_208), ("foreign", 400_207), ("silent", 400_208), ("good", 0)]
    {
        let custom = json!({"webhookUrl": format!("{url}/{path}")});
        service.enroll_key(path, json!({"allocationPolicy": "custom", "customAllocationDefinition": custom})).await;
        let done = service.register(path, &token(path, &key()), &json!({})).await;
        assert_eq!(done["registrationState"]["errorCode"].as_u64().unwrap_or_default(), code, "{path}: {done}");
    }
    task.abort();
}
