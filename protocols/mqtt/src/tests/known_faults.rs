//! Packets that brought other brokers down, each named after its report.

use super::{BOTH, accepted, connect, next, publish};
use crate::{Limits, PacketError, Session, SessionError, Version};

fn error(session: &mut Session, bytes: &[u8]) -> SessionError {
    match session.next(&Limits::default(), &mut &bytes[..]) {
        Err(error) => error,
        other => panic!("no error: {other:?}"),
    }
}

/// A fixed header for `body`.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut rest = body.len();
    while rest > 127 {
        out.push(u8::try_from(rest & 127).unwrap() | 128);
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap());
    out.extend_from_slice(body);
    out
}

#[test]
fn cve_2016_9877_user_name_without_password_is_told_apart_from_an_empty_one() {
    let head = |flags| [&b"\x00\x04MQTT\x04"[..], &[flags, 0, 60], b"\x00\x01c\x00\x01u"].concat();
    let connect = |bytes: &[u8]| next(&mut Session::new(), &mut &bytes[..]).unwrap();
    assert_eq!(connect(&packet(0x10, &head(0x82))), "CONNECT id=c keep=60 clean user=u");
    let empty = [&head(0xc2)[..], &[0, 0]].concat();
    assert_eq!(connect(&packet(0x10, &empty)), "CONNECT id=c keep=60 clean user=u password=");
    assert!(connect(&packet(0x10, &head(0xc2))).ends_with("packet ends inside a field"), "flag without field");
}

#[test]
fn cve_2017_7650_ids_with_pattern_characters_stay_as_they_are() {
    let body = b"\x00\x04MQTT\x04\x82\x00\x3c\x00\x03#/+\x00\x05+/#/x";
    let found = next(&mut Session::new(), &mut &packet(0x10, body)[..]).unwrap();
    assert_eq!(found, "CONNECT id=#/+ keep=60 clean user=+/#/x");
}

#[test]
fn cve_2017_7651_and_2023_0809_a_claimed_length_is_refused_from_its_header() {
    let huge = SessionError::Packet(PacketError::TooLarge);
    assert_eq!(error(&mut Session::new(), &[0x10, 0xff, 0xff, 0xff, 0x7f]), huge);
    assert_eq!(error(&mut Session::new(), &[0x30, 0xff, 0xff, 0xff, 0x7f]), huge);
    assert_eq!(error(&mut Session::new(), &[0x30, 0x10]), SessionError::NotConnect);
    for version in BOTH {
        assert_eq!(error(&mut accepted(version), &[0x30, 0xff, 0xff, 0xff, 0x7f]), huge);
    }
}

#[test]
fn cve_2019_11779_and_2026_95844_many_levels_are_linear_or_refused() {
    let slashes = "/".repeat(65_000);
    for version in BOTH {
        let mut session = accepted(version);
        let bytes = publish(version, &slashes, 1, b"");
        assert!(next(&mut session, &mut &bytes[..]).unwrap().starts_with("PUBLISH //"));
        let mut bytes = Vec::new();
        crate::client::encode_subscribe(version, 1, &[(&slashes, 1)], &mut bytes);
        assert_eq!(error(&mut session, &bytes), PacketError::FilterInvalid.into());
    }
}

#[test]
fn cve_2021_28166_packets_of_a_server_are_refused_before_and_after_connect() {
    for kind in [0, 2, 5, 6, 7, 9, 11, 13] {
        for body in [&[][..], &[0, 1], &[0, 1, 0, 0]] {
            let bytes = packet(kind << 4, body);
            assert_eq!(error(&mut Session::new(), &bytes), SessionError::NotConnect);
            for version in BOTH {
                let code = error(&mut accepted(version), &bytes).disconnect_reason().code();
                assert!(matches!(code, 0x81 | 0x82), "{kind}");
            }
        }
    }
}

#[test]
fn cve_2021_34431_a_broken_will_leaves_nothing_behind() {
    let body = b"\x00\x04MQTT\x05\x06\x00\x3c\x00\x00\x01c\x05\x23\x00\x01\x00\x00";
    let mut session = Session::new();
    assert!(matches!(error(&mut session, &packet(0x10, body)), SessionError::Packet(_)));
    assert_eq!(session.take_will(), None);
}

