//! Devices with symmetric keys: proofs, operations, replays, throttles, restarts.

use std::sync::Arc;
use std::task::{Context, Poll};

use millrace_control_provisioning::derived_key::derive;
use millrace_control_store::documents::{Batch, Collection, DocumentKey, Documents, Precondition, Write};
use millrace_control_store::registry::Authentication;
use millrace_model::door::Registrant;
use millrace_protocols_identity::sas;
use reqwest::{Method, StatusCode as Status};
use serde_json::{Value, json};

use crate::harness::{OWN_HUB, SCOPE, Service, config, eventually, finish_at, in_an_hour, key, token};

#[tokio::test]
async fn a_device_registers_and_learns_its_hub() {
    let service = Service::start().await;
    let twin = json!({"tags": {"site": "A"}, "properties": {"desired": {"interval": 5}}});
    service.enroll_key("reg1", json!({"deviceId": "Device#1", "initialTwin": twin})).await;
    let body = json!({"registrationId": "reg1", "payload": null});
    let done = service.register("reg1", &token("reg1", &key()), &body).await;
    let state = &done["registrationState"];
    assert_eq!((&done["status"], &state["status"]), (&json!("assigned"), &json!("assigned")));
    assert_eq!((&state["assignedHub"], &state["deviceId"]), (&json!(OWN_HUB), &json!("Device#1")));
    assert_eq!((&state["substatus"], &state["symmetricKey"]), (&json!("initialAssignment"), &json!({})));
    let made = service.hub.twin_of("Device#1").unwrap();
    assert_eq!(serde_json::to_value(made).unwrap(), twin);
    let Authentication::Sas { primary, .. } = &service.hub.devices.lock().unwrap()["Device#1"].0 else {
        panic!("the device has keys")
    };
    assert_eq!(primary.as_bytes(), key().as_bytes(), "the hub has the enrollment's key");
}

#[tokio::test]
async fn a_group_admits_by_derived_keys_and_an_individual_enrollment_comes_first() {
    let service = Service::start().await;
    let group = json!({"enrollmentGroupId": "G1", "attestation": {"type": "symmetricKey"}});
    let made = service.enroll(group).await;
    assert_eq!(made["enrollmentGroupId"], "g1", "ids are kept in lower case");
    let (_, keys) = service.call(Method::POST, "/enrollmentGroups/g1/attestationmechanism", None, &Value::Null).await;
    let group_key = keys["symmetricKey"]["primaryKey"].as_str().unwrap().to_owned();
    let group_key = millrace_protocols_identity::Key::from_base64(&group_key).unwrap();
    // Derived from the id as it is written, and from the lower-case one.
    for (id, derived_from) in [("SN-1", "SN-1"), ("SN-2", "sn-2"), ("sn-3", "sn-3")] {
        let derived = derive(&group_key, derived_from);
        let done = service.register(id, &token(id, &derived), &json!({"registrationId": id})).await;
        let state = &done["registrationState"];
        assert_eq!(state["registrationId"], id.to_lowercase());
        assert_eq!(state["symmetricKey"], json!({"enrollmentGroupId": "g1"}));
    }
    service.enroll_key("sn-4", json!({"provisioningStatus": "disabled"})).await;
    let derived = token("sn-4", &derive(&group_key, "sn-4"));
    let (status, ..) = service.device(Method::PUT, "sn-4/register", Some(&derived), &json!({})).await;
    assert_eq!(status, Status::UNAUTHORIZED, "the group does not help a device that has an enrollment");
    let (status, _, refused) =
        service.device(Method::PUT, "sn-4/register", Some(&token("sn-4", &key())), &json!({})).await;
    assert_eq!(status, Status::UNAUTHORIZED);
    assert!(refused["message"].as_str().unwrap().contains("disabled"), "who has proven itself may know: {refused}");
}

/// Goes away after so many polls.
struct Impatient<F>(std::pin::Pin<Box<F>>, usize);

