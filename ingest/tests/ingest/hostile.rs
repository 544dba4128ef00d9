//! Peers that break the rules: each costs its own connection and nothing else.

use std::io::Write as _;

use millrace_protocols_mqtt::Version;
use millrace_protocols_mqtt::client::{self, PublishOptions};

use crate::harness::{Answer, Client, Hub, HubOptions, connect_bytes, now, telemetry_topic, token};

/// Sees that a well-behaved client is still served.
fn still_serves(hub: &mut Hub, witness: &mut Client, packet_id: u16) {
    witness.publish(&telemetry_topic("witness"), Some(packet_id), b"alive");
    assert!(matches!(witness.answer(), Some(Answer::PubAck { .. })));
    assert_eq!(hub.batch().message(0).unwrap().identity.device_id, "witness");
}

#[test]
fn packets_that_break_the_protocol_close_the_connection() {
    let mut hub = Hub::start(HubOptions::default());
    let mut witness = hub.connected("witness", Version::V311);
    let cases: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x30\x05\0\x01ax",               // PUBLISH before CONNECT
        b"\x10\xff\xff\xff\x7f",           // CONNECT of 256 MiB
        b"\x10\xff\xff\xff\xff\x01",       // a length of five bytes
        b"\x20\x02\0\0",                   // a packet of servers
        b"\x10\x0c\0\x06MQIsdp\x03\0\0\0", // MQTT 3.1
        b"\0\0\0\0",
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let mut client = hub.client();
        client.send(case);
        assert!(client.is_closed(), "case {number}");
        still_serves(&mut hub, &mut witness, 1);
    }
}

#[test]
fn a_session_that_breaks_the_rules_ends() {
    let mut hub = Hub::start(HubOptions::default());
    let mut witness = hub.connected("witness", Version::V311);
    let foreign = telemetry_topic("witness");
    let own = telemetry_topic("d");
    let mut foreign_topic = Vec::new();
    let mut too_large = Vec::new();
    let payload = vec![b'x'; 256 * 1024 + 1];
    for (topic, payload, out) in [(&foreign, &b"x"[..], &mut foreign_topic), (&own, &payload, &mut too_large)] {
        let options = PublishOptions {
            version: Version::V311,
            topic,
            packet_id: Some(1),
            dup: false,
            payload,
            user_properties: &[],
        };
        client::encode_publish(&options, out);
    }
    let qos_2 = b"\x34\x07\0\x01a\0\x01xy".to_vec();
    let second_connect = connect_bytes("d", Version::V311, &token("d", now() + 60), 60);
    let bad_utf8 = b"\x30\x05\0\x02\xc3\x28x".to_vec();
    let subscribe_others = b"\x82\x1a\0\x01\0\x15devices/other/twin/#x\0".to_vec();
    for (number, case) in
        [foreign_topic, too_large, qos_2, second_connect, bad_utf8, subscribe_others].into_iter().enumerate()
    {
        let mut client = hub.connected("d", Version::V311);
        // The hub may close before all of it is written.
        drop(client.stream.write_all(&case));
        assert!(client.is_closed(), "case {number}");
        still_serves(&mut hub, &mut witness, 2);
    }
}

#[test]
fn a_publish_cut_at_any_byte_leaves_nothing_behind() {
    let mut hub = Hub::start(HubOptions::default());
    let mut witness = hub.connected("witness", Version::V311);
    let mut packet = Vec::new();
    let options = PublishOptions {
        version: Version::V311,
        topic: &telemetry_topic("d"),
        packet_id: Some(1),
        dup: false,
        payload: b"0123456789",
        user_properties: &[],
    };
    client::encode_publish(&options, &mut packet);
    for cut in 1..packet.len() {
        let mut client = hub.connected("d", Version::V311);
        client.send(&packet[..cut]);
    }
    still_serves(&mut hub, &mut witness, 3);
    // One byte at a time is still a message.
    let mut client = hub.connected("d", Version::V311);
    for byte in &packet {
        client.send(std::slice::from_ref(byte));
    }
    assert_eq!(client.answer(), Some(Answer::PubAck { packet_id: 1 }));
    assert_eq!(hub.batch().message(0).unwrap().body, b"0123456789");
}

#[test]
fn half_a_connect_is_closed_in_time() {
    let mut hub = Hub::start(HubOptions { connect_seconds_max: 1, ..HubOptions::default() });
    let connect = connect_bytes("d", Version::V311, &token("d", now() + 60), 60);
    let mut slow: Vec<Client> = (0..500)
        .map(|_| {
            let mut client = hub.client();
            client.send(&connect[..connect.len() / 2]);
            client
        })
        .collect();
    let mut witness = hub.connected("witness", Version::V311);
    still_serves(&mut hub, &mut witness, 4);
    assert!(slow.iter_mut().all(Client::is_closed));
}

#[test]
fn a_client_that_never_reads_is_closed_and_holds_up_nobody() {
    let mut hub = Hub::start(HubOptions { shards: 1, ..HubOptions::default() });
    let mut witness = hub.connected("witness", Version::V311);
    let deaf = hub.connected("deaf", Version::V311);
    let mut pings = Vec::new();
    for _ in 0..16_384 {
        client::encode_ping_request(&mut pings);
    }
    let mut stream = deaf.stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        // Each request is answered, and nobody reads the answers: in the end the hub closes, or reads no more.
        stream.set_write_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
        (0..2000).any(|_| stream.write_all(&pings).is_err())
    });
    for packet_id in 1..50 {
        still_serves(&mut hub, &mut witness, packet_id);
    }
    assert!(writer.join().unwrap(), "the hub took 64 MiB of requests without an answer being read");
    still_serves(&mut hub, &mut witness, 60);
}