#[test]
fn cve_2021_34432_zero_length_topic() {
    assert_eq!(error(&mut accepted(Version::V311), &[0x30, 2, 0, 0]), PacketError::EmptyTopic.into());
    assert_eq!(error(&mut accepted(Version::V5), &[0x30, 3, 0, 0, 0]), PacketError::EmptyTopic.into());
}

#[test]
fn cve_2021_41039_user_properties_are_counted() {
    let limits = Limits::default();
    let connect = |count: usize| {
        let properties = b"\x26\x00\x00\x00\x00".repeat(count);
        let length = packet(0, &properties);
        let body = [b"\x00\x04MQTT\x05\x02\x00\x3c", &length[1..], b"\x00\x01c"].concat();
        packet(0x10, &body)
    };
    assert!(Session::new().next(&limits, &mut &connect(256)[..]).is_ok());
    assert_eq!(error(&mut Session::new(), &connect(257)), PacketError::TooManyUserProperties.into());
    assert_eq!(error(&mut Session::new(), &connect(10_000)), PacketError::TooLarge.into());
}

#[test]
fn cve_2023_28366_quality_2_never_takes_memory() {
    for version in BOTH {
        let mut session = accepted(version);
        for _ in 0..1000 {
            assert_eq!(error(&mut session, b"\x34\x06\x00\x01t\x00\x01x"), SessionError::QosNotSupported);
        }
        assert_eq!(session.in_flight(), 0);
        assert_eq!(error(&mut session, &[0x34]), SessionError::QosNotSupported, "known from its first byte");
    }
}

#[test]
fn cve_2024_36856_two_connects_and_strange_protocol_names() {
    for version in BOTH {
        let twice = connect(version).repeat(2);
        crate::fuzz::session(&twice);
        let mut session = accepted(version);
        assert_eq!(error(&mut session, &connect(version)), SessionError::SecondConnect);
    }
    for flags in [0x00, 0x01, 0x3f, 0xff] {
        let body = [&b"\x00\x04MQTX\x04"[..], &[flags, 0, 0]].concat();
        assert_eq!(error(&mut Session::new(), &packet(0x10, &body)), PacketError::ProtocolName.into());
    }
}

#[test]
fn cve_2026_21888_five_byte_lengths_and_a_publish_that_ends_after_its_topic() {
    let mut session = accepted(Version::V311);
    assert_eq!(error(&mut session, b"\x30\x80\x80\x80\x80\x01"), PacketError::LengthOverlong.into());
    assert_eq!(error(&mut session, b"\x32\x03\x00\x01t"), PacketError::Truncated.into());
    let mut session = accepted(Version::V5);
    assert_eq!(error(&mut session, b"\x32\x08\x00\x01t\x00\x01\xff\xff\xff"), PacketError::Truncated.into());
    assert_eq!(error(&mut session, b"\x30\x08\x00\x01t\xff\xff\xff\xff\x01"), PacketError::LengthOverlong.into());
}

#[test]
fn cve_2026_67418_every_property_that_publish_may_not_carry_is_refused() {
    let values: &[&[u8]] = &[
        b"\x0b\x01",
        b"\x11\0\0\0\0",
        b"\x12\0\0",
        b"\x13\0\0",
        b"\x15\0\0",
        b"\x16\0\0",
        b"\x17\0",
        b"\x18\0\0\0\0",
        b"\x19\0",
        b"\x1a\0\0",
        b"\x1c\0\0",
        b"\x1f\0\0",
        b"\x21\0\x01",
        b"\x22\0\0",
        b"\x24\0",
        b"\x25\0",
        b"\x27\0\0\0\x01",
        b"\x28\0",
        b"\x29\0",
        b"\x2a\0",
    ];
    for property in values {
        let body = [&b"\x00\x01t"[..], &[u8::try_from(property.len()).unwrap()], property].concat();
        let found = error(&mut accepted(Version::V5), &packet(0x30, &body));
        assert_eq!(found, PacketError::PropertyMisplaced(property[0]).into());
    }
}
