//! Commands and other packets for clients: order, acknowledgement, slow readers.

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use millrace_model::door::{Doors as _, Request, SessionKey, Subscription, Subscriptions, ToDevice};
use millrace_protocols_mqtt::Version;

use crate::asked::Asked;
use crate::harness::{Answer, Client, Hub, HubOptions, now, telemetry_topic, token};

/// A session that listens to commands.
fn listening(version: Version, at_least_once: bool) -> (Arc<Asked>, Hub, Client, SessionKey) {
    let control = Asked::holding();
    let hub = Hub::start(HubOptions { control: Some(control.clone()), shards: 1, ..HubOptions::default() });
    hub.devices.add("d", true);
    let mut client = hub.client();
    client.connect("d", version, &token("d", now() + 60), 60);
    let (session, ..) = control.next();
    control.open(session, true, Subscriptions::one(Subscription::Commands, at_least_once));
    assert_eq!(client.answer(), Some(Answer::ConnAck { code: 0 }));
    (control, hub, client, session)
}

fn command(lock: u64) -> ToDevice {
    ToDevice::Command { lock, bag: format!("%24.mid=m{lock}").into(), body: Bytes::from(lock.to_string()) }
}

#[test]
fn commands_are_taken_when_they_are_acknowledged() {
    let (control, _hub, mut client, session) = listening(Version::V311, true);
    for lock in 1..=5 {
        control.tell(session, command(lock));
    }
    let heard: Vec<_> = (1..=5).map(|_| client.hear()).collect();
    for (heard, lock) in heard.iter().zip(1_u64..) {
        assert_eq!(heard.topic, format!("devices/d/messages/devicebound/%24.mid=m{lock}"));
        assert_eq!((heard.payload.as_slice(), heard.qos, heard.dup), (lock.to_string().as_bytes(), 1, false));
    }
    assert!(control.is_quiet());
    for (place, taken) in [(1, 2), (0, 1), (4, 5)] {
        client.acknowledge(heard[place].packet_id);
        let (_, _, request) = control.next();
        assert!(matches!(request, Request::CommandTaken { lock } if lock == taken), "{request:?}");
    }
    // Told again under the same lock within the session, it keeps its packet id and is marked.
    control.tell(session, command(3));
    let again = client.hear();
    assert!(again.dup && again.packet_id == heard[2].packet_id);
    // An acknowledgement of nothing is nothing.
    client.acknowledge(heard[0].packet_id);
    client.acknowledge(999);
    client.publish(&telemetry_topic("d"), Some(1), b"x");
    assert_eq!(client.answer(), Some(Answer::PubAck { packet_id: 1 }));
    assert!(control.is_quiet());
}

#[test]
fn commands_of_qos_0_are_taken_once_sent() {
    let (control, _hub, mut client, session) = listening(Version::V311, false);
    control.tell(session, command(9));
    let heard = client.hear();
    assert_eq!((heard.qos, heard.packet_id), (0, 0));
    assert!(matches!(control.next().2, Request::CommandTaken { lock: 9 }));
}

#[test]
fn a_window_that_is_full_makes_commands_wait_in_order() {
    let (control, _hub, mut client, session) = listening(Version::V311, true);
    for lock in 1..=100 {
        control.tell(session, command(lock));
    }
    for lock in 1..=100_u64 {
        let heard = client.hear();
        assert_eq!(heard.payload, lock.to_string().as_bytes(), "one after the other, whatever had to wait");
        client.acknowledge(heard.packet_id);
        assert!(matches!(control.next().2, Request::CommandTaken { lock: taken } if taken == lock));
    }
}

#[test]
fn a_client_of_mqtt_5_that_refuses_a_command_has_not_taken_it() {
    let (control, _hub, mut client, session) = listening(Version::V5, true);
    control.tell(session, command(1));
    let [high, low] = client.hear().packet_id.to_be_bytes();
    client.send(&[0x40, 3, high, low, 0x80]);
    control.tell(session, command(2));
    let packet_id = client.hear().packet_id;
    client.acknowledge(packet_id);
    assert!(matches!(control.next().2, Request::CommandTaken { lock: 2 }));
}

