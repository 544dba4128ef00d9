//! The files in `vectors/`: bytes written by hand from the specification, and what they mean.

use super::{ACCEPT, accepted, connect, next};
use crate::client::next_server_packet;
use crate::{Accept, DisconnectReason, Limits, PubAckReason, Refusal, Session, Version};

struct Row {
    name: &'static str,
    bytes: Vec<u8>,
    meaning: &'static str,
}

fn rows(file: &'static str) -> Vec<Row> {
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    assert!(lines.clone().count() > 8, "vectors are there");
    lines
        .map(|line| {
            let mut parts = line.splitn(3, " |");
            let mut part = || parts.next().unwrap_or_else(|| panic!("three parts: {line}")).trim();
            Row { name: part(), bytes: bytes(part()), meaning: part() }
        })
        .collect()
}

/// Hex pairs and quoted text without spaces.
fn bytes(text: &str) -> Vec<u8> {
    let token = |token: &str| match token.strip_prefix('"') {
        Some(quoted) => quoted.trim_end_matches('"').as_bytes().to_vec(),
        None => vec![u8::from_str_radix(token, 16).unwrap_or_else(|_| panic!("hex: {token}"))],
    };
    text.split_whitespace().flat_map(token).collect()
}

fn check_client(version: Version, file: &'static str) {
    for row in rows(file) {
        let mut session = if row.name.starts_with("connect,") { Session::new() } else { accepted(version) };
        let mut input = &row.bytes[..];
        let found = next(&mut session, &mut input).unwrap_or_else(|| "more bytes needed".to_owned());
        assert_eq!(found, row.meaning, "{version:?} {}", row.name);
        assert!(input.is_empty() || found.starts_with("error"), "{}", row.name);
    }
}

//= test
//= [MQTT-2.1.3-1]
//= [MQTT-2.2.1-3]
//= 3.1.1 [MQTT-2.3.1-1]
//= 3.1.1 [MQTT-3.1.2-22]
//= 3.1.1 [MQTT-3.1.3-8]
//= [MQTT-3.1.2-1]
//= [MQTT-3.1.2-2]
//= [MQTT-3.1.2-3]
//= [MQTT-3.1.2-11]
//= [MQTT-3.1.2-12]
//= [MQTT-3.1.2-13]
//= [MQTT-3.1.2-17]
//= [MQTT-3.1.3-1]
//= [MQTT-3.3.1-2]
//= [MQTT-3.3.1-4]
//= [MQTT-3.8.1-1]
//= [MQTT-3.8.3-2]
//= 3.1.1 [MQTT-3.8.3-4]
//= [MQTT-3.10.1-1]
//= [MQTT-3.10.3-2]
//= [MQTT-3.14.1-1]
#[test]
fn packets_of_a_v311_client() {
    check_client(Version::V311, include_str!("../../vectors/client_v311.txt"));
}

//= test
//= [MQTT-3.1.2-19]
//= [MQTT-3.2.2-12]
//= [MQTT-3.3.2-8]
//= [MQTT-3.3.2-9]
//= [MQTT-3.3.2-14]
//= [MQTT-3.4.2-1]
//= [MQTT-3.8.3-4]
//= [MQTT-3.8.3-5]
//= [MQTT-3.14.2-1]
//= [MQTT-3.15.1-1]
//= [MQTT-3.15.2-1]
#[test]
fn packets_of_a_v5_client() {
    check_client(Version::V5, include_str!("../../vectors/client_v5.txt"));
}

