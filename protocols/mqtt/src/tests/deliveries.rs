//! The server's own messages: their bytes, windows, and what an acknowledgement stands for.

use proptest::prelude::*;

use super::{BOTH, accepted, accepted_from, next};
use crate::client::{self, ServerPacket};
use crate::{Delivery, DeliveryError, Limits, Session, Version};

fn message(token: Option<u64>) -> Delivery<'static> {
    Delivery { topic: "a/b", payload: b"xy", token }
}

fn written(session: &mut Session, token: Option<u64>) -> Result<Vec<u8>, DeliveryError> {
    let mut out = Vec::new();
    session.deliver(&message(token), &mut out).map(|()| out)
}

#[test]
fn golden() {
    let mut session = accepted(Version::V311);
    assert_eq!(written(&mut session, None).unwrap(), b"\x30\x07\0\x03a/bxy");
    assert_eq!(written(&mut session, Some(9)).unwrap(), b"\x32\x09\0\x03a/b\0\x01xy");
    let mut session = accepted(Version::V5);
    assert_eq!(written(&mut session, None).unwrap(), b"\x30\x08\0\x03a/b\0xy");
    assert_eq!(written(&mut session, Some(9)).unwrap(), b"\x32\x0a\0\x03a/b\0\x01\0xy");
}

//= test
//= [MQTT-3.3.1-1]
#[test]
fn a_message_sent_again_before_its_puback_is_marked() {
    for version in BOTH {
        let mut session = accepted(version);
        let first = written(&mut session, Some(7)).unwrap();
        let other = written(&mut session, Some(8)).unwrap();
        assert_ne!(first, other);
        let mut again = first.clone();
        again[0] |= 0x08;
        assert_eq!(written(&mut session, Some(7)).unwrap(), again, "the same packet id");
        assert_eq!(session.outgoing_in_flight(), 2);
        assert_eq!(next(&mut session, &mut &b"\x40\x02\0\x01"[..]).unwrap(), "PUBACK #1 0x00 of 7");
        assert_eq!(next(&mut session, &mut &b"\x40\x02\0\x01"[..]).unwrap(), "PUBACK #1 0x00", "only once");
        assert_eq!(written(&mut session, Some(7)).unwrap()[0], 0x32, "acknowledged, so a new message");
    }
}

/// CONNECT of a v5 client with these properties.
fn connect_with(properties: &[u8]) -> Vec<u8> {
    let body = [b"\0\x04MQTT\x05\x02\0\x3c", &[u8::try_from(properties.len()).unwrap()][..], properties, b"\0\x01c"];
    let body = body.concat();
    [&[0x10, u8::try_from(body.len()).unwrap()], &body[..]].concat()
}

//= test
//= [MQTT-3.3.4-9]
#[test]
fn no_more_than_the_client_takes_is_in_flight() {
    let mut session = accepted_from(&Limits::default(), &connect_with(&[0x21, 0, 2]));
    assert!(written(&mut session, Some(1)).is_ok() && written(&mut session, Some(2)).is_ok());
    assert_eq!(written(&mut session, Some(3)), Err(DeliveryError::WindowFull));
    assert!(written(&mut session, None).is_ok(), "QoS 0 does not count");
    assert_eq!(next(&mut session, &mut &b"\x40\x02\0\x02"[..]).unwrap(), "PUBACK #2 0x00 of 2");
    assert!(written(&mut session, Some(3)).is_ok());

    let mut session = accepted(Version::V311);
    let sent = (0..1000).take_while(|token| written(&mut session, Some(*token)).is_ok()).count();
    assert_eq!(sent, 64, "who announces nothing does not fill our memory");
}

//= test
//= [MQTT-3.1.2-24]
//= [MQTT-3.1.2-25]
#[test]
fn a_message_larger_than_the_client_takes_is_not_written_and_not_in_flight() {
    let mut session = accepted_from(&Limits::default(), &connect_with(&[0x27, 0, 0, 0, 10]));
    assert!(written(&mut session, None).is_ok(), "10 bytes");
    assert_eq!(written(&mut session, Some(1)), Err(DeliveryError::TooLarge), "12 bytes");
    assert_eq!(session.outgoing_in_flight(), 0);
    let topic = "x".repeat(65_536);
    let delivery = Delivery { topic: &topic, payload: b"", token: None };
    assert_eq!(accepted(Version::V311).deliver(&delivery, &mut Vec::new()), Err(DeliveryError::TooLarge));
}

#[test]
fn nothing_is_published_before_connect_and_after_the_end() {
    assert_eq!(written(&mut Session::new(), None), Err(DeliveryError::NotConnected));
    let mut session = accepted(Version::V311);
    next(&mut session, &mut &[0xe0, 0][..]);
    assert_eq!(written(&mut session, None), Err(DeliveryError::NotConnected));
}

proptest! {
    #[test]
    fn what_is_published_reads_back(
        is_v5 in any::<bool>(),
        topic in "[^+#\0]{1,60}",
        token in proptest::option::of(any::<u64>()),
        payload in proptest::collection::vec(any::<u8>(), 0..40_000),
    ) {
        let version = if is_v5 { Version::V5 } else { Version::V311 };
        let mut out = Vec::new();
        accepted(version).deliver(&Delivery { topic: &topic, payload: &payload, token }, &mut out).unwrap();
        let mut input = &out[..];
        let packet = client::next_server_packet(version, 1 << 20, &mut input).unwrap().unwrap();
        let qos = u8::from(token.is_some());
        let expected =
            ServerPacket::Publish { topic: &topic, payload: &payload, qos, packet_id: u16::from(qos), dup: false };
        prop_assert_eq!(packet, expected);
        prop_assert!(input.is_empty());
    }
}
