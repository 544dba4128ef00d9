//! Direct methods: what the service asks, and what the device answers.
//! - Source: Azure IoT Hub, `POST /twins/{id}/methods`.
//! - Shape: `{"methodName","payload"?,"responseTimeoutInSeconds"?,"connectTimeoutInSeconds"?}` -> `{"status","payload"}`.
//! - Invariants: payloads travel as they were written; a call without one has an empty payload.
//! - Limits: payloads have at most [`METHOD_PAYLOAD_BYTES_MAX`].
//! - Errors: [`MethodError`].

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::MethodError;
use crate::limits::{METHOD_CALL_BYTES_MAX, METHOD_NAME_BYTES_MAX, METHOD_PAYLOAD_BYTES_MAX};

mod table;

pub use table::{MethodTable, PendingCall};

/// A method call, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodCall {
    /// Name of the method; printable ASCII that needs no encoding in a topic.
    pub name: Box<str>,
    /// JSON, or empty.
    pub payload: Bytes,
    /// How long the device may take to answer.
    pub response_timeout: Duration,
    /// How long to wait for a device that is not connected.
    pub connect_timeout: Duration,
}

/// What a device answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodResult {
    status: i32,
    payload: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallBody<'a> {
    method_name: String,
    #[serde(borrow, default, deserialize_with = "even_null")]
    payload: Option<&'a RawValue>,
    #[serde(default)]
    response_timeout_in_seconds: Option<u64>,
    #[serde(default)]
    connect_timeout_in_seconds: Option<u64>,
}

impl MethodCall {
    /// A call with the usual time-outs: 30 s to answer, none to connect.
    ///
    /// # Errors
    /// When the name cannot be one, or the payload is too large or not JSON.
    pub fn new(name: &str, payload: Bytes) -> Result<Self, MethodError> {
        Self::checked(name, payload, None, None)
    }

    /// Reads what the service sends.
    ///
    /// # Errors
    /// When it is not a call, or one that cannot be.
    pub fn parse(body: &[u8]) -> Result<Self, MethodError> {
        if body.len() > METHOD_CALL_BYTES_MAX {
            return Err(MethodError::TooLarge { bytes_max: METHOD_PAYLOAD_BYTES_MAX });
        }
        let call: CallBody<'_> =
            serde_json::from_slice(body).map_err(|error| MethodError::Format(error.to_string()))?;
        let payload = call.payload.map(|payload| Bytes::copy_from_slice(payload.get().as_bytes()));
        let (response, connect) = (call.response_timeout_in_seconds, call.connect_timeout_in_seconds);
        Self::checked(&call.method_name, payload.unwrap_or_default(), response, connect)
    }

    /// The same call with other time-outs, in seconds; `None` stands for the usual one.
    ///
    /// # Errors
    /// When one is out of bounds.
    pub fn with_timeouts(self, response: Option<u64>, connect: Option<u64>) -> Result<Self, MethodError> {
        let response_timeout = seconds("responseTimeoutInSeconds", response.unwrap_or(30), 5)?;
        let connect_timeout = seconds("connectTimeoutInSeconds", connect.unwrap_or(0), 0)?;
        Ok(Self { response_timeout, connect_timeout, ..self })
    }

    fn checked(name: &str, payload: Bytes, response: Option<u64>, connect: Option<u64>) -> Result<Self, MethodError> {
        check_name(name)?;
        if payload.len() > METHOD_PAYLOAD_BYTES_MAX {
            return Err(MethodError::TooLarge { bytes_max: METHOD_PAYLOAD_BYTES_MAX });
        }
        if !payload.is_empty() && !is_json(&payload) {
            return Err(MethodError::Field { field: "payload", problem: "is not JSON" });
        }
        let (response_timeout, connect_timeout) = (Duration::ZERO, Duration::ZERO);
        Self { name: name.into(), payload, response_timeout, connect_timeout }.with_timeouts(response, connect)
    }
}

impl MethodResult {
    /// Takes a device's answer.
    ///
    /// # Errors
    /// When the payload is too large or not JSON.
    pub fn new(status: i32, payload: Bytes) -> Result<Self, MethodError> {
        let is_blank = payload.iter().all(u8::is_ascii_whitespace);
        if payload.len() > METHOD_PAYLOAD_BYTES_MAX {
            return Err(MethodError::TooLarge { bytes_max: METHOD_PAYLOAD_BYTES_MAX });
        }
        if !is_blank && !is_json(&payload) {
            return Err(MethodError::Answer);
        }
        Ok(Self { status, payload: if is_blank { Bytes::new() } else { payload } })
    }

    /// Status in the device's own meaning.
    #[must_use]
    pub const fn status(&self) -> i32 {
        self.status
    }

    /// JSON, or empty.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// What the service reads.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for MethodResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = std::str::from_utf8(&self.payload).unwrap_or_default();
        let payload = if payload.is_empty() { "null" } else { payload };
        write!(f, "{{\"status\":{},\"payload\":{payload}}}", self.status)
    }
}

/// A payload that is null is one, unlike a payload that is not there.
fn even_null<'a, D: Deserializer<'a>>(payload: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(payload).map(Some)
}

