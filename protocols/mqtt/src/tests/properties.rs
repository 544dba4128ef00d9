//! What holds for any bytes and any packets.

use proptest::prelude::*;

use super::{ACCEPT, BOTH, connect, describe};
use crate::client::{self, PublishOptions, ServerPacket};
use crate::{Event, Limits, PubAckReason, Session, Version, fuzz};

/// All events of a stream that arrives in pieces: at each step the session sees what it left and one more piece.
fn events(stream: &[u8], pieces: &[usize]) -> Vec<String> {
    let limits = Limits::default();
    let mut session = Session::new();
    let mut found = Vec::new();
    let (mut taken, mut arrived) = (0, 0);
    let mut pieces = pieces.iter().copied().chain(std::iter::repeat(usize::MAX));
    while arrived < stream.len() {
        arrived = arrived.saturating_add(pieces.next().unwrap().max(1)).min(stream.len());
        loop {
            let mut input = &stream[taken..arrived];
            let (text, is_connect) = match session.next(&limits, &mut input) {
                Ok(None) => break,
                Ok(Some(event)) => (describe(&event), matches!(event, Event::Connect(_))),
                Err(error) => {
                    found.push(format!("error {error}"));
                    return found;
                }
            };
            taken = arrived - input.len();
            found.push(text);
            if is_connect {
                session.accept(&limits, &ACCEPT, &mut Vec::new());
            }
        }
    }
    found
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V311), Just(Version::V5)]
}

/// One packet a client might send, most of them good.
fn client_packet(version: Version) -> impl Strategy<Value = Vec<u8>> {
    let publish = (
        "[a-z/é]{1,40}",
        proptest::option::of(1_u16..),
        any::<bool>(),
        proptest::collection::vec(any::<u8>(), 0..300),
        proptest::collection::vec(("[a-zé$. ]{0,8}", "[a-z&=%]{0,8}"), 0..4),
    )
        .prop_map(move |(topic, packet_id, dup, payload, users)| {
            let users: Vec<_> = users.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let mut out = Vec::new();
            let options =
                PublishOptions { version, topic: &topic, packet_id, dup, payload: &payload, user_properties: &users };
            client::encode_publish(&options, &mut out);
            out
        });
    let subscribe =
        (1_u16.., proptest::collection::vec("[a-z]{1,5}(/[+a-z])?", 1..4)).prop_map(move |(id, filters)| {
            let filters: Vec<_> = filters.iter().map(|filter| (filter.replace("/+", "/x"), 1)).collect();
            let filters: Vec<_> = filters.iter().map(|(filter, qos)| (filter.as_str(), *qos)).collect();
            let mut out = Vec::new();
            client::encode_subscribe(version, id, &filters, &mut out);
            out
        });
    let noise = proptest::collection::vec(any::<u8>(), 1..20);
    prop_oneof![8 => publish, 1 => subscribe, 2 => Just(vec![0xc0, 0]), 1 => noise]
}