impl<F: Future> Future for Impatient<F> {
    type Output = ();

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let is_done = self.0.as_mut().poll(context).is_ready();
        self.1 = self.1.saturating_sub(1);
        if is_done || self.1 == 0 { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[tokio::test]
async fn a_registration_that_has_begun_goes_on_whenever_its_device_hangs_up() {
    let service = Service::start().await;
    let mut began = 0;
    for polls in 1..16 {
        let id = format!("reg{polls}");
        service.enroll_key(&id, json!({})).await;
        let who = Registrant {
            id_scope: SCOPE.into(),
            registration_id: id.as_str().into(),
            token: Some(token(&id, &key()).into()),
            certificates: Arc::default(),
        };
        Impatient(Box::pin(service.provisioner.register(&who, b"{}")), polls).await;
        // Behind this write is whatever was handed over before it.
        let write = Write::put(DocumentKey::new(Collection::State, "", "fence"), Precondition::Any, Vec::new());
        service.store.apply(Batch { identity: None, writes: vec![write] }).await.unwrap();
        if service.provisioner.find_registration(&id).await.unwrap().is_some() {
            began += 1;
            eventually(|| service.hub.twin_of(&id)).await;
        }
    }
    assert!((1..15).contains(&began), "{began}");
}

#[tokio::test]
async fn what_proves_nothing_is_refused_alike() {
    let service = Service::start().await;
    service.enroll_key("a", json!({})).await;
    let sign = |resource: &str, expiry, policy| sas::sign(resource, &key(), expiry, policy);
    let (good, past) = (in_an_hour(), in_an_hour() - 7_200);
    let resource = format!("{SCOPE}/registrations/a");
    let bad = [
        sign(&resource, past, Some("registration")),
        sign(&resource, good, Some("iothubowner")),
        sign(&format!("{SCOPE}/registrations/ab"), good, Some("registration")),
        sign("other/registrations/a", good, Some("registration")),
        token("a", &derive(&key(), "a")),
        "SharedAccessSignature sr=x".to_owned(),
        "garbage".to_owned(),
    ];
    let unknown = service.device(Method::PUT, "nobody/register", Some(&token("nobody", &key())), &json!({})).await;
    assert_eq!((unknown.0, &unknown.2["errorCode"]), (Status::UNAUTHORIZED, &json!(401_002)));
    for token in &bad {
        let (status, _, refused) = service.device(Method::PUT, "a/register", Some(token), &json!({})).await;
        assert_eq!((status, &refused["message"]), (Status::UNAUTHORIZED, &unknown.2["message"]), "{token}");
    }
    let (status, ..) = service.device(Method::PUT, "a/register", None, &json!({})).await;
    assert_eq!(status, Status::UNAUTHORIZED);
    // Python names no policy, and encodes the resource.
    let python = sign(&sas::encode(&resource), good, None);
    let done = service.register("a", &python, &json!({"payload": null, "registrationId": "a"})).await;
    assert_eq!(done["status"], "assigned");
    let url = format!("{}/0neOTHER/registrations/a/register", service.url);
    let (status, ..) = crate::harness::send(&url, Method::PUT, Some(&python), None, &json!({})).await;
    assert_eq!(status, Status::UNAUTHORIZED, "another id scope");
}

#[tokio::test]
async fn registering_again_and_again_begins_one_operation() {
    let service = Service::start().await;
    service.enroll_key("a", json!({})).await;
    *service.hub.failures.lock().unwrap() = 2;
    let held = service.hub.held.write().await;
    let (token, body) = (token("a", &key()), json!({"registrationId": "a"}));
    let call = async || service.device(Method::PUT, "a/register", Some(&token), &body).await;
    let mut operations = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let (a, b, c, d) = tokio::join!(call(), call(), call(), call());
        for (status, _, begun) in [a, b, c, d] {
            assert_eq!(status, Status::ACCEPTED, "{begun}");
            operations.insert(begun["operationId"].as_str().unwrap().to_owned());
        }
    }
    drop(held);
    assert_eq!(operations.len(), 1, "while it is under way, it is the same operation");
    let operation = operations.first().unwrap();
    let done = finish_at(&format!("{}/{SCOPE}/registrations/a", service.url), operation, Some(&token)).await;
    assert_eq!(done["status"], "assigned", "a hub that fails for a moment is tried again");
    let again = service.register("a", &token, &body).await;
    assert_ne!(again["operationId"], done["operationId"]);
    assert_eq!(again["registrationState"]["createdDateTimeUtc"], done["registrationState"]["createdDateTimeUtc"]);
    assert_eq!(service.hub.devices.lock().unwrap().len(), 1);
    let (status, _, gone) =
        service.device(Method::GET, &format!("a/operations/{operation}"), Some(&token), &Value::Null).await;
    assert_eq!((status, &gone["errorCode"]), (Status::NOT_FOUND, &json!(404_201)), "the old operation is over");
}

#[tokio::test]
async fn bodies_that_do_not_belong_are_refused() {
    let service = Service::start().await;
    service.enroll_key("a", json!({})).await;
    let token = token("a", &key());
    let (status, ..) = service.device(Method::PUT, "a/register", Some(&token), &json!({"registrationId": "b"})).await;
    assert_eq!(status, Status::BAD_REQUEST);
    let (status, ..) = service.device(Method::PUT, "a/register", Some(&token), &json!([1])).await;
    assert_eq!(status, Status::BAD_REQUEST);
    let large = json!({"payload": "x".repeat(100_000)});
    let (status, ..) = service.device(Method::PUT, "a/register", Some(&token), &large).await;
    assert_eq!(status, Status::PAYLOAD_TOO_LARGE);
    let bomb = format!("{{\"payload\":{}1{}}}", "[".repeat(40_000), "]".repeat(40_000));
    let url = format!("{}/{SCOPE}/registrations/a/register", service.url);
    let response = reqwest::Client::new().put(url).header("authorization", &token).body(bomb).send().await.unwrap();
    assert_eq!(response.status(), Status::BAD_REQUEST);
    for id in ["a%2Fb", "a%00", "%", "a%20b", "%F0%9F%92%A3", "a."] {
        let (status, ..) = service.device(Method::PUT, &format!("{id}/register"), Some(&token), &json!({})).await;
        assert!(status.is_client_error(), "{id}: {status}");
    }
}

#[tokio::test]
async fn a_device_that_asks_too_often_is_told_when_to_come_again_and_harms_nobody() {
    let mut settings = config();
    settings.polls_per_ten_seconds = 5;
    let service = Service::with(settings).await;
    service.enroll_key("loud", json!({})).await;
    service.enroll_key("quiet", json!({})).await;
    let loud = token("loud", &key());
    let (mut taken, mut refused, start) = (0, 0, std::time::Instant::now());
    for _ in 0..200 {
        let (status, headers, _) = service.device(Method::POST, "loud", Some(&loud), &Value::Null).await;
        match status {
            Status::NOT_FOUND => taken += 1,
            Status::TOO_MANY_REQUESTS => {
                refused += 1;
                assert!((1..=10).contains(&headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap()));
            }
            other => panic!("{other}"),
        }
    }
    let allowed = 5 + start.elapsed().as_secs() / 2 + 1;
    assert!(taken >= 5 && taken <= allowed && refused > 100, "{taken} of {allowed}, {refused}");
    // Nobody without the key uses up what is the device's.
    for _ in 0..20 {
        let forged = token("quiet", &derive(&key(), "x"));
        let (status, ..) = service.device(Method::POST, "quiet", Some(&forged), &Value::Null).await;
        assert_eq!(status, Status::UNAUTHORIZED);
    }
    let (status, ..) = service.device(Method::PUT, "quiet/register", Some(&token("quiet", &key())), &json!({})).await;
    assert_eq!(status, Status::ACCEPTED);
}

#[tokio::test]
async fn more_registrations_a_minute_than_allowed_come_later() {
    let mut settings = config();
    settings.registrations_per_minute = 3;
    let service = Service::with(settings).await;
    for id in ["a", "b", "c", "d"] {
        service.enroll_key(id, json!({})).await;
        let (status, headers, _) =
            service.device(Method::PUT, &format!("{id}/register"), Some(&token(id, &key())), &json!({})).await;
        let expected = if id == "d" { Status::TOO_MANY_REQUESTS } else { Status::ACCEPTED };
        assert_eq!((status, headers.contains_key("retry-after")), (expected, true));
    }
}

#[tokio::test]
async fn an_assignment_whose_program_died_is_taken_over() {
    let service = Service::start().await;
    service.enroll_key("a", json!({})).await;
    let token = token("a", &key());
    service.register("a", &token, &json!({})).await;
    // As if the program had died in the middle of an assignment a while ago.
    let key = DocumentKey::new(Collection::Registration, "", "a");
    let mut body: Value = serde_json::from_slice(&service.store.read(&key).await.unwrap().unwrap().body).unwrap();
    body["status"] = json!("assigning");
    body["beganMs"] = json!(body["beganMs"].as_i64().unwrap() - 61_000);
    let operation = body["operationId"].as_str().unwrap().to_owned();
    let write = Write::put(key, Precondition::Any, serde_json::to_vec(&body).unwrap());
    service.store.apply(Batch { identity: None, writes: vec![write] }).await.unwrap();
    service.hub.devices.lock().unwrap().clear();
    let service = service.restart(config()).await;
    let done = finish_at(&format!("{}/{SCOPE}/registrations/a", service.url), &operation, Some(&token)).await;
    assert_eq!((&done["status"], &done["operationId"]), (&json!("assigned"), &json!(operation)));
    assert!(service.hub.devices.lock().unwrap().contains_key("a"));
}

#[tokio::test]
async fn the_id_scope_and_outcomes_survive_a_restart() {
    let mut settings = config();
    settings.id_scope = None;
    let service = Service::with(settings.clone()).await;
    let scope = service.provisioner.id_scope().to_owned();
    assert!(scope.starts_with("0ne") && scope.len() == 11, "{scope}");
    service.enroll_key("a", json!({})).await;
    let service = service.restart(settings).await;
    assert_eq!(service.provisioner.id_scope(), scope);
    let (status, found) = service.call(Method::GET, "/enrollments/a", None, &Value::Null).await;
    assert_eq!((status, &found["registrationId"]), (Status::OK, &json!("a")));
}

#[tokio::test]
async fn the_state_is_told_to_the_device_and_to_operators() {
    let service = Service::start().await;
    service.enroll_key("a", json!({})).await;
    let token = token("a", &key());
    let done = service.register("a", &token, &json!({})).await;
    let (status, _, state) = service.device(Method::POST, "a?api-version=2019-03-31", Some(&token), &Value::Null).await;
    assert_eq!((status, &state), (Status::OK, &done["registrationState"]));
    let (status, shown) = service.call(Method::GET, "/registrations/a", None, &Value::Null).await;
    assert_eq!((status, &shown), (Status::OK, &state));
    let (_, enrollment) = service.call(Method::GET, "/enrollments/a", None, &Value::Null).await;
    assert_eq!(enrollment["registrationState"], state);
    let (status, _) = service.call(Method::DELETE, "/registrations/a", Some("\"other\""), &Value::Null).await;
    assert_eq!(status, Status::PRECONDITION_FAILED);
    let (status, _) = service.call(Method::DELETE, "/registrations/a", None, &Value::Null).await;
    assert_eq!(status, Status::NO_CONTENT);
    let (status, ..) = service.device(Method::POST, "a", Some(&token), &Value::Null).await;
    assert_eq!(status, Status::NOT_FOUND);
}