/// RFC 2616 tokens without those that a topic gives another meaning.
fn check_name(name: &str) -> Result<(), MethodError> {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"$()<>@,;:\\\"/[]?={}".contains(&byte);
    let problem = if name.is_empty() {
        "is empty"
    } else if name.len() > METHOD_NAME_BYTES_MAX {
        "is too long"
    } else if !name.bytes().all(is_allowed) {
        "holds a character that is not allowed"
    } else {
        return Ok(());
    };
    Err(MethodError::Field { field: "methodName", problem })
}

fn seconds(field: &'static str, value: u64, least: u64) -> Result<Duration, MethodError> {
    if (least..=300).contains(&value) {
        return Ok(Duration::from_secs(value));
    }
    let problem = if least == 0 { "is not between 0 and 300" } else { "is not between 5 and 300" };
    Err(MethodError::Field { field, problem })
}

/// Whether this is one JSON value. Nothing is built of it, whatever it holds.
fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(call: &str) -> &'static str {
        match MethodCall::parse(call.as_bytes()) {
            Err(MethodError::Field { field, .. }) => field,
            other => panic!("{call}: {other:?}"),
        }
    }

    #[test]
    fn calls_are_read_as_sdks_write_them() {
        let timeouts = r#""responseTimeoutInSeconds":5,"connectTimeoutInSeconds":300"#;
        let body = format!(r#"{{"methodName":"reboot","payload":{{"a": 1.0}},{timeouts},"x":1}}"#);
        let call = MethodCall::parse(body.as_bytes()).unwrap();
        assert_eq!((&*call.name, &call.payload[..]), ("reboot", &br#"{"a": 1.0}"#[..]));
        assert_eq!((call.response_timeout, call.connect_timeout), (Duration::from_secs(5), Duration::from_secs(300)));
        let bare = MethodCall::parse(br#"{"methodName":"thermostat1*getMaxMinReport"}"#).unwrap();
        assert_eq!((bare.payload.len(), bare.response_timeout.as_secs(), bare.connect_timeout.as_secs()), (0, 30, 0));
        let null = MethodCall::parse(br#"{"methodName":"m","payload":null,"responseTimeoutInSeconds":null}"#).unwrap();
        assert_eq!(&null.payload[..], b"null");
        assert_eq!(MethodCall::new("reboot", Bytes::from_static(b"1")).unwrap().response_timeout.as_secs(), 30);
    }

    #[test]
    fn calls_that_cannot_be_are_refused() {
        for name in ["", "a b", "a/b", "$x", "é", "a\\u0000", "a=b", "a?b", "a#\\t"] {
            assert_eq!(field(&format!(r#"{{"methodName":"{name}"}}"#)), "methodName");
        }
        assert_eq!(field(&format!(r#"{{"methodName":"{}"}}"#, "m".repeat(1_026))), "methodName");
        assert_eq!(field(r#"{"methodName":"m","responseTimeoutInSeconds":4}"#), "responseTimeoutInSeconds");
        assert_eq!(field(r#"{"methodName":"m","connectTimeoutInSeconds":301}"#), "connectTimeoutInSeconds");
        for body in
            ["", "[]", "{}", r#"{"methodName":"m","payload":}"#, r#"{"methodName":"m","responseTimeoutInSeconds":-5}"#]
        {
            assert!(matches!(MethodCall::parse(body.as_bytes()), Err(MethodError::Format(_))), "{body}");
        }
    }

    #[test]
    fn payloads_have_their_limit_and_no_depth() {
        let call = |bytes: usize| format!(r#"{{"methodName":"m","payload":"{}"}}"#, "p".repeat(bytes - 2));
        assert!(MethodCall::parse(call(METHOD_PAYLOAD_BYTES_MAX).as_bytes()).is_ok());
        for bytes in [METHOD_PAYLOAD_BYTES_MAX + 1, 10 * METHOD_PAYLOAD_BYTES_MAX] {
            let refused = MethodCall::parse(call(bytes).as_bytes());
            assert!(matches!(refused, Err(MethodError::TooLarge { .. })));
        }
        let deep = ["[".repeat(60_000), "]".repeat(60_000)].concat();
        drop(MethodResult::new(200, deep.into_bytes().into()));
    }

    #[test]
    fn answers_are_passed_on_as_they_are() {
        let answer = |status, payload: &'static str| MethodResult::new(status, Bytes::from_static(payload.as_bytes()));
        assert_eq!(answer(200, r#"{"ok": true}"#).unwrap().to_json(), r#"{"status":200,"payload":{"ok": true}}"#);
        assert_eq!(answer(-1, " ").unwrap().to_json(), r#"{"status":-1,"payload":null}"#);
        assert_eq!(answer(200, "").unwrap().to_json(), r#"{"status":200,"payload":null}"#);
        assert_eq!(answer(200, "{}{}"), Err(MethodError::Answer));
        assert_eq!(answer(200, "not json"), Err(MethodError::Answer));
        let large = MethodResult::new(200, vec![b'1'; METHOD_PAYLOAD_BYTES_MAX + 1].into());
        assert_eq!(large, Err(MethodError::TooLarge { bytes_max: METHOD_PAYLOAD_BYTES_MAX }));
        assert_eq!(MethodResult::new(1, Bytes::from_static(b"\"\xff\"")), Err(MethodError::Answer));
    }
}
