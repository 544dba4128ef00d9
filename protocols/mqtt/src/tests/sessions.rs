//! Rules between packets: order, windows, aliases, wills, packet sizes.

use super::{ACCEPT, BOTH, accepted, accepted_from, connect, next, publish};
use crate::client::{ConnectOptions, encode_connect, next_server_packet};
use crate::{
    Accept, DisconnectReason, Event, Limits, PacketError, PubAckReason, QoS, Refusal, Session, SessionError, Version,
    Will,
};

/// CONNECT with a will on `t`, QoS 1, payload `bye`; v5 adds a delay of 5 s, an expiry of 60 s and a content type.
fn connect_with_will(version: Version) -> Vec<u8> {
    let properties: &[u8] = b"\x10\x18\x00\x00\x00\x05\x02\x00\x00\x00\x3c\x03\x00\x03a/b";
    let (none, will): (&[u8], &[u8]) = if version == Version::V5 { (&[0], properties) } else { (&[], &[]) };
    let head: &[u8] = &[0, 4, b'M', b'Q', b'T', b'T', version.level(), 0x0e, 0, 60];
    let body = [head, none, b"\x00\x01c", will, b"\x00\x01t\x00\x03bye"].concat();
    [&[0x10, u8::try_from(body.len()).unwrap()], &body[..]].concat()
}

//= test
//= [MQTT-3.1.0-1]
//= [MQTT-3.1.0-2]
#[test]
fn connect_comes_first_and_once() {
    for version in BOTH {
        let mut session = Session::new();
        let mut input = &[0x30][..];
        assert!(matches!(session.next(&Limits::default(), &mut input), Err(SessionError::NotConnect)), "one byte");
        let mut out = Vec::new();
        session.fail(SessionError::NotConnect, &mut out);
        assert!(out.is_empty(), "who does not speak the protocol gets no answer");

        let mut session = accepted(version);
        let again = connect(version);
        for cut in [1, again.len()] {
            let mut input = again.get(..cut).unwrap();
            assert!(matches!(session.next(&Limits::default(), &mut input), Err(SessionError::SecondConnect)));
        }
    }
}

#[test]
fn nothing_is_given_out_before_connect_is_answered() {
    let bytes = [connect(Version::V311), publish(Version::V311, "t", 1, b"x")].concat();
    let mut input = &bytes[..];
    let mut session = Session::new();
    assert!(next(&mut session, &mut input).unwrap().starts_with("CONNECT"));
    let waiting = input;
    assert_eq!(next(&mut session, &mut input), None);
    assert_eq!(input, waiting, "untouched");
    session.accept(&Limits::default(), &ACCEPT, &mut Vec::new());
    assert_eq!(next(&mut session, &mut input).unwrap(), "PUBLISH t q1 #1 [x]");
}

//= test
//= [MQTT-3.2.0-2]
//= [MQTT-3.2.2-7]
#[test]
fn connect_is_answered_once_and_a_refusal_is_the_end() {
    for version in BOTH {
        let mut out = Vec::new();
        let mut session = accepted(version);
        session.accept(&Limits::default(), &ACCEPT, &mut out);
        session.refuse(Refusal::Banned, &mut out);
        assert!(out.is_empty(), "answered before");

        let mut session = Session::new();
        let bytes = [connect_with_will(version), publish(version, "t", 1, b"x")].concat();
        let mut input = &bytes[..];
        next(&mut session, &mut input).unwrap();
        session.refuse(Refusal::ServerUnavailable, &mut out);
        assert!(!out.is_empty());
        assert_eq!(next(&mut session, &mut input), None, "[MQTT-3.1.4-6] nothing is processed after a refusal");
        assert_eq!(session.take_will(), None, "a client that never was connected leaves nothing behind");
    }
}