/// Does what a row of a server file is named after.
fn act(version: Version, name: &str) -> Vec<u8> {
    let limits = Limits::default();
    let mut out = Vec::new();
    let mut fresh = Session::new();
    let mut input = &connect(version)[..];
    assert!(next(&mut fresh, &mut input).is_some());
    let (verb, rest) = name.split_once(' ').unwrap_or((name, ""));
    match verb {
        "accept" => fresh.accept(&limits, &ACCEPT, &mut out),
        "accept," if rest == "everything" => out = accept_with_everything(),
        "accept," => fresh.accept(&limits, &Accept { session_present: true, ..ACCEPT }, &mut out),
        "refuse" => fresh.refuse(*named(Refusal::ALL, rest), &mut out),
        "ack" => accepted(version).ack(10, *named(PubAckReason::ALL, rest), &mut out),
        "suback" => accepted(version).suback(7, &[0x00, 0x01, 0x87], &mut out),
        "unsuback" => accepted(version).unsuback(8, &[0x00, 0x11], &mut out),
        "ping" => accepted(version).ping_response(&mut out),
        "disconnect" => accepted(version).disconnect(DisconnectReason::ServerShuttingDown, &mut out),
        other => panic!("no such verb: {other}"),
    }
    out
}

/// A client that asks for a session expiry, and a server that sets what it can.
fn accept_with_everything() -> Vec<u8> {
    let connect = bytes(r#"10 13 00 04 "MQTT" 05 02 00 00 05 11 00 00 0e 10 00 01 "c""#);
    let mut session = Session::new();
    assert!(next(&mut session, &mut &connect[..]).is_some());
    let accept = Accept { session_present: false, assigned_client_id: Some("given"), keep_alive_seconds: 1178 };
    let mut out = Vec::new();
    session.accept(&Limits::default(), &accept, &mut out);
    out
}

fn named<'a, T: std::fmt::Debug>(all: &'a [T], name: &str) -> &'a T {
    all.iter().find(|reason| format!("{reason:?}") == name).unwrap_or_else(|| panic!("no reason {name}"))
}

fn check_server(version: Version, file: &'static str) {
    for row in rows(file) {
        let found = act(version, row.name);
        assert_eq!(found, row.bytes, "{version:?} {}: {found:02x?}", row.name);
        let mut input = &found[..];
        let read = next_server_packet(version, 1024, &mut input);
        let read = read.unwrap_or_else(|error| panic!("{}: {error}", row.name));
        assert_eq!(read.map(|packet| format!("{packet:?}")).unwrap_or_default(), row.meaning, "{}", row.name);
        assert!(input.is_empty(), "{}", row.name);
    }
}

//= test
//= 3.1.1 [MQTT-3.1.4-1]
//= 3.1.1 [MQTT-3.9.3-2]
//= [MQTT-3.12.4-1]
#[test]
fn answers_to_a_v311_client() {
    check_server(Version::V311, include_str!("../../vectors/server_v311.txt"));
}

//= test
//= [MQTT-3.1.2-21]
//= [MQTT-3.2.2-1]
//= [MQTT-3.2.2-6]
//= [MQTT-3.2.2-9]
//= [MQTT-3.2.2-16]
//= [MQTT-3.8.4-2]
//= [MQTT-3.8.4-6]
//= [MQTT-3.10.4-4]
//= [MQTT-3.11.3-1]
#[test]
fn answers_to_a_v5_client() {
    check_server(Version::V5, include_str!("../../vectors/server_v5.txt"));
}

/// The client of the load generator writes what a published capture of a device shows.
#[test]
fn the_client_writes_what_the_specification_shows() {
    assert_eq!(connect(Version::V311), bytes(r#"10 0d 00 04 "MQTT" 04 02 00 3c 00 01 "c""#));
    assert_eq!(super::publish(Version::V311, "a/b", 10, b"hi"), bytes(r#"32 09 00 03 "a/b" 00 0a "hi""#));
    assert_eq!(super::publish(Version::V5, "a/b", 10, b"hi"), bytes(r#"32 0a 00 03 "a/b" 00 0a 00 "hi""#));
    let mut out = Vec::new();
    crate::client::encode_subscribe(Version::V5, 7, &[("a/#", 1)], &mut out);
    assert_eq!(out, bytes(r#"82 09 00 07 00 00 03 "a/#" 01"#));
    out.clear();
    crate::client::encode_disconnect(Version::V5, &mut out);
    crate::client::encode_ping_request(&mut out);
    crate::client::encode_puback(258, &mut out);
    assert_eq!(out, bytes("e0 00 c0 00 40 02 01 02"));
}
