//! Registrations from sessions, as the MQTT door asks for them.

use std::sync::Arc;

use bytes::Bytes;
use millrace_model::door::{Provisioning, Refusal, Registrant, RegistrationRequest, SessionKey, ToDevice};
use serde_json::{Value, json};

use crate::harness::{OWN_HUB, SCOPE, Service, key, token};

const SESSION: SessionKey = SessionKey { shard: 1, slot: 2, generation: 3 };

fn registrant(id: &str, token: String) -> Arc<Registrant> {
    Arc::new(Registrant {
        id_scope: SCOPE.into(),
        registration_id: id.into(),
        token: Some(token.into()),
        certificates: Arc::new([]),
    })
}

async fn ask(service: &Service, who: &Arc<Registrant>, request: RegistrationRequest) -> ToDevice {
    service.provisioner.ask(SESSION, who, request).unwrap();
    let (session, told) = service.told.next().await;
    assert_eq!(session, SESSION);
    told
}

fn answer(told: ToDevice) -> (u16, Option<u32>, Value) {
    let ToDevice::Registration { request_id, status, retry_after, body } = told else { panic!("{told:?}") };
    assert_eq!(&*request_id, "rid");
    (status, retry_after, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_session_is_attested_registers_and_polls() {
    let service = Service::start().await;
    service.enroll_key("a", json!({})).await;
    let who = registrant("a", token("a", &key()));
    assert!(matches!(ask(&service, &who, RegistrationRequest::Attest).await, ToDevice::Opened { .. }));
    let body = Bytes::from(r#"{"payload":null,"registrationId":"a"}"#);
    let (status, retry_after, begun) =
        answer(ask(&service, &who, RegistrationRequest::Register { request_id: "rid".into(), body }).await);
    assert_eq!((status, retry_after), (202, Some(1)));
    let operation_id: Box<str> = begun["operationId"].as_str().unwrap().into();
    let done = loop {
        let request = RegistrationRequest::Status { request_id: "rid".into(), operation_id: operation_id.clone() };
        let (status, _, answer) = answer(ask(&service, &who, request).await);
        if status == 200 {
            break answer;
        }
        assert_eq!(status, 202);
        tokio::task::yield_now().await;
    };
    assert_eq!(done["registrationState"]["assignedHub"], OWN_HUB);
    let request = RegistrationRequest::Status { request_id: "rid".into(), operation_id: "4.0.0".into() };
    let (status, _, refused) = answer(ask(&service, &who, request).await);
    assert_eq!((status, &refused["errorCode"]), (404, &json!(404_201)));
}

#[tokio::test]
async fn a_session_without_a_good_proof_is_refused() {
    let service = Service::start().await;
    service.enroll_key("a", json!({})).await;
    let who = registrant("a", token("b", &key()));
    let told = ask(&service, &who, RegistrationRequest::Attest).await;
    assert!(matches!(told, ToDevice::Refused(Refusal::Unauthorized)), "{told:?}");
    let body = Bytes::from("{}");
    let (status, ..) =
        answer(ask(&service, &who, RegistrationRequest::Register { request_id: "rid".into(), body }).await);
    assert_eq!(status, 401);
}

#[tokio::test]
async fn a_full_lane_says_so_and_drains() {
    let service = Service::start().await;
    let who = registrant("a", token("a", &key()));
    // Nothing runs between these calls, because the test does not wait.
    let taken =
        (0..10_000).take_while(|_| service.provisioner.ask(SESSION, &who, RegistrationRequest::Attest).is_ok()).count();
    assert!((1..10_000).contains(&taken), "{taken}");
    for _ in 0..taken {
        service.told.next().await;
    }
    assert!(service.provisioner.ask(SESSION, &who, RegistrationRequest::Attest).is_ok());
}