#[test]
fn desired_changes_arrive_in_order_and_whole() {
    let (control, _hub, mut client, session) = listening(Version::V311, true);
    // More than the socket takes at once: what waits is kept in order.
    let patch = Bytes::from(vec![b'p'; 32 * 1024]);
    for version in 1..=12 {
        control.tell(session, ToDevice::Desired { version, patch: patch.clone() });
    }
    for version in 1..=12 {
        let heard = client.hear();
        assert_eq!(heard.topic, format!("$iothub/twin/PATCH/properties/desired/?$version={version}"));
        assert_eq!(heard.payload, patch);
    }
}

#[test]
fn a_client_that_never_reads_is_closed_in_the_end_and_holds_up_nobody() {
    let (control, hub, mut deaf, session) = listening(Version::V311, true);
    let payload = Bytes::from(vec![b'x'; 100_000]);
    let mut is_closed = false;
    for call in 0..100_000 {
        let what = ToDevice::Method { call, name: "m".into(), payload: payload.clone() };
        while hub.doorway.tell(session, what.clone()).is_err() {
            std::thread::yield_now();
        }
        is_closed = !control.is_quiet();
        if is_closed {
            break;
        }
    }
    assert!(is_closed, "10 GB for one client");
    assert!(matches!(control.next().2, Request::Close));
    // It is told nothing more, and its connection ends.
    let mut rest = Vec::new();
    drop(deaf.stream.read_to_end(&mut rest));
    assert!(rest.len() < 64 << 20);
}

#[test]
fn what_is_told_before_connack_comes_behind_it() {
    let control = Asked::holding();
    let hub = Hub::start(HubOptions { control: Some(control.clone()), shards: 1, ..HubOptions::default() });
    hub.devices.add("d", true);
    let mut client = hub.client();
    client.connect("d", Version::V311, &token("d", now() + 60), 60);
    let (session, ..) = control.next();
    // The control side has the session in its table a moment before it says so.
    control.tell(session, command(1));
    control.tell(session, ToDevice::Method { call: 1, name: "m".into(), payload: Bytes::new() });
    control.open(session, true, Subscriptions::one(Subscription::Commands, true));
    assert_eq!(client.answer(), Some(Answer::ConnAck { code: 0 }));
    let heard = client.hear();
    assert_eq!((heard.payload.as_slice(), heard.qos), (&b"1"[..], 1));
    assert!(client.hear().topic.starts_with("$iothub/methods/POST/m/"));
}

#[test]
fn a_command_that_comes_before_its_suback_is_not_done_before_it_is_acknowledged() {
    let control = Asked::holding();
    let hub = Hub::start(HubOptions { control: Some(control.clone()), shards: 1, ..HubOptions::default() });
    hub.devices.add("d", true);
    let mut client = hub.client();
    client.connect("d", Version::V311, &token("d", now() + 60), 60);
    let (session, ..) = control.next();
    control.open(session, false, Subscriptions::default());
    assert_eq!(client.answer(), Some(Answer::ConnAck { code: 0 }));
    client.subscribe(1, &[("devices/d/messages/devicebound/#", 1)]);
    let (_, _, Request::Subscribe { added, token }) = control.next() else { panic!() };
    control.tell(session, command(1));
    control.tell(session, ToDevice::Subscribed { token, subscriptions: added });
    let heard = client.hear();
    assert_eq!(heard.qos, 1);
    assert_eq!(client.answer(), Some(Answer::SubAck { packet_id: 1 }));
    assert!(control.is_quiet());
    client.acknowledge(heard.packet_id);
    assert!(matches!(control.next().2, Request::CommandTaken { lock: 1 }));
}

#[test]
fn what_is_told_to_a_session_that_has_ended_is_dropped() {
    let (control, hub, client, session) = listening(Version::V311, true);
    drop(client);
    assert!(matches!(control.next().2, Request::Close));
    control.tell(session, command(1));
    control.tell(SessionKey { shard: 77, ..session }, command(1));
    control.tell(SessionKey { slot: u32::MAX, ..session }, ToDevice::Refreshed);
    hub.devices.add("e", true);
    let mut client = hub.client();
    client.connect("e", Version::V311, &token("e", now() + 60), 60);
    let (session, ..) = control.next();
    control.open(session, false, Subscriptions::default());
    assert_eq!(client.answer(), Some(Answer::ConnAck { code: 0 }));
}