//= test
//= [MQTT-3.3.4-7]
#[test]
fn receive_maximum_is_enforced_for_v5_and_freed_by_acknowledgements() {
    let limits = Limits { receive_maximum: 2, ..Limits::default() };
    let take = |session: &mut Session, packet_id| {
        let bytes = publish(session.version(), "t", packet_id, b"");
        session.next(&limits, &mut &bytes[..]).map(|_| ())
    };
    let mut session = accepted_from(&limits, &connect(Version::V5));
    assert_eq!((take(&mut session, 1), take(&mut session, 2), session.in_flight()), (Ok(()), Ok(()), 2));
    session.ack(1, PubAckReason::Success, &mut Vec::new());
    assert_eq!(session.in_flight(), 1);
    assert_eq!(take(&mut session, 3), Ok(()));
    let error = take(&mut session, 4).unwrap_err();
    assert_eq!((error, error.disconnect_reason().code()), (SessionError::ReceiveMaximumExceeded, 0x93));

    let mut session = accepted_from(&limits, &connect(Version::V311));
    for packet_id in 1..=5 {
        assert_eq!(take(&mut session, packet_id), Ok(()), "3.1.1 has no such limit; the driver stops reading");
    }
    assert_eq!(session.in_flight(), 5);
}

/// PUBLISH of QoS 0 in v5 with an alias.
fn aliased(topic: &str, alias: u8) -> Vec<u8> {
    let body = [&[0, u8::try_from(topic.len()).unwrap()], topic.as_bytes(), &[3, 0x23, 0, alias]].concat();
    [&[0x30, u8::try_from(body.len()).unwrap()], &body[..]].concat()
}

//= test
//= [MQTT-3.3.2-7]
//= [MQTT-3.3.2-11]
#[test]
fn aliases_stand_for_topics_until_set_again() {
    let mut session = accepted(Version::V5);
    let mut topic = |topic: &str, alias| next(&mut session, &mut &aliased(topic, alias)[..]).unwrap();
    assert_eq!(topic("first", 1), "PUBLISH first q0 #0 []");
    assert_eq!(topic("tenth", 10), "PUBLISH tenth q0 #0 []");
    assert_eq!(topic("", 1), "PUBLISH first q0 #0 []");
    assert_eq!(topic("other", 1), "PUBLISH other q0 #0 []");
    assert_eq!(topic("", 1), "PUBLISH other q0 #0 []");
    assert_eq!(topic("", 10), "PUBLISH tenth q0 #0 []");
    assert_eq!(topic("", 2), "error 0x82 topic alias 2 stands for no topic");
    let mut other = accepted(Version::V5);
    assert!(
        next(&mut other, &mut &aliased("", 1)[..]).unwrap().starts_with("error"),
        "not those of another connection"
    );
}

#[test]
fn topics_behind_aliases_have_a_byte_limit() {
    let limits = Limits { topic_alias_bytes_max: 10, ..Limits::default() };
    let mut session = accepted_from(&limits, &connect(Version::V5));
    let mut set = |topic: &str, alias| session.next(&limits, &mut &aliased(topic, alias)[..]).map(|_| ());
    assert_eq!((set("12345", 1), set("67890", 2), set("abcde", 2)), (Ok(()), Ok(()), Ok(())), "replaced, not added");
    assert_eq!(set("x", 3), Err(SessionError::TopicAliasBytes));
}

#[test]
fn retain_is_refused_where_it_is_announced_as_absent() {
    let limits = Limits { retain_available: false, ..Limits::default() };
    let bytes =
        |version| if version == Version::V5 { &b"\x31\x04\x00\x01t\x00"[..] } else { &b"\x31\x03\x00\x01t"[..] };
    let mut session = accepted_from(&limits, &connect(Version::V5));
    assert!(matches!(session.next(&limits, &mut bytes(Version::V5)), Err(SessionError::RetainNotSupported)));
    let mut session = accepted_from(&limits, &connect(Version::V311));
    assert!(matches!(session.next(&limits, &mut bytes(Version::V311)), Ok(Some(Event::Publish(_)))));
}

