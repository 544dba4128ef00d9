//! What sessions ask, and how the answers reach them.

use bytes::Bytes;
use millrace_model::door::{Request, SessionKey, Subscription, Subscriptions, ToDevice};
use millrace_protocols_mqtt::Version;
use millrace_protocols_mqtt::client::ServerPacket;

use crate::asked::Asked;
use crate::harness::{Answer, Client, Hub, HubOptions, telemetry_topic};

fn hub(control: &std::sync::Arc<Asked>) -> Hub {
    Hub::start(HubOptions { control: Some(control.clone()), ..HubOptions::default() })
}

fn twin(request_id: &str, status: u16, version: Option<u64>, body: &'static str) -> ToDevice {
    ToDevice::Twin { request_id: request_id.into(), status, version, body: Bytes::from_static(body.as_bytes()) }
}

#[test]
fn suback_comes_when_the_subscription_is_durable() {
    let control = Asked::opening();
    let hub = hub(&control);
    for version in [Version::V311, Version::V5] {
        let mut client = hub.connected("d", version);
        let filters = [("$iothub/methods/POST/#", 0), ("devices/d/messages/devicebound/#", 2)];
        client.subscribe(7, &filters);
        let (session, _, request) = control.next();
        let Request::Subscribe { added, token } = request else { panic!("{request:?}") };
        let expected =
            Subscriptions::one(Subscription::Methods, false).with(Subscriptions::one(Subscription::Commands, true));
        assert_eq!(added, expected, "a wish for QoS 2 is granted as 1");
        // Other packets go on meanwhile.
        client.publish(&telemetry_topic("d"), Some(1), b"x");
        assert_eq!(client.answer(), Some(Answer::PubAck { packet_id: 1 }));
        control.tell(session, ToDevice::Subscribed { token, subscriptions: added });
        assert_eq!(client.answer(), Some(Answer::SubAck { packet_id: 7 }));
        let mut bytes = Vec::new();
        // UNSUBSCRIBE of one filter.
        let filter = "$iothub/methods/POST/#";
        let properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
        let body = [&[0, 8][..], properties, &[0, u8::try_from(filter.len()).unwrap()], filter.as_bytes()].concat();
        bytes.extend([0xa2, u8::try_from(body.len()).unwrap()]);
        bytes.extend(body);
        client.send(&bytes);
        let (session, _, request) = control.next();
        let Request::Unsubscribe { removed, token } = request else { panic!("{request:?}") };
        assert!(removed.has(Subscription::Methods) && !removed.has(Subscription::Commands));
        control.tell(session, ToDevice::Subscribed { token, subscriptions: added.without(removed) });
        assert_eq!(client.answer(), Some(Answer::Other), "UNSUBACK");
        drop(client);
        assert!(matches!(control.next().2, Request::Close));
    }
}

#[test]
fn twins_are_read_and_patched_at_both_levels() {
    let control = Asked::opening();
    let hub = hub(&control);
    let mut client = hub.connected("d", Version::V311);
    client.publish("$iothub/twin/GET/?$rid=r-1", Some(3), b" ");
    assert_eq!(client.answer(), Some(Answer::PubAck { packet_id: 3 }), "as soon as it is handed over");
    let (session, _, request) = control.next();
    assert!(matches!(&request, Request::ReadTwin { request_id } if &**request_id == "r-1"), "{request:?}");
    control.tell(session, twin("r-1", 200, None, "{\"desired\":{}}"));
    let heard = client.hear();
    assert_eq!(
        (heard.topic.as_str(), &heard.payload[..], heard.qos),
        ("$iothub/twin/res/200/?$rid=r-1", &b"{\"desired\":{}}"[..], 0)
    );

    client.publish("$iothub/twin/PATCH/properties/reported/?$rid=2&$version=4", None, b"{\"fw\":1}");
    let (session, _, request) = control.next();
    let Request::PatchReported { request_id, if_version: Some(4), patch } = request else { panic!("{request:?}") };
    assert_eq!((&*request_id, &patch[..]), ("2", &b"{\"fw\":1}"[..]));
    control.tell(session, twin("2", 204, Some(5), ""));
    assert_eq!(client.hear().topic, "$iothub/twin/res/204/?$rid=2&$version=5");
}

