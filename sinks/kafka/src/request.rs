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
            PropertyName::Application(name) if is_reserved(name) => continue,
            PropertyName::Application(name) => name,
        };
        headers = add(headers, name, property.value.as_deref().map(str::as_bytes));
    }
    for enrichment in enrichments {
        headers = add(headers, &enrichment.key, Some(enrichment.value.as_bytes()));
    }
    headers
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