//= test
//= [MQTT-3.14.4-3]
#[test]
fn a_will_is_given_out_unless_the_client_took_leave() {
    for version in BOTH {
        let will = |ending: &[u8]| {
            let mut session = accepted_from(&Limits::default(), &connect_with_will(version));
            next(&mut session, &mut &ending[..]);
            let will = session.take_will();
            assert_eq!(session.take_will(), None, "once");
            will
        };
        let is_v5 = version == Version::V5;
        let expected = Will {
            topic: "t".to_owned(),
            payload: b"bye".to_vec(),
            qos: QoS::AtLeastOnce,
            retain: false,
            bag: if is_v5 { b"%24.ct=a%2Fb".to_vec() } else { Vec::new() },
            delay_seconds: if is_v5 { 5 } else { 0 },
            message_expiry_seconds: is_v5.then_some(60),
        };
        assert_eq!(will(&[]), Some(expected.clone()), "the connection broke");
        assert_eq!(will(&[0x36, 2, 0, 0]), Some(expected.clone()), "the server ended it");
        assert_eq!(will(&[0xe0, 0]), None, "reason 0");
        if is_v5 {
            assert_eq!(will(&[0xe0, 1, 4]), Some(expected), "reason 4 asks for the will");
        }
    }
}

//= test
//= [MQTT-3.1.2-24]
//= [MQTT-3.1.2-25]
#[test]
fn nothing_larger_than_the_client_takes_is_written() {
    let limits = Limits::default();
    let connect = b"\x10\x13\x00\x04MQTT\x05\x02\x00\x3c\x05\x27\x00\x00\x00\x06\x00\x01c";
    let mut session = Session::new();
    assert!(matches!(session.next(&limits, &mut &connect[..]), Ok(Some(Event::Connect(_)))));
    let mut out = Vec::new();
    session.accept(&limits, &ACCEPT, &mut out);
    assert!(out.is_empty() && session.is_connected(), "left out as if sent");
    session.suback(1, &[0, 0], &mut out);
    assert!(out.is_empty());
    session.suback(1, &[0], &mut out);
    assert_eq!(out, [0x90, 4, 0, 1, 0, 0]);
}

//= test
//= [MQTT-4.13.1-1]
//= [MQTT-3.14.0-1]
#[test]
fn a_v5_client_is_told_what_it_did_wrong() {
    let mut out = Vec::new();
    let mut session = accepted(Version::V5);
    session.fail(SessionError::QosNotSupported, &mut out);
    session.disconnect(DisconnectReason::ServerBusy, &mut out);
    assert_eq!(out, [0xe0, 1, 0x9b], "and only once");
    assert!(!session.is_connected());
    let mut session = accepted(Version::V311);
    out.clear();
    session.fail(SessionError::QosNotSupported, &mut out);
    assert!(out.is_empty() && !session.is_connected());
}

#[test]
fn limits_before_and_after_connect_differ() {
    let limits = Limits { connect_bytes_max: 64, packet_bytes_max: 128, ..Limits::default() };
    let mut session = Session::new();
    assert!(session.next(&limits, &mut &[0x10, 63][..]).is_err(), "65 bytes claimed, 2 sent");
    assert!(matches!(session.next(&limits, &mut &[0x10, 62][..]), Ok(None)));
    let mut session = accepted_from(&limits, &connect(Version::V311));
    assert!(matches!(session.next(&limits, &mut &[0x30, 126][..]), Ok(None)));
    assert!(session.next(&limits, &mut &[0x30, 127][..]).is_err());
}

#[test]
fn what_is_announced_is_what_is_enforced_even_when_limits_change() {
    let before = Limits { receive_maximum: 1, topic_alias_maximum: 0, ..Limits::default() };
    let mut session = accepted_from(&before, &connect(Version::V5));
    let later = Limits::default();
    assert!(session.next(&later, &mut &publish(Version::V5, "t", 1, b"")[..]).is_ok());
    let second = publish(Version::V5, "t", 2, b"");
    assert!(matches!(session.next(&later, &mut &second[..]), Err(SessionError::ReceiveMaximumExceeded)));
    let alias = aliased("t", 1);
    assert!(matches!(session.next(&later, &mut &alias[..]), Err(SessionError::TopicAliasInvalid(1))));
}

#[test]
fn an_assigned_id_reaches_only_a_v5_client() {
    for version in BOTH {
        let mut session = Session::new();
        next(&mut session, &mut &connect(version)[..]).unwrap();
        let mut out = Vec::new();
        let accept = Accept { assigned_client_id: Some("given"), ..ACCEPT };
        session.accept(&Limits::default(), &accept, &mut out);
        assert_eq!(out.windows(5).any(|part| part == b"given"), version == Version::V5);
    }
}

