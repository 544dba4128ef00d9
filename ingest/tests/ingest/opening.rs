//! From CONNECT to CONNACK with a control side: who is asked what, in which order, and what a device hears.

use millrace_model::door::{EndReason, Refusal, Request, Subscription, Subscriptions, ToDevice};
use millrace_protocols_mqtt::Version;
use millrace_protocols_mqtt::client::{self, ConnectOptions, ServerPacket};

use crate::asked::Asked;
use crate::harness::{Answer, Client, Hub, HubOptions, now, telemetry_topic, token};

fn hub(control: &std::sync::Arc<Asked>) -> Hub {
    Hub::start(HubOptions { control: Some(control.clone()), ..HubOptions::default() })
}

/// A client that has sent CONNECT.
fn calling(hub: &Hub, name: &str, version: Version) -> Client {
    hub.devices.add(name, true);
    let mut client = hub.client();
    client.connect(name, version, &token(name, now() + 60), 60);
    client
}

fn session_present(client: &mut Client) -> bool {
    let present = client.packet(|packet| match packet {
        ServerPacket::ConnAck { code: 0, session_present } => session_present,
        other => panic!("{other:?}"),
    });
    present.unwrap()
}

#[test]
fn connack_comes_when_the_control_side_has_opened_the_session() {
    let control = Asked::holding();
    let mut hub = hub(&control);
    for (is_present, name) in [(true, "a"), (false, "b")] {
        let mut client = calling(&hub, name, Version::V311);
        // What comes behind CONNECT waits.
        client.publish(&telemetry_topic(name), Some(1), b"early");
        let (session, who, request) = control.next();
        assert_eq!(who, name);
        assert!(matches!(request, Request::Open { clean: false, model_id: None }), "{request:?}");
        assert!(hub.is_quiet(), "nothing is taken before the session is open");
        control.open(session, is_present, Subscriptions::default());
        assert_eq!(session_present(&mut client), is_present);
        assert_eq!(client.answer(), Some(Answer::PubAck { packet_id: 1 }));
        assert_eq!(hub.batch().message(0).unwrap().body, b"early");
        drop(client);
        assert!(matches!(control.next(), (ended, _, Request::Close) if ended == session));
    }
}

#[test]
fn a_refusal_is_said_in_the_protocols_words() {
    let control = Asked::holding();
    let hub = hub(&control);
    for (refusal, code) in [(Refusal::Unavailable, 3), (Refusal::Throttled, 3), (Refusal::Unauthorized, 5)] {
        let mut client = calling(&hub, "d", Version::V311);
        let (session, ..) = control.next();
        control.tell(session, ToDevice::Refused(refusal));
        assert_eq!(client.answer(), Some(Answer::ConnAck { code }));
        assert!(client.is_closed());
        assert!(matches!(control.next().2, Request::Close));
    }
}

#[test]
fn a_control_side_that_is_full_or_silent_is_server_unavailable() {
    let control = Asked::holding();
    let hub =
        Hub::start(HubOptions { control: Some(control.clone()), connect_seconds_max: 1, ..HubOptions::default() });
    control.fill(true);
    let mut client = calling(&hub, "d", Version::V311);
    assert_eq!(client.answer(), Some(Answer::ConnAck { code: 3 }));
    assert!(client.is_closed() && control.is_quiet(), "nobody has to hear of the end of what never began");
    control.fill(false);
    let mut client = calling(&hub, "d", Version::V5);
    assert!(matches!(control.next().2, Request::Open { .. }));
    assert_eq!(client.answer(), Some(Answer::ConnAck { code: 0x88 }), "nobody answers");
    assert!(client.is_closed());
    assert!(matches!(control.next().2, Request::Close));
}

