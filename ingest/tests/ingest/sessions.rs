//! Who is let in, who is sent away, and how sessions end.

use millrace_ingest::CloseReason;
use millrace_protocols_mqtt::Version;

use crate::harness::{Answer, Client, Hub, HubOptions, now, telemetry_topic, token};

fn refused(hub: &Hub, version: Version, name: &str, token: &str) -> u8 {
    let mut client = hub.client();
    client.connect(name, version, token, 60);
    let Some(Answer::ConnAck { code }) = client.answer() else {
        panic!("no CONNACK");
    };
    assert!(client.is_closed());
    code
}

#[test]
fn bad_credentials_are_refused_alike() {
    let hub = Hub::start(HubOptions::default());
    hub.devices.add("d", true);
    hub.devices.add("off", false);
    let good = token("d", now() + 60);
    let mut tampered = good.clone();
    tampered.replace_range(tampered.len() - 2.., "00");
    let cases = [
        ("d", tampered),
        ("d", token("d", now() - 3600)),
        ("d", token("other", now() + 60)),
        ("unknown", token("unknown", now() + 60)),
        ("off", token("off", now() + 60)),
    ];
    for (name, token) in cases {
        assert_eq!(refused(&hub, Version::V311, name, &token), 5, "{name}");
        assert_eq!(refused(&hub, Version::V5, name, &token), 0x87, "{name}");
    }
    assert_eq!(refused(&hub, Version::V311, "d", "no token at all"), 4);
}

#[test]
fn the_secondary_key_is_as_good() {
    let hub = Hub::start(HubOptions::default());
    hub.devices.add("d", true);
    let token = millrace_protocols_identity::sas::sign(
        "localhost%2fdevices%2fd",
        &crate::harness::key("secondary"),
        now() + 60,
        None,
    );
    let mut client = hub.client();
    client.connect("d", Version::V311, &token, 60);
    assert_eq!(client.answer(), Some(Answer::ConnAck { code: 0 }));
}

#[test]
fn the_newest_connection_of_an_identity_lives() {
    let mut hub = Hub::start(HubOptions::default());
    // Enough rounds that both shards take part.
    let mut older: Option<Client> = None;
    for round in 0..12_u16 {
        let mut client = hub.connected("d", Version::V5);
        if let Some(mut older) = older.take() {
            assert_eq!(older.answer(), Some(Answer::Disconnect { reason: 0x8e }), "round {round}");
            assert!(older.is_closed());
        }
        client.publish(&telemetry_topic("d"), Some(1), round.to_string().as_bytes());
        assert!(matches!(client.answer(), Some(Answer::PubAck { .. })));
        assert_eq!(hub.batch().message(0).unwrap().body, round.to_string().as_bytes());
        older = Some(client);
    }
}

#[test]
fn sessions_of_a_disabled_device_end() {
    let hub = Hub::start(HubOptions::default());
    let mut ended = hub.connected("d", Version::V5);
    let mut other = hub.connected("other", Version::V5);
    hub.ingest.as_ref().unwrap().end_session("d", None, &CloseReason::Disabled);
    assert_eq!(ended.answer(), Some(Answer::Disconnect { reason: 0x98 }));
    assert!(ended.is_closed());
    other.publish(&telemetry_topic("other"), Some(1), b"x");
    assert!(matches!(other.answer(), Some(Answer::PubAck { .. })));
}

#[test]
fn a_silent_session_ends_after_one_and_a_half_keep_alives() {
    let hub = Hub::start(HubOptions::default());
    hub.devices.add("d", true);
    let mut client = hub.client();
    client.connect("d", Version::V5, &token("d", now() + 60), 1);
    assert_eq!(client.answer(), Some(Answer::ConnAck { code: 0 }));
    let start = std::time::Instant::now();
    assert_eq!(client.answer(), Some(Answer::Disconnect { reason: 0x8d }));
    assert!(start.elapsed().as_secs() < 6);
    assert!(client.is_closed());
}

#[test]
fn a_draining_hub_says_goodbye() {
    let mut hub = Hub::start(HubOptions::default());
    let mut client = hub.connected("d", Version::V5);
    hub.ingest.take().unwrap().drain(std::time::Instant::now() + crate::harness::PATIENCE).unwrap();
    assert_eq!(client.answer(), Some(Answer::Disconnect { reason: 0x8b }));
    assert!(client.is_closed());
}

#[test]
fn the_will_of_a_lost_session_becomes_a_message() {
    let mut hub = Hub::start(HubOptions::default());
    hub.devices.add("d", true);
    let client = {
        let mut client = hub.client();
        client.send(&connect_with_will("d", &telemetry_topic("d")));
        assert_eq!(client.answer(), Some(Answer::ConnAck { code: 0 }));
        client
    };
    drop(client);
    let batch = hub.batch();
    let message = batch.message(0).unwrap();
    assert_eq!((message.body, message.bag), (&b"gone"[..], &b"iothub-MessageType=Will"[..]));
}

#[test]
fn a_will_elsewhere_is_refused() {
    let hub = Hub::start(HubOptions::default());
    hub.devices.add("d", true);
    let mut client = hub.client();
    client.send(&connect_with_will("d", &telemetry_topic("other")));
    assert_eq!(client.answer(), Some(Answer::ConnAck { code: 5 }));
    assert!(client.is_closed());
}

/// CONNECT of MQTT 3.1.1 with the will `gone`.
fn connect_with_will(name: &str, will_topic: &str) -> Vec<u8> {
    let user_name = format!("localhost/{name}/?api-version=2021-04-12");
    let token = token(name, now() + 60);
    let mut body = b"\0\x04MQTT\x04\xc4\0\x3c".to_vec();
    for field in [name, will_topic, "gone", &user_name, &token] {
        body.extend_from_slice(&u16::try_from(field.len()).unwrap().to_be_bytes());
        body.extend_from_slice(field.as_bytes());
    }
    let mut packet = vec![0x10];
    let mut rest = body.len();
    loop {
        let digit = u8::try_from(rest % 128).unwrap();
        rest /= 128;
        packet.push(if rest > 0 { digit | 0x80 } else { digit });
        if rest == 0 {
            break;
        }
    }
    packet.extend_from_slice(&body);
    packet
}