#[test]
fn methods_are_called_and_answered() {
    let control = Asked::opening();
    let hub = hub(&control);
    let mut client = hub.connected("d/m", Version::V311);
    client.publish("$iothub/twin/GET/?$rid=1", None, b"");
    let (session, who, _) = control.next();
    assert_eq!(who, "d/m");
    let payload = Bytes::from(vec![b'7'; 100_000]);
    control.tell(session, ToDevice::Method { call: 0xab, name: "re boot".into(), payload: payload.clone() });
    let heard = client.hear();
    assert_eq!((heard.topic.as_str(), heard.payload == payload), ("$iothub/methods/POST/re boot/?$rid=ab", true));
    client.publish("$iothub/methods/res/-7/?$rid=ab", Some(1), b"{}");
    let (_, _, request) = control.next();
    let Request::MethodAnswered { call: 0xab, status: -7, payload } = request else { panic!("{request:?}") };
    assert_eq!(&payload[..], b"{}");
    assert_eq!(client.answer(), Some(Answer::PubAck { packet_id: 1 }));
}

#[test]
fn a_control_side_that_is_full_is_said_with_429_and_the_json_that_sdks_read() {
    let control = Asked::opening();
    let hub = hub(&control);
    let mut client = hub.connected("d", Version::V311);
    control.fill(true);
    client.publish("$iothub/twin/GET/?$rid=1", Some(1), b"");
    assert_eq!(client.answer(), Some(Answer::PubAck { packet_id: 1 }));
    let heard = client.hear();
    assert_eq!(heard.topic, "$iothub/twin/res/429/?$rid=1");
    assert!(String::from_utf8(heard.payload).unwrap().contains("\"errorCode\":429001"));
    control.fill(false);
    client.publish("$iothub/twin/PATCH/properties/reported/?$rid=2", None, &vec![b' '; 128 * 1024 + 1]);
    assert_eq!(client.hear().topic, "$iothub/twin/res/413/?$rid=2");
    assert!(control.is_quiet());
    control.fill(true);
    client.subscribe(5, &[("$iothub/twin/res/#", 0)]);
    assert!(client.is_closed(), "a SUBSCRIBE is never forgotten: the client does it again");
}

#[test]
fn what_asks_too_much_is_not_read_until_it_is_answered() {
    let control = Asked::opening();
    let hub = hub(&control);
    let mut client = hub.connected("d", Version::V311);
    for number in 0..100 {
        client.publish(&format!("$iothub/twin/GET/?$rid={number}"), None, b"");
    }
    let sessions: Vec<SessionKey> = (0..64).map(|_| control.next().0).collect();
    client.publish(&telemetry_topic("d"), Some(1), b"x");
    assert!(control.is_quiet(), "no more than 64 at a time");
    let mut heard = Vec::new();
    for number in 0..100 {
        control.tell(sessions[0], twin(&number.to_string(), 200, None, "{}"));
        if number < 36 {
            assert!(matches!(control.next().2, Request::ReadTwin { .. }));
        }
    }
    while heard.len() < 101 {
        heard.extend(client.packet(|packet| match packet {
            ServerPacket::Publish { topic, .. } => topic.to_owned(),
            ServerPacket::PubAck { .. } => String::new(),
            other => panic!("{other:?}"),
        }));
    }
    let acknowledged = heard.iter().position(String::is_empty).unwrap();
    assert!(acknowledged >= 36, "telemetry waits behind the requests: {acknowledged}");
    heard.remove(acknowledged);
    assert!(heard.iter().zip(0..).all(|(topic, number)| *topic == format!("$iothub/twin/res/200/?$rid={number}")));
}

#[test]
fn what_cannot_be_read_or_is_somebody_elses_closes() {
    let control = Asked::opening();
    let hub = hub(&control);
    let publish = |topic: &'static str| Box::new(move |client: &mut Client| client.publish(topic, Some(1), b"x"));
    let subscribe = |filter: &'static str| Box::new(move |client: &mut Client| client.subscribe(1, &[(filter, 1)]));
    type Case = Box<dyn Fn(&mut Client)>;
    let cases: [Case; 8] = [
        publish("$iothub/twin/GET/?"),
        publish("$iothub/methods/res/ok/?$rid=1"),
        publish("$iothub/methods/POST/x/?$rid=1"),
        publish("$dps/registrations/PUT/iotdps-register/?$rid=1"),
        publish("devices/other/messages/events/"),
        subscribe("$iothub/#"),
        subscribe("devices/other/messages/devicebound/#"),
        subscribe("$dps/registrations/res/#"),
    ];
    for case in cases {
        let mut client = hub.connected("d", Version::V311);
        case(&mut client);
        assert!(client.is_closed());
        assert!(matches!(control.next().2, Request::Close));
    }
}

#[test]
fn a_hub_without_control_side_takes_telemetry_only() {
    let hub = Hub::start(HubOptions::default());
    let mut client = hub.connected("d", Version::V311);
    client.subscribe(1, &[("$iothub/methods/POST/#", 0)]);
    assert!(client.is_closed());
    let mut client = hub.connected("d", Version::V311);
    client.publish("$iothub/twin/GET/?$rid=1", None, b"");
    assert!(client.is_closed());
}
