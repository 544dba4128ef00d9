//! The road of a message: from a socket into the journal, and the acknowledgement back.

use std::borrow::Cow;

use millrace_ingest::AcknowledgeLevel;
use millrace_journal::JournalConfig;
use millrace_model::SystemProperty;
use millrace_protocols_mqtt::Version;
use millrace_protocols_mqtt::client::{self, PublishOptions};

use crate::harness::{Answer, Hub, HubOptions, telemetry_topic};

#[test]
fn what_is_acknowledged_is_in_the_journal() {
    let mut hub = Hub::start(HubOptions::default());
    let mut client = hub.connected("pump-1", Version::V311);
    let topic = format!("{}%24.ct=application%2Fjson&site=north", telemetry_topic("pump-1"));
    client.publish(&topic, Some(7), b"{}");
    assert_eq!(client.answer(), Some(Answer::PubAck { packet_id: 7 }));
    let batch = hub.batch();
    let message = batch.message(0).unwrap();
    assert_eq!(message.identity.device_id, "pump-1");
    assert_eq!(message.body, b"{}");
    assert_eq!(message.system(SystemProperty::ContentType), Some(Cow::Borrowed("application/json")));
    assert!(message.identity.auth_method.contains(r#""type":"sas""#));
}

#[test]
fn pipelined_messages_are_acknowledged_in_order() {
    let mut hub = Hub::start(HubOptions::default());
    let mut client = hub.connected("d", Version::V311);
    let mut bytes = Vec::new();
    for packet_id in 1..=1000_u16 {
        let payload = packet_id.to_string();
        let options = PublishOptions {
            version: Version::V311,
            topic: &telemetry_topic("d"),
            packet_id: Some(packet_id),
            dup: false,
            payload: payload.as_bytes(),
            user_properties: &[],
        };
        client::encode_publish(&options, &mut bytes);
    }
    client.send(&bytes);
    for expected in 1..=1000_u16 {
        assert_eq!(client.answer(), Some(Answer::PubAck { packet_id: expected }));
    }
    let mut bodies = Vec::new();
    while bodies.len() < 1000 {
        bodies.extend(hub.batch().messages().map(|message| String::from_utf8(message.body.to_vec()).unwrap()));
    }
    assert_eq!(bodies, (1..=1000).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn mqtt_5_properties_arrive_as_message_properties() {
    let mut hub = Hub::start(HubOptions::default());
    let mut client = hub.connected("d", Version::V5);
    let mut bytes = Vec::new();
    let options = PublishOptions {
        version: Version::V5,
        topic: &format!("{}a=1", telemetry_topic("d")),
        packet_id: Some(1),
        dup: false,
        payload: b"x",
        user_properties: &[("b c", "2&3")],
    };
    client::encode_publish(&options, &mut bytes);
    client.send(&bytes);
    assert_eq!(client.answer(), Some(Answer::PubAck { packet_id: 1 }));
    let batch = hub.batch();
    let values: Vec<_> =
        batch.message(0).unwrap().properties().into_iter().map(|it| it.value.unwrap().into_owned()).collect();
    assert_eq!(values, ["1", "2&3"]);
}

#[test]
fn qos_0_and_retained_messages_are_taken() {
    let mut hub = Hub::start(HubOptions::default());
    let mut client = hub.connected("d", Version::V311);
    // PUBLISH with RETAIN and QoS 0.
    let topic = telemetry_topic("d");
    let mut bytes = vec![0x31, u8::try_from(2 + topic.len() + 1).unwrap(), 0, u8::try_from(topic.len()).unwrap()];
    bytes.extend_from_slice(topic.as_bytes());
    bytes.push(b'x');
    client.send(&bytes);
    let batch = hub.batch();
    assert_eq!(batch.message(0).unwrap().bag, b"mqtt-retain=true");
}

#[test]
fn a_full_disk_acknowledges_nothing_and_loses_nothing() {
    let journal = JournalConfig { keep_free_bytes: u64::MAX, ..JournalConfig::default() };
    let mut hub = Hub::start(HubOptions { journal, shards: 1, ..HubOptions::default() });
    let mut client = hub.connected("d", Version::V311);
    client.stream.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    client.publish(&telemetry_topic("d"), Some(1), b"x");
    let mut byte = [0];
    let read = std::io::Read::read(&mut client.stream, &mut byte);
    assert!(read.is_err(), "neither acknowledged nor closed: {read:?}");
    assert!(hub.is_quiet());
    hub.abandon();
}

#[test]
fn the_level_memory_does_not_wait_for_the_disk() {
    let journal = JournalConfig { keep_free_bytes: u64::MAX, ..JournalConfig::default() };
    let acknowledge = AcknowledgeLevel::Memory;
    let hub = Hub::start(HubOptions { journal, acknowledge, shards: 1, ..HubOptions::default() });
    let mut client = hub.connected("d", Version::V311);
    client.publish(&telemetry_topic("d"), Some(1), b"x");
    assert_eq!(client.answer(), Some(Answer::PubAck { packet_id: 1 }));
    hub.abandon();
}
