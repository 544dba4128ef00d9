//! The same bytes through another implementation: what this one accepts, that one must read the same way.
//! - Not here: what both refuse. The other is laxer (QoS 2, wildcards, null characters, repeated properties), so only that direction holds.

use bytes::BytesMut;
use mqttbytes::{QoS as PeerQoS, v4, v5};
use proptest::prelude::*;

use super::{BOTH, accepted, connect, publish};
use crate::client::{self, ConnectOptions};
use crate::{Event, Limits, Session, Version};

/// What both sides say of a publish, in one form.
type Said = (String, Vec<u8>, u8, u16, bool, bool, Vec<(String, String)>);

fn ours(version: Version, bytes: &[u8]) -> Option<Said> {
    let mut session = accepted(version);
    let Ok(Some(Event::Publish(said))) = session.next(&Limits::default(), &mut &bytes[..]) else {
        return None;
    };
    let users = said.properties.user_properties();
    let users = users.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Some((said.topic.to_owned(), said.payload.to_vec(), said.qos.level(), said.packet_id, said.dup, said.retain, users))
}

const fn level(qos: PeerQoS) -> u8 {
    match qos {
        PeerQoS::AtMostOnce => 0,
        PeerQoS::AtLeastOnce => 1,
        PeerQoS::ExactlyOnce => 2,
    }
}

fn theirs(version: Version, bytes: &[u8]) -> Option<Said> {
    let mut stream = BytesMut::from(bytes);
    match version {
        Version::V311 => match v4::read(&mut stream, 1 << 20).ok()? {
            v4::Packet::Publish(said) => {
                let payload = said.payload.to_vec();
                Some((said.topic, payload, level(said.qos), said.pkid, said.dup, said.retain, Vec::new()))
            }
            _ => None,
        },
        Version::V5 => match v5::read(&mut stream, 1 << 20).ok()? {
            v5::Packet::Publish(said) => {
                let users = said.properties.map(|properties| properties.user_properties).unwrap_or_default();
                Some((said.topic, said.payload.to_vec(), level(said.qos), said.pkid, said.dup, said.retain, users))
            }
            _ => None,
        },
    }
}

/// Compares where we accept; returns whether we did.
fn check(version: Version, bytes: &[u8]) -> bool {
    let Some(found) = ours(version, bytes) else {
        return false;
    };
    assert_eq!(Some(found), theirs(version, bytes), "{version:?} {bytes:02x?}");
    true
}

#[test]
fn every_byte_of_a_publish_changed_to_every_value() {
    for version in BOTH {
        let bytes = publish(version, "a/b", 10, b"hi");
        let mut accepted = 0;
        for at in 0..bytes.len() {
            for value in 0..=u8::MAX {
                let mut changed = bytes.clone();
                changed[at] = value;
                // An alias never set is refused by us and a topic to the peer; all else is compared.
                accepted += usize::from(check(version, &changed));
            }
        }
        assert!(accepted > 500, "{accepted} compared");
    }
}

proptest! {
    #[test]
    fn what_the_peer_writes_we_read(
        topic in "[a-zé/]{1,30}",
        packet_id in 1_u16..,
        payload in proptest::collection::vec(any::<u8>(), 0..500),
        retain in any::<bool>(),
        users in proptest::collection::vec(("[a-z]{1,5}", "[a-z]{0,5}"), 0..4),
    ) {
        let mut said = v4::Publish::new(&topic, PeerQoS::AtLeastOnce, payload.clone());
        (said.pkid, said.retain) = (packet_id, retain);
        let mut bytes = BytesMut::new();
        said.write(&mut bytes).unwrap();
        let expected = (topic.clone(), payload.clone(), 1, packet_id, false, retain, Vec::new());
        prop_assert_eq!(ours(Version::V311, &bytes), Some(expected));

        let mut said = v5::Publish::new(&topic, PeerQoS::AtLeastOnce, payload.clone());
        (said.pkid, said.retain) = (packet_id, retain);
        said.properties = Some(v5::PublishProperties {
            payload_format_indicator: Some(1),
            message_expiry_interval: Some(60),
            topic_alias: Some(3),
            response_topic: Some("r".to_owned()),
            correlation_data: None,
            user_properties: users.clone(),
            subscription_identifiers: Vec::new(),
            content_type: Some("text/plain".to_owned()),
        });
        let mut bytes = BytesMut::new();
        said.write(&mut bytes).unwrap();
        prop_assert_eq!(ours(Version::V5, &bytes), Some((topic, payload, 1, packet_id, false, retain, users)));
    }

    #[test]
    fn what_we_write_the_peer_reads(
        client_id in "[a-z0-9]{1,20}",
        credentials in proptest::option::of(("[ -~]{1,20}", "[ -~]{1,20}")),
        keep_alive_seconds in any::<u16>(),
        clean_start in any::<bool>(),
    ) {
        let options = ConnectOptions {
            version: Version::V311,
            client_id: &client_id,
            user_name: credentials.as_ref().map(|(user, _)| user.as_str()),
            password: credentials.as_ref().map(|(_, password)| password.as_bytes()),
            keep_alive_seconds,
            clean_start,
        };
        let mut bytes = Vec::new();
        client::encode_connect(&options, &mut bytes);
        let Ok(v4::Packet::Connect(read)) = v4::read(&mut BytesMut::from(&bytes[..]), 1 << 20) else {
            panic!("no connect");
        };
        prop_assert_eq!(&read.client_id, &client_id);
        prop_assert_eq!((read.keep_alive, read.clean_session), (keep_alive_seconds, clean_start));
        prop_assert_eq!(read.login.map(|login| (login.username, login.password)), credentials);
        let mut session = Session::new();
        prop_assert!(matches!(session.next(&Limits::default(), &mut &bytes[..]), Ok(Some(Event::Connect(_)))));
    }
}

#[test]
fn the_peer_reads_our_connects() {
    assert!(matches!(v4::read(&mut BytesMut::from(&connect(Version::V311)[..]), 1024), Ok(v4::Packet::Connect(_))));
    assert!(matches!(v5::read(&mut BytesMut::from(&connect(Version::V5)[..]), 1024), Ok(v5::Packet::Connect(_))));
}