fn stream() -> impl Strategy<Value = (Version, Vec<u8>)> {
    version().prop_flat_map(|version| {
        let packets = proptest::collection::vec(client_packet(version), 0..8);
        packets.prop_map(move |packets| (version, [connect(version), packets.concat()].concat()))
    })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzz::session(&bytes);
        for version in BOTH {
            fuzz::connected_session(version, &bytes);
            fuzz::server_packets(version, &bytes);
        }
    }

    /// The first byte and the length are right, the rest is noise: this gets past the fixed header.
    #[test]
    fn no_body_makes_it_panic(first in any::<u8>(), body in proptest::collection::vec(any::<u8>(), 0..100)) {
        let bytes = [&[first, u8::try_from(body.len()).unwrap()], &body[..]].concat();
        for version in BOTH {
            fuzz::connected_session(version, &bytes);
            fuzz::server_packets(version, &bytes);
        }
        fuzz::session(&bytes);
    }

    /// A packet with two faults may be refused for the one that shows first, and which that is depends on the pieces.
    #[test]
    fn pieces_do_not_matter((_, stream) in stream(), pieces in proptest::collection::vec(1_usize..50, 0..40)) {
        let without_reasons = |events: Vec<String>| -> Vec<String> {
            events.into_iter().map(|event| if event.starts_with("error ") { "error".to_owned() } else { event }).collect()
        };
        prop_assert_eq!(without_reasons(events(&stream, &pieces)), without_reasons(events(&stream, &[])));
    }

    #[test]
    fn flipped_bits_do_not_make_it_panic((_, stream) in stream(), flips in proptest::collection::vec(any::<proptest::sample::Index>(), 1..4)) {
        let mut broken = stream.clone();
        for flip in flips {
            let bit = flip.index(stream.len() * 8);
            broken[bit / 8] ^= 1 << (bit % 8);
        }
        fuzz::session(&broken);
    }

    #[test]
    fn a_publish_reads_back(
        version in version(),
        topic in "[^+#\0]{1,60}",
        packet_id in proptest::option::of(1_u16..),
        dup in any::<bool>(),
        payload in proptest::collection::vec(any::<u8>(), 0..40_000),
        users in proptest::collection::vec(("[^\0]{0,8}", "[^\0]{0,8}"), 0..6),
    ) {
        let users: Vec<_> = users.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut out = Vec::new();
        let options = PublishOptions { version, topic: &topic, packet_id, dup, payload: &payload, user_properties: &users };
        client::encode_publish(&options, &mut out);

        let mut session = super::accepted(version);
        let mut input = &out[..];
        let Ok(Some(Event::Publish(publish))) = session.next(&Limits::default(), &mut input) else {
            panic!("no publish");
        };
        prop_assert_eq!(publish.topic, &topic);
        prop_assert_eq!(publish.payload, &payload);
        prop_assert_eq!(publish.packet_id, packet_id.unwrap_or(0));
        prop_assert_eq!(publish.dup, dup && packet_id.is_some());
        let read: Vec<_> = publish.properties.user_properties().iter().collect();
        prop_assert_eq!(read, if version == Version::V5 { users } else { Vec::new() });
        prop_assert!(input.is_empty());

        let packet = client::next_server_packet(version, 1 << 20, &mut &out[..]).unwrap().unwrap();
        let ServerPacket::Publish { topic: read, payload: body, .. } = packet else { panic!("{packet:?}") };
        prop_assert_eq!((read, body), (topic.as_str(), &payload[..]));
    }

    #[test]
    fn an_answer_reads_back(version in version(), packet_id in 1_u16.., choice in any::<proptest::sample::Index>()) {
        let reason = *choice.get(PubAckReason::ALL);
        let mut out = Vec::new();
        super::accepted(version).ack(packet_id, reason, &mut out);
        let packet = client::next_server_packet(version, 64, &mut &out[..]).unwrap();
        let expected = match version {
            Version::V5 => Some(ServerPacket::PubAck { packet_id, reason: reason.code() }),
            Version::V311 => reason.is_success().then_some(ServerPacket::PubAck { packet_id, reason: 0 }),
        };
        prop_assert_eq!(packet, expected);
    }
}

/// Every golden stream cut at every byte: what is whole is given out, the rest waits.
#[test]
fn cut_at_every_byte() {
    for version in BOTH {
        let stream = [connect(version), super::publish(version, "a/b", 7, b"payload"), vec![0xc0, 0]].concat();
        let whole = events(&stream, &[]);
        assert_eq!(whole.len(), 3);
        for cut in 0..stream.len() {
            let found = events(stream.get(..cut).unwrap(), &[]);
            assert!(found.len() < whole.len() && whole.starts_with(&found), "{cut}: {found:?}");
            assert_eq!(events(&stream, &[cut]), whole);
        }
        assert_eq!(events(&stream, &vec![1; stream.len()]), whole, "byte by byte");
    }
}