//= test
//= [MQTT-3.1.3-4]
//= [MQTT-3.1.3-11]
//= [MQTT-3.1.3-12]
#[test]
fn every_text_of_connect_is_utf8() {
    let head = b"\x10\x17\x00\x04MQTT\x04\x86\x00\x3c";
    let texts = [*b"\x00\x01c", *b"\x00\x01t", *b"\x00\x01p", *b"\x00\x01u"];
    let error = |broken: Option<usize>| {
        let mut bytes = [&head[..], &texts.concat()].concat();
        bytes[1] = u8::try_from(bytes.len() - 2).unwrap();
        if let Some(text) = broken {
            bytes[head.len() + text * 3 + 2] = 0xff;
        }
        Session::new().next(&Limits::default(), &mut &bytes[..]).err()
    };
    let not_utf8 = Some(SessionError::Packet(PacketError::NotUtf8));
    assert_eq!((error(None), error(Some(2))), (None, None), "the payload of a will may be anything");
    assert_eq!((error(Some(0)), error(Some(1)), error(Some(3))), (not_utf8, not_utf8, not_utf8));
}

//= test
//= [MQTT-3.2.2-13]
#[test]
fn a_retained_will_is_refused_where_retain_is_announced_as_absent() {
    let limits = Limits { retain_available: false, ..Limits::default() };
    for (version, expected) in [(Version::V311, None), (Version::V5, Some(SessionError::RetainNotSupported))] {
        let mut bytes = connect_with_will(version);
        bytes[9] |= 0x20;
        assert_eq!(Session::new().next(&limits, &mut &bytes[..]).err(), expected);
    }
}

//= test
//= 3.1.1 [MQTT-3.1.2-2]
//= 3.1.1 [MQTT-3.1.3-9]
//= [MQTT-3.2.2-11]
#[test]
fn errors_in_connect_become_the_right_return_codes() {
    for (error, code) in [
        (PacketError::ProtocolName.into(), Some(1)),
        (PacketError::ProtocolLevel(3).into(), Some(1)),
        (SessionError::ClientIdRequired, Some(2)),
        (PacketError::WildcardInTopic.into(), Some(5)),
        (PacketError::Truncated.into(), None),
        (SessionError::QosNotSupported, None),
    ] {
        assert_eq!(error.refusal().and_then(Refusal::return_code), code, "{error}");
    }
    assert_eq!(SessionError::QosNotSupported.refusal().map(Refusal::code), Some(0x9b));
}

//= test
//= [MQTT-3.14.2-2]
#[test]
fn a_server_never_sets_a_session_expiry_in_disconnect() {
    let bytes = b"\xe0\x07\x8b\x05\x11\x00\x00\x00\x01";
    let read = next_server_packet(Version::V5, 64, &mut &bytes[..]);
    assert_eq!(read, Err(PacketError::PropertyMisplaced(0x11)));
}

#[test]
fn bytes_after_a_disconnect_are_not_looked_at() {
    for version in BOTH {
        let mut session = accepted(version);
        let bytes = [&[0xe0, 0][..], &publish(version, "t", 1, b"")].concat();
        let mut input = &bytes[..];
        assert_eq!(next(&mut session, &mut input).unwrap(), "DISCONNECT 0x00");
        assert_eq!(next(&mut session, &mut input), None);
        assert!(!session.is_connected());
    }
}

#[test]
fn a_password_is_never_shown() {
    let options = ConnectOptions {
        version: Version::V5,
        client_id: "c",
        user_name: Some("u"),
        password: Some(b"secret"),
        keep_alive_seconds: 60,
        clean_start: true,
    };
    let mut bytes = Vec::new();
    encode_connect(&options, &mut bytes);
    let mut session = Session::new();
    let event = session.next(&Limits::default(), &mut &bytes[..]).unwrap().unwrap();
    let secret = format!("{:?}", b"secret");
    let secret = secret.trim_matches(['[', ']']);
    for shown in [format!("{options:?}"), format!("{event:?}")] {
        assert!(shown.contains("\"u\"") && !shown.contains(secret) && !shown.contains("secret"), "{shown}");
    }
}
