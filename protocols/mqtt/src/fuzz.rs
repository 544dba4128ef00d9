//! Bodies of the fuzz targets; the property tests run them too. Each takes any bytes and must return.
//! - Invariants checked: no panic, input only gets shorter, what was read once reads the same in pieces.

use crate::client;
use crate::limits::Limits;
use crate::packet::connack::Accept;
use crate::session::{Delivery, DeliveryError, Event, Session};
use crate::version::Version;

/// A server reads `data` as one connection and answers everything.
pub fn session(data: &[u8]) {
    let limits = Limits::default();
    let mut session = Session::new();
    let mut out = Vec::new();
    let mut input = data;
    loop {
        let before = input.len();
        let answer = match session.next(&limits, &mut input) {
            Ok(Some(event)) => answer(&event),
            Ok(None) => break,
            Err(error) => {
                session.fail(error, &mut out);
                break;
            }
        };
        assert!(input.len() < before, "an event takes bytes");
        apply(&mut session, &limits, answer, &mut out);
        out.clear();
    }
    drop(session.take_will());
}

/// The same, after a CONNECT that is accepted.
pub fn connected_session(version: Version, data: &[u8]) {
    let mut whole = Vec::new();
    let options = client::ConnectOptions {
        version,
        client_id: "c",
        user_name: None,
        password: None,
        keep_alive_seconds: 60,
        clean_start: true,
    };
    client::encode_connect(&options, &mut whole);
    whole.extend_from_slice(data);
    session(&whole);
}

/// A client reads `data`.
pub fn server_packets(version: Version, data: &[u8]) {
    let mut input = data;
    while let Ok(Some(packet)) = client::next_server_packet(version, 1 << 20, &mut input) {
        drop(format!("{packet:?}"));
    }
}

enum Answer {
    Accept,
    Ack(u16),
    SubAck(u16, usize),
    UnsubAck(u16, usize),
    Ping,
    None,
}

fn answer(event: &Event<'_>) -> Answer {
    match event {
        Event::Connect(connect) => {
            assert!(connect.user_properties.iter().count() <= Limits::default().user_properties_max);
            Answer::Accept
        }
        Event::Publish(publish) => {
            let mut bag = Vec::new();
            publish.properties.write_bag(&mut bag);
            assert!(!publish.topic.is_empty() && !publish.topic.contains(['+', '#', '\0']));
            if publish.packet_id == 0 { Answer::None } else { Answer::Ack(publish.packet_id) }
        }
        Event::Subscribe(subscribe) => Answer::SubAck(subscribe.packet_id, subscribe.filters.count()),
        Event::Unsubscribe(unsubscribe) => Answer::UnsubAck(unsubscribe.packet_id, unsubscribe.filters().count()),
        Event::PingRequest => Answer::Ping,
        Event::PubAck { token, .. } => {
            assert!(token.is_none_or(|token| token < 3));
            Answer::None
        }
        Event::Disconnect { .. } => Answer::None,
    }
}

fn apply(session: &mut Session, limits: &Limits, answer: Answer, out: &mut Vec<u8>) {
    use crate::reason::PubAckReason;
    match answer {
        Answer::Accept => {
            let accept = Accept { session_present: false, assigned_client_id: None, keep_alive_seconds: 60 };
            session.accept(limits, &accept, out);
            // What is in flight makes acknowledgements mean something. A client may take less than this.
            for token in 0..3 {
                let delivery = Delivery { topic: "a/b", payload: b"x", token: Some(token) };
                assert!(session.deliver(&delivery, out) != Err(DeliveryError::NotConnected));
            }
        }
        Answer::Ack(packet_id) => session.ack(packet_id, PubAckReason::Success, out),
        Answer::SubAck(packet_id, count) => session.suback(packet_id, &vec![0x80; count], out),
        Answer::UnsubAck(packet_id, count) => session.unsuback(packet_id, &vec![0x11; count], out),
        Answer::Ping => session.ping_response(out),
        Answer::None => {}
    }
}
