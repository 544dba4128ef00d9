//! Who sends too much is read later; who does so for too long is sent away.

use std::io::Write as _;
use std::time::{Duration, Instant};

use millrace_ingest::QuotasConfig;
use millrace_protocols_mqtt::Version;
use millrace_protocols_mqtt::client::{self, PublishOptions};

use crate::harness::{Answer, Client, Hub, HubOptions, PATIENCE, now, telemetry_topic, token};

fn hub(quotas: QuotasConfig) -> Hub {
    Hub::start(HubOptions { quotas, shards: 1, ..HubOptions::default() })
}

fn send(client: &mut Client, name: &str, messages: u16) {
    for packet_id in 1..=messages {
        client.publish(&telemetry_topic(name), Some(packet_id), b"x");
    }
}

#[test]
fn a_device_over_its_quota_is_acknowledged_later_and_others_are_not() {
    let quotas = QuotasConfig { device_messages_per_second: 50, burst_seconds: 1, ..QuotasConfig::default() };
    let hub = hub(quotas);
    let mut greedy = hub.connected("greedy", Version::V311);
    let mut modest = hub.connected("modest", Version::V311);
    let start = Instant::now();
    // The first read takes them all, and is paid off before the next one.
    send(&mut greedy, "greedy", 100);
    for packet_id in 1..=100 {
        assert_eq!(greedy.answer(), Some(Answer::PubAck { packet_id }));
    }
    send(&mut greedy, "greedy", 1);
    send(&mut modest, "modest", 1);
    assert_eq!(modest.answer(), Some(Answer::PubAck { packet_id: 1 }));
    let modest_waited = start.elapsed();
    assert_eq!(greedy.answer(), Some(Answer::PubAck { packet_id: 1 }));
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    assert!(modest_waited < start.elapsed());
}

#[test]
fn a_device_that_stays_over_its_quota_is_closed() {
    let quotas = QuotasConfig {
        device_messages_per_second: 20,
        burst_seconds: 1,
        violation_seconds: 1,
        ..QuotasConfig::default()
    };
    let hub = hub(quotas);
    let mut client = hub.connected("d", Version::V5);
    let mut bytes = Vec::new();
    let topic = telemetry_topic("d");
    for packet_id in 1..=40 {
        let (version, packet_id) = (Version::V5, Some(packet_id));
        let options =
            PublishOptions { version, topic: &topic, packet_id, dup: false, payload: b"x", user_properties: &[] };
        client::encode_publish(&options, &mut bytes);
    }
    // What the hub has not read when it closes takes its DISCONNECT along, so only the end is sure.
    let start = Instant::now();
    while start.elapsed() < PATIENCE && client.stream.write_all(&bytes).is_ok() {
        if (0..40).any(|_| !matches!(client.answer(), Some(Answer::PubAck { .. }))) {
            break;
        }
    }
    assert!(start.elapsed() >= Duration::from_secs(1), "slowed down at first");
    assert!(client.is_closed());
}

#[test]
fn the_day_has_an_end() {
    let hub = hub(QuotasConfig { hub_messages_per_day: 10, ..QuotasConfig::default() });
    let mut client = hub.connected("d", Version::V5);
    for packet_id in 1..=10 {
        client.publish(&telemetry_topic("d"), Some(packet_id), b"x");
        assert_eq!(client.answer(), Some(Answer::PubAck { packet_id }));
    }
    client.publish(&telemetry_topic("d"), Some(11), b"x");
    assert_eq!(client.answer(), Some(Answer::Disconnect { reason: 0x97 }));
    assert!(client.is_closed());
    // Who sends nothing may stay.
    hub.connected("other", Version::V311);
}

#[test]
fn new_sessions_have_a_rate() {
    let hub = hub(QuotasConfig { hub_connects_per_second: 3, ..QuotasConfig::default() });
    hub.devices.add("d", true);
    let codes: Vec<_> = (0..20)
        .map(|_| {
            let mut client = hub.client();
            client.connect("d", Version::V311, &token("d", now() + 60), 60);
            client.answer()
        })
        .collect();
    let refused = codes.iter().filter(|code| **code == Some(Answer::ConnAck { code: 3 })).count();
    assert!((1..20).contains(&refused), "{codes:?}");
    assert!(codes.iter().all(|code| matches!(code, Some(Answer::ConnAck { code: 0 | 3 }))), "{codes:?}");
}