#[test]
fn a_device_created_a_moment_ago_gets_in_after_a_second_look() {
    let control = Asked::holding();
    let hub = hub(&control);
    for shards_tried in 0..6 {
        let name = format!("new-{shards_tried}");
        let mut client = hub.client();
        client.connect(&name, Version::V311, &token(&name, now() + 60), 60);
        let (session, who, request) = control.next();
        assert!(who == name && matches!(request, Request::Refresh), "{request:?}");
        hub.devices.add(&name, true);
        control.tell(session, ToDevice::Refreshed);
        let (session, _, request) = control.next();
        assert!(matches!(request, Request::Open { .. }), "{request:?}");
        control.open(session, false, Subscriptions::default());
        assert_eq!(client.answer(), Some(Answer::ConnAck { code: 0 }));
        drop(client);
        assert!(matches!(control.next().2, Request::Close));
    }
}

#[test]
fn a_second_look_does_not_help_who_is_still_unknown_or_brings_a_dead_token() {
    let control = Asked::holding();
    let hub = hub(&control);
    let mut client = hub.client();
    client.connect("unknown", Version::V311, &token("unknown", now() + 60), 60);
    let (session, _, request) = control.next();
    assert!(matches!(request, Request::Refresh));
    control.tell(session, ToDevice::Refreshed);
    assert_eq!(client.answer(), Some(Answer::ConnAck { code: 5 }));
    assert!(client.is_closed());
    hub.devices.add("d", true);
    let mut client = hub.client();
    client.connect("d", Version::V311, &token("d", now() - 3600), 60);
    assert_eq!(client.answer(), Some(Answer::ConnAck { code: 5 }));
    assert!(client.is_closed() && control.is_quiet(), "no registry makes an expired token good");
}

#[test]
fn the_older_session_is_over_before_the_new_one_is_asked_for() {
    let control = Asked::holding();
    let hub = hub(&control);
    let mut older = calling(&hub, "d", Version::V5);
    let (first, ..) = control.next();
    control.open(first, false, Subscriptions::default());
    assert_eq!(older.answer(), Some(Answer::ConnAck { code: 0 }));
    let mut newer = calling(&hub, "d", Version::V5);
    let (ended, _, request) = control.next();
    assert!(ended == first && matches!(request, Request::Close), "{request:?}");
    assert_eq!(older.answer(), Some(Answer::Disconnect { reason: 0x8e }));
    assert!(older.is_closed());
    let (second, _, request) = control.next();
    assert!(matches!(request, Request::Open { .. }));
    assert_eq!(second.shard, first.shard, "a device has one home");
    // An answer to the older session harms nobody.
    control.tell(first, ToDevice::End(EndReason::Unavailable));
    control.open(second, false, Subscriptions::default());
    assert_eq!(newer.answer(), Some(Answer::ConnAck { code: 0 }));
    // Another door has taken the identity over.
    control.tell(second, ToDevice::End(EndReason::TakenOver));
    assert_eq!(newer.answer(), Some(Answer::Disconnect { reason: 0x8e }));
    assert!(matches!(control.next(), (ended, _, Request::Close) if ended == second));
}

#[test]
fn clean_sessions_and_models_are_told() {
    let control = Asked::holding();
    let hub = hub(&control);
    hub.devices.add("d", true);
    let mut bytes = Vec::new();
    let token = token("d", now() + 60);
    let options = ConnectOptions {
        version: Version::V311,
        client_id: "d",
        user_name: Some("localhost/d/?api-version=2021-04-12&model-id=dtmi:com:a;1"),
        password: Some(token.as_bytes()),
        keep_alive_seconds: 60,
        clean_start: true,
    };
    client::encode_connect(&options, &mut bytes);
    let mut client = hub.client();
    client.send(&bytes);
    let (session, _, request) = control.next();
    let Request::Open { clean: true, model_id: Some(model_id) } = request else { panic!("{request:?}") };
    assert_eq!(&*model_id, "dtmi:com:a;1");
    control.open(session, true, Subscriptions::one(Subscription::Methods, true));
    assert!(!session_present(&mut client), "a clean session goes on from nothing");
}
