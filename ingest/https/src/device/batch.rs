//! Many messages in one request. Pure.
//! - Source: Azure IoT Hub, `Content-Type: application/vnd.microsoft.iothub.json`: a JSON array of `body` (base64, or text where
//!   `base64Encoded` is false, as C sends it) and `properties`.
//! - Limits: [`BATCH_MESSAGES_MAX`] messages, [`MESSAGE_BYTES_MAX`] for all of them together.
//! - Errors: one bad message makes the batch bad; nothing of it is taken.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use millrace_model::HubError;
use millrace_model::limits::MESSAGE_BYTES_MAX;
use serde::Deserialize;

use super::properties;
use crate::limits::BATCH_MESSAGES_MAX;

const CONTENT_TYPE: &str = "application/vnd.microsoft.iothub.json";

/// With padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A message as it is handed on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) bag: Vec<u8>,
    pub(super) body: Bytes,
}

#[derive(Deserialize)]
struct Element<'a> {
    #[serde(borrow)]
    body: Cow<'a, str>,
    #[serde(rename = "base64Encoded", default = "yes")]
    is_base64: bool,
    #[serde(borrow, default)]
    properties: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

const fn yes() -> bool {
    true
}

/// Whether a request's body is a batch.
pub(super) fn is_batch(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case(CONTENT_TYPE)
}

/// The messages of a batch, at least one.
pub(super) fn read(json: &[u8]) -> Result<Vec<Message>, HubError> {
    let elements: Vec<Element<'_>> = serde_json::from_slice(json)
        .map_err(|_| HubError::FORMAT.because("the body is not a JSON array of messages"))?;
    if elements.is_empty() || elements.len() > BATCH_MESSAGES_MAX {
        return Err(HubError::ARGUMENT.because(format!("a batch has 1 to {BATCH_MESSAGES_MAX} messages")));
    }
    let mut left = MESSAGE_BYTES_MAX;
    elements.into_iter().map(|element| message(&element, &mut left)).collect()
}

fn message(element: &Element<'_>, left: &mut usize) -> Result<Message, HubError> {
    let body = if element.is_base64 {
        let decoded = BASE64.decode(element.body.as_bytes());
        Bytes::from(decoded.map_err(|_| HubError::FORMAT.because("the body of a message is not base64"))?)
    } else {
        Bytes::copy_from_slice(element.body.as_bytes())
    };
    let bag = properties::from_pairs(element.properties.iter().map(|(name, value)| (name.as_ref(), value.as_ref())))?;
    *left = left.checked_sub(body.len().saturating_add(bag.len())).ok_or(HubError::TOO_LARGE)?;
    Ok(Message { bag, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: &[(&str, &str)]) {
        let found = read(json.as_bytes()).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|message| (std::str::from_utf8(&message.bag).unwrap(), std::str::from_utf8(&message.body).unwrap()))
            .collect();
        assert_eq!(found, expected, "{json}");
    }

    #[test]
    fn batches_of_the_sdks() {
        check(r#"[{"body":"aGVsbG8="}]"#, &[("", "hello")]);
        check(r#"[{"body":"aGVsbG8","base64Encoded":true,"properties":{}}]"#, &[("", "hello")]);
        check(
            r#"[{"body":"plain \"é\"","base64Encoded":false,"properties":{"iothub-app-K":"v","iothub-contenttype":"text/plain"}},
                {"properties":{"iothub-messageid":"m"},"body":""}]"#,
            &[("K=v&%24.ct=text%2Fplain", "plain \"é\""), ("%24.mid=m", "")],
        );
    }

    #[test]
    fn bad_batches_are_refused_whole() {
        for bad in [
            "",
            "{}",
            "[]",
            "[{}]",
            r#"[{"body":"not base64!"}]"#,
            r#"[{"body":"aGk="},{"body":1}]"#,
            r#"[{"body":"aGk=","properties":{"iothub-app-k":1}}]"#,
            r#"[{"body":"aGk=","properties":{"iothub-app-":"x"}}]"#,
            r#"[{"body":"aGk="}"#,
        ] {
            assert_eq!(read(bad.as_bytes()).unwrap_err().status, 400, "{bad}");
        }
        assert_eq!(read("[".repeat(100_000).as_bytes()).unwrap_err().status, 400);
        let many = format!("[{}]", vec![r#"{"body":""}"#; BATCH_MESSAGES_MAX + 1].join(","));
        assert_eq!(read(many.as_bytes()).unwrap_err().status, 400);
        let half = BASE64.encode(vec![0; MESSAGE_BYTES_MAX / 2]);
        assert_eq!(read(format!(r#"[{{"body":"{half}"}},{{"body":"{half}"}}]"#).as_bytes()).unwrap().len(), 2);
        let large = format!(r#"[{{"body":"{half}"}},{{"body":"{half}"}},{{"body":"AA=="}}]"#);
        assert_eq!(read(large.as_bytes()).unwrap_err(), HubError::TOO_LARGE);
    }

    #[test]
    fn the_content_type_tells_a_batch() {
        let with = |value: &'static str| {
            is_batch(&HeaderMap::from_iter([(header::CONTENT_TYPE, header::HeaderValue::from_static(value))]))
        };
        assert!(with("application/vnd.microsoft.iothub.json"));
        assert!(with("Application/VND.Microsoft.IoTHub.JSON; charset=utf-8"));
        assert!(!with("application/json") && !is_batch(&HeaderMap::new()));
    }
}
