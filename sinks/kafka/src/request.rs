//! A message -> the headers of its record. Key and payload are the device id and the body, as they are.
//! - Source: Azure IoT Hub names of system properties on delivered messages; `millrace-offset` is our own.
//! - Shape: `millrace-offset` = `shard:offset` | hub facts if asked for | properties in the order sent | enrichments. A property
//!   without a value is a header with a null value.
//! - Invariants: no header that states a hub fact comes from the sender.
//! - Hot path: [`headers`] of a message without properties: one header, no `String`, no formatting machinery.

use millrace_model::property::{PropertyName, is_reserved};
use millrace_model::{Enrichment, Message};
use rdkafka::message::{Header, OwnedHeaders};

use crate::config::HeaderSet;

/// Names a message for ever, so that a reader recognises one that was sent twice.
const OFFSET_HEADER: &str = "millrace-offset";

/// Digits of the largest u16, a colon, digits of the largest u64.
const OFFSET_TEXT_MAX: usize = 5 + 1 + 20;

pub(crate) fn headers(message: &Message<'_>, set: HeaderSet, enrichments: &[Enrichment]) -> OwnedHeaders {
    let properties = if message.bag.is_empty() { Vec::new() } else { message.properties() };
    let facts = if set == HeaderSet::Hub { 7 } else { 0 };
    let headers = OwnedHeaders::new_with_capacity(1 + facts + properties.len() + enrichments.len());
    let mut text = [0; OFFSET_TEXT_MAX];
    let mut headers = add(headers, OFFSET_HEADER, Some(offset_text(message, &mut text)));
    if set == HeaderSet::Hub {
        headers = add_facts(headers, message);
    }
    for property in &properties {
        let name = match &property.name {
            PropertyName::System(system) => system.delivered_name(),
            PropertyName::Application(name) if passes_for_a_fact(name) => continue,
            PropertyName::Application(name) => name,
        };
        headers = add(headers, name, property.value.as_deref().map(str::as_bytes));
    }
    for enrichment in enrichments {
        headers = add(headers, &enrichment.key, Some(enrichment.value.as_bytes()));
    }
    headers
}

/// Many clients end a name at a NUL byte, behind which a sender could hide that it is a reserved one.
fn passes_for_a_fact(name: &str) -> bool {
    is_reserved(name) || name.contains('\0')
}

fn add_facts(headers: OwnedHeaders, message: &Message<'_>) -> OwnedHeaders {
    let identity = &message.identity;
    // Beyond the years that a calendar can name there is no text; the record's own timestamp still says it.
    let enqueued = jiff::Timestamp::from_millisecond(message.enqueued_at.0).map(|time| format!("{time:.3}")).ok();
    [
        ("iothub-connection-device-id", Some(identity.device_id)),
        ("iothub-connection-module-id", identity.module_id),
        ("iothub-connection-auth-method", Some(identity.auth_method)),
        ("iothub-connection-auth-generation-id", Some(identity.generation_id)),
        ("iothub-enqueuedtime", enqueued.as_deref()),
        ("iothub-message-source", Some(message.source.name())),
        ("dt-dataschema", identity.model_id),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .fold(headers, |headers, (name, value)| add(headers, name, Some(value.as_bytes())))
}

fn add(headers: OwnedHeaders, key: &str, value: Option<&[u8]>) -> OwnedHeaders {
    headers.insert(Header { key, value })
}

/// `shard:offset`, written from the end of `text` towards its start.
fn offset_text<'a>(message: &Message<'_>, text: &'a mut [u8; OFFSET_TEXT_MAX]) -> &'a [u8] {
    let mut start = push_digits(text, OFFSET_TEXT_MAX, message.offset.0);
    start = start.saturating_sub(1);
    if let Some(colon) = text.get_mut(start) {
        *colon = b':';
    }
    start = push_digits(text, start, u64::from(message.shard.0));
    text.get(start..).unwrap_or_default()
}

fn push_digits(text: &mut [u8; OFFSET_TEXT_MAX], end: usize, mut number: u64) -> usize {
    let mut start = end;
    loop {
        start = start.saturating_sub(1);
        if let (Some(place), Ok(digit)) = (text.get_mut(start), u8::try_from(number % 10)) {
            *place = b'0' + digit;
        }
        number /= 10;
        if number == 0 {
            return start;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_model::{IdentityRef, MessageSource, Offset, ShardId, Timestamp};
    use rdkafka::message::Headers as _;

    fn message(bag: &[u8]) -> Message<'_> {
        Message {
            shard: ShardId(3),
            offset: Offset(12345),
            identity: IdentityRef { device_id: "d1", auth_method: "{}", generation_id: "1", ..IdentityRef::default() },
            enqueued_at: Timestamp(0),
            source: MessageSource::Telemetry,
            bag,
            body: b"",
        }
    }

    fn check(bag: &str, set: HeaderSet, enrichments: &[Enrichment], expected: &[(&str, Option<&str>)]) {
        let headers = headers(&message(bag.as_bytes()), set, enrichments);
        let found: Vec<(&str, Option<&str>)> = headers
            .as_borrowed()
            .iter()
            .map(|header| (header.key, header.value.map(|value| std::str::from_utf8(value).unwrap())))
            .collect();
        assert_eq!(found, expected, "{bag}");
    }

    #[test]
    fn a_message_without_properties_has_one_header() {
        check("", HeaderSet::Lean, &[], &[("millrace-offset", Some("3:12345"))]);
    }

    #[test]
    fn properties_come_under_their_delivered_names_but_no_forged_fact() {
        let offset = ("millrace-offset", Some("3:12345"));
        check(
            "%24.mid=m%201&%24.ct=text%2Fplain&null&empty=&x=1&x=2",
            HeaderSet::Lean,
            &[Enrichment { key: "site".to_owned(), value: "north".to_owned() }],
            &[
                offset,
                ("message-id", Some("m 1")),
                ("content-type", Some("text/plain")),
                ("null", None),
                ("empty", Some("")),
                ("x", Some("2")),
                ("site", Some("north")),
            ],
        );
        check(
            "iothub-connection-auth-method=root&millrace-offset=1%3A1&dt-dataschema=x",
            HeaderSet::Lean,
            &[],
            &[offset],
        );
        check(
            "",
            HeaderSet::Hub,
            &[],
            &[
                offset,
                ("iothub-connection-device-id", Some("d1")),
                ("iothub-connection-auth-method", Some("{}")),
                ("iothub-connection-auth-generation-id", Some("1")),
                ("iothub-enqueuedtime", Some("1970-01-01T00:00:00.000Z")),
                ("iothub-message-source", Some("Telemetry")),
            ],
        );
    }

    #[test]
    fn offsets_are_written_in_full() {
        for (shard, offset) in [(0, 0), (7, 10), (u16::MAX, u64::MAX)] {
            let message = Message { shard: ShardId(shard), offset: Offset(offset), ..message(b"") };
            let mut text = [0; OFFSET_TEXT_MAX];
            assert_eq!(offset_text(&message, &mut text), format!("{shard}:{offset}").as_bytes());
        }
    }

    #[test]
    fn a_time_beyond_the_calendar_is_left_out() {
        let message = Message { enqueued_at: Timestamp(i64::MAX), ..message(b"") };
        assert_eq!(headers(&message, HeaderSet::Hub, &[]).count(), 5);
    }
}
