//! Tests of the whole crate, through its public surface.

mod deliveries;
mod differential;
mod golden;
mod known_faults;
mod properties;
mod sessions;

use crate::client::{self, ConnectOptions, PublishOptions};
use crate::{Accept, Event, Limits, Session, Version};

pub(crate) const BOTH: [Version; 2] = [Version::V311, Version::V5];
pub(crate) const ACCEPT: Accept<'static> =
    Accept { session_present: false, assigned_client_id: None, keep_alive_seconds: 60 };

/// CONNECT of client `c`, clean, keep-alive 60.
pub(crate) fn connect(version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    let options = ConnectOptions {
        version,
        client_id: "c",
        user_name: None,
        password: None,
        keep_alive_seconds: 60,
        clean_start: true,
    };
    client::encode_connect(&options, &mut out);
    out
}

/// PUBLISH of QoS 1.
pub(crate) fn publish(version: Version, topic: &str, packet_id: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let options =
        PublishOptions { version, topic, packet_id: Some(packet_id), dup: false, payload, user_properties: &[] };
    client::encode_publish(&options, &mut out);
    out
}

/// A session that has accepted `connect`.
pub(crate) fn accepted_from(limits: &Limits, connect: &[u8]) -> Session {
    let mut session = Session::new();
    let mut input = connect;
    assert!(matches!(session.next(limits, &mut input), Ok(Some(Event::Connect(_)))));
    session.accept(limits, &ACCEPT, &mut Vec::new());
    assert!(session.is_connected());
    session
}

pub(crate) fn accepted(version: Version) -> Session {
    accepted_from(&Limits::default(), &connect(version))
}

/// What the session makes of `input`: its next event or error, in words.
pub(crate) fn next(session: &mut Session, input: &mut &[u8]) -> Option<String> {
    match session.next(&Limits::default(), input) {
        Ok(None) => None,
        Ok(Some(event)) => Some(describe(&event)),
        Err(error) => {
            let code = error.disconnect_reason().code();
            let connack = connack_code(session, error);
            Some(format!("error {code:#04x}{connack} {error}"))
        }
    }
}

/// The code of the CONNACK that `fail` writes, where it is CONNACK's turn.
fn connack_code(session: &mut Session, error: crate::SessionError) -> String {
    if session.is_connected() {
        return String::new();
    }
    let mut out = Vec::new();
    session.fail(error, &mut out);
    out.get(3).map_or_else(|| " connack -".to_owned(), |code| format!(" connack {code}"))
}

/// An event in words. Everything of the protocol that is not at its default is in there.
pub(crate) fn describe(event: &Event<'_>) -> String {
    match event {
        Event::Connect(connect) => describe_connect(connect),
        Event::Publish(publish) => describe_publish(publish),
        Event::PubAck { packet_id, reason, token } => {
            let token = token.map(|token| format!(" of {token}")).unwrap_or_default();
            format!("PUBACK #{packet_id} {reason:#04x}{token}")
        }
        Event::Subscribe(subscribe) => {
            let filters = subscribe.filters.map(|(filter, qos)| format!(" {filter}:{}", qos.level()));
            format!(
                "SUBSCRIBE #{}{}{}",
                subscribe.packet_id,
                filters.collect::<String>(),
                users(subscribe.user_properties)
            )
        }
        Event::Unsubscribe(unsubscribe) => {
            let filters = unsubscribe.filters().map(|filter| format!(" {filter}")).collect::<String>();
            format!("UNSUBSCRIBE #{}{filters}{}", unsubscribe.packet_id, users(unsubscribe.user_properties))
        }
        Event::PingRequest => "PINGREQ".to_owned(),
        Event::Disconnect { reason } => format!("DISCONNECT {reason:#04x}"),
    }
}

fn describe_connect(connect: &crate::Connect<'_>) -> String {
    let mut text = format!("CONNECT id={} keep={}", connect.client_id, connect.keep_alive_seconds);
    let mut add = |part: String| text.push_str(&part);
    if connect.clean_start {
        add(" clean".to_owned());
    }
    let bytes = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    connect.user_name.into_iter().for_each(|name| add(format!(" user={name}")));
    connect.password.into_iter().for_each(|password| add(format!(" password={}", bytes(password))));
    connect.will_topic.into_iter().for_each(|topic| add(format!(" will={topic}")));
    connect.session_expiry_seconds.into_iter().for_each(|seconds| add(format!(" expiry={seconds}")));
    if connect.receive_maximum != u16::MAX {
        add(format!(" receive={}", connect.receive_maximum));
    }
    connect.maximum_packet_size.into_iter().for_each(|size| add(format!(" packet={size}")));
    if connect.topic_alias_maximum != 0 {
        add(format!(" alias={}", connect.topic_alias_maximum));
    }
    if !connect.request_problem_information {
        add(" quiet".to_owned());
    }
    connect.authentication_method.into_iter().for_each(|method| add(format!(" method={method}")));
    connect.authentication_data.into_iter().for_each(|data| add(format!(" data={}", bytes(data))));
    add(users(connect.user_properties));
    assert_eq!(connect.has_will, connect.will_topic.is_some());
    text
}

fn describe_publish(publish: &crate::Publish<'_>) -> String {
    let mut text = format!("PUBLISH {} q{} #{}", publish.topic, publish.qos.level(), publish.packet_id);
    if publish.dup {
        text.push_str(" dup");
    }
    if publish.retain {
        text.push_str(" retain");
    }
    text.push_str(&format!(" [{}]", String::from_utf8_lossy(publish.payload)));
    if let Some(seconds) = publish.properties.message_expiry_seconds() {
        text.push_str(&format!(" expiry={seconds}"));
    }
    let mut bag = Vec::new();
    publish.properties.write_bag(&mut bag);
    if !bag.is_empty() {
        text.push_str(&format!(" bag={}", String::from_utf8_lossy(&bag)));
    }
    text
}

fn users(properties: crate::UserProperties<'_>) -> String {
    properties.iter().map(|(name, value)| format!(" user:{name}={value}")).collect()
}
