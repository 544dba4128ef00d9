//! The provisioning service's side of the door.

use bytes::Bytes;
use millrace_ingest::QuotasConfig;
use millrace_model::door::{Refusal, RegistrationRequest, Subscriptions, ToDevice};
use millrace_protocols_mqtt::Version;
use millrace_protocols_mqtt::client::{self, ConnectOptions};

use crate::asked::Asked;
use crate::harness::{Answer, Client, Hub, HubOptions};

const USER_NAME: &str = "0ne00000A0A/registrations/reg1/api-version=2019-03-31&ClientVersion=x";

fn hub(control: &std::sync::Arc<Asked>) -> Hub {
    Hub::start(HubOptions { control: Some(control.clone()), has_provisioning: true, ..HubOptions::default() })
}

fn calling(hub: &Hub, client_id: &str) -> Client {
    let mut bytes = Vec::new();
    let options = ConnectOptions {
        version: Version::V311,
        client_id,
        user_name: Some(USER_NAME),
        password: Some(b"SharedAccessSignature sr=x&sig=x&se=1"),
        keep_alive_seconds: 60,
        clean_start: false,
    };
    client::encode_connect(&options, &mut bytes);
    let mut client = hub.client();
    client.send(&bytes);
    client
}

#[test]
fn a_device_registers_and_polls() {
    let control = Asked::opening();
    let hub = hub(&control);
    let mut client = calling(&hub, "reg1");
    let (session, who, request) = control.next_registration();
    assert!(matches!(request, RegistrationRequest::Attest));
    assert_eq!((&*who.id_scope, &*who.registration_id), ("0ne00000A0A", "reg1"));
    assert_eq!(who.token.as_deref(), Some("SharedAccessSignature sr=x&sig=x&se=1"));
    control.open(session, false, Subscriptions::default());
    assert_eq!(client.answer(), Some(Answer::ConnAck { code: 0 }));
    client.subscribe(1, &[("$dps/registrations/res/#", 1)]);
    assert_eq!(client.answer(), Some(Answer::SubAck { packet_id: 1 }));
    client.publish("$dps/registrations/PUT/iotdps-register/?$rid=u-1", Some(2), b"{\"registrationId\":\"reg1\"}");
    assert_eq!(client.answer(), Some(Answer::PubAck { packet_id: 2 }));
    let (_, _, request) = control.next_registration();
    let RegistrationRequest::Register { request_id, body } = request else { panic!("{request:?}") };
    assert_eq!((&*request_id, &body[..]), ("u-1", &b"{\"registrationId\":\"reg1\"}"[..]));
    let answer = |status, retry_after| ToDevice::Registration {
        request_id: "u-1".into(),
        status,
        retry_after,
        body: Bytes::from_static(b"{}"),
    };
    control.tell(session, answer(202, Some(3)));
    assert_eq!(client.hear().topic, "$dps/registrations/res/202/?$rid=u-1&retry-after=3");
    client.publish("$dps/registrations/GET/iotdps-get-operationstatus/?$rid=u-1&operationId=4.a.b", None, b" ");
    let (_, _, request) = control.next_registration();
    let RegistrationRequest::Status { operation_id, .. } = request else { panic!("{request:?}") };
    assert_eq!(&*operation_id, "4.a.b");
    control.tell(session, answer(200, None));
    assert_eq!(client.hear().topic, "$dps/registrations/res/200/?$rid=u-1");
    control.fill(true);
    client.publish("$dps/registrations/PUT/iotdps-register/?$rid=u-2", None, b"{}");
    assert_eq!(client.hear().topic, "$dps/registrations/res/429/?$rid=u-2&retry-after=5");
}

#[test]
fn who_does_not_attest_or_strays_is_sent_away() {
    let control = Asked::opening();
    let hub = hub(&control);
    let mut client = calling(&hub, "reg1");
    let (session, ..) = control.next_registration();
    control.tell(session, ToDevice::Refused(Refusal::Unauthorized));
    assert_eq!(client.answer(), Some(Answer::ConnAck { code: 5 }));
    assert!(client.is_closed());
    let mut client = calling(&hub, "other");
    assert_eq!(client.answer(), Some(Answer::ConnAck { code: 2 }));
    for stray in 0..3 {
        let mut client = calling(&hub, "reg1");
        let (session, ..) = control.next_registration();
        control.open(session, false, Subscriptions::default());
        assert_eq!(client.answer(), Some(Answer::ConnAck { code: 0 }));
        match stray {
            0 => client.publish("devices/reg1/messages/events/", Some(1), b"x"),
            1 => client.subscribe(1, &[("$iothub/twin/res/#", 0)]),
            _ => client.publish("$iothub/twin/GET/?$rid=1", None, b""),
        }
        assert!(client.is_closed());
    }
}

#[test]
fn who_does_not_attest_uses_up_nobodys_place() {
    let control = Asked::opening();
    let quotas = QuotasConfig { hub_connects_per_second: 3, ..QuotasConfig::default() };
    let hub = Hub::start(HubOptions {
        control: Some(control.clone()),
        has_provisioning: true,
        shards: 1,
        quotas,
        ..HubOptions::default()
    });
    for _ in 0..3 {
        let mut stranger = calling(&hub, "reg1");
        let (session, ..) = control.next_registration();
        control.tell(session, ToDevice::Refused(Refusal::Unauthorized));
        assert_eq!(stranger.answer(), Some(Answer::ConnAck { code: 5 }));
    }
    hub.connected("d", Version::V311);
}

#[test]
fn a_hub_without_provisioning_service_says_so() {
    let hub = Hub::start(HubOptions::default());
    let mut client = calling(&hub, "reg1");
    assert_eq!(client.answer(), Some(Answer::ConnAck { code: 5 }));
    assert!(client.is_closed());
}
