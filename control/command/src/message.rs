//! A cloud-to-device message: what the service sends, checked once, and kept whole.
//! - Source: Azure IoT Hub, format of cloud-to-device messages.
//! - Invariants: a [`Message`] has an id, fits into its limits, and can be written as an MQTT topic and as HTTP headers.
//! - Limits: body and properties together have at most [`MESSAGE_BYTES_MAX`].
//! - Not here: where it stands in its queue and when it really expires (`queue`).

use std::collections::HashMap;

use bytes::Bytes;
use millrace_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::CommandError;
use crate::limits::{BAG_BYTES_MAX, CONTENT_BYTES_MAX, ID_CHARACTERS_MAX, MESSAGE_BYTES_MAX, PROPERTIES_MAX};
use crate::time;

mod document;
mod headers;

/// Name of the property that asks for feedback.
pub const ACK_PROPERTY: &str = "iothub-ack";

/// On what the sender wants feedback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// Nothing.
    #[default]
    None,
    /// That the device has taken it.
    Positive,
    /// That the device will never take it.
    Negative,
    /// Both.
    Full,
}

/// A message as it comes from the service, unchecked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Draft {
    /// Names it in feedback. Without one it is given one.
    pub message_id: Option<String>,
    /// What it answers.
    pub correlation_id: Option<String>,
    /// Who sends it.
    pub user_id: Option<String>,
    /// Media type of the body.
    pub content_type: Option<String>,
    /// Its character set or compression.
    pub content_encoding: Option<String>,
    /// When it is too late for it.
    pub expiry: Option<Timestamp>,
    /// On what feedback is wanted. An application property `iothub-ack` says the same and counts for more.
    pub ack: Ack,
    /// Application properties. Of equal names the last counts.
    pub properties: Vec<(String, String)>,
    /// Body.
    pub body: Bytes,
}

/// A message for a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    #[serde(rename = "id")]
    message_id: Box<str>,
    #[serde(rename = "correlation", default, skip_serializing_if = "Option::is_none")]
    correlation_id: Option<Box<str>>,
    #[serde(rename = "user", default, skip_serializing_if = "Option::is_none")]
    user_id: Option<Box<str>>,
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    content_type: Option<Box<str>>,
    #[serde(rename = "encoding", default, skip_serializing_if = "Option::is_none")]
    content_encoding: Option<Box<str>>,
    #[serde(rename = "expiry", default, skip_serializing_if = "Option::is_none")]
    expiry_ms: Option<i64>,
    ack: Ack,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    properties: Vec<(Box<str>, Box<str>)>,
    #[serde(skip)]
    body: Bytes,
}

impl Ack {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Full => "full",
        }
    }

    /// Whether the sender wants to hear of a success (`true`) or of a failure (`false`).
    #[must_use]
    pub const fn asks_for(self, is_success: bool) -> bool {
        match self {
            Self::None => false,
            Self::Positive => is_success,
            Self::Negative => !is_success,
            Self::Full => true,
        }
    }
}

impl std::str::FromStr for Ack {
    type Err = CommandError;

    fn from_str(text: &str) -> Result<Self, CommandError> {
        let all = [Self::None, Self::Positive, Self::Negative, Self::Full];
        let found = all.into_iter().find(|ack| text.eq_ignore_ascii_case(ack.as_str()));
        found.ok_or(CommandError::Field { field: ACK_PROPERTY, problem: "is none, positive, negative or full" })
    }
}

/// Reads the expiry of a message: RFC 3339, in UTC where it names no offset.
///
/// # Errors
/// When the text is no time.
pub fn expiry_from_text(text: &str) -> Result<Timestamp, CommandError> {
    time::from_text(text).ok_or(CommandError::Field { field: "the expiry", problem: "is not an ISO 8601 time" })
}

impl Message {
    /// Checks a message; `salt` makes the id of one that has none, so it must be random.
    ///
    /// # Errors
    /// When a field cannot be what it is, or all of them are too large.
    pub fn new(draft: Draft, salt: u128) -> Result<Self, CommandError> {
        let mut ack = draft.ack;
        let mut properties = last_of_each(draft.properties);
        if let Some(at) = properties.iter().position(|(name, _)| name.eq_ignore_ascii_case(ACK_PROPERTY)) {
            ack = properties.remove(at).1.parse()?;
        }
        let message = Self {
            message_id: non_empty(draft.message_id).unwrap_or_else(|| uuid(salt).into()),
            correlation_id: non_empty(draft.correlation_id),
            user_id: non_empty(draft.user_id),
            content_type: non_empty(draft.content_type),
            content_encoding: non_empty(draft.content_encoding),
            expiry_ms: draft.expiry.map(|expiry| expiry.0),
            ack,
            properties,
            body: draft.body,
        };
        message.check()?;
        Ok(message)
    }

    /// Names it in feedback.
    #[must_use]
    pub fn message_id(&self) -> &str {
        &self.message_id
    }

    /// What it answers.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.correlation_id.as_deref()
    }

    /// On what feedback is wanted.
    #[must_use]
    pub const fn ack(&self) -> Ack {
        self.ack
    }

    /// When its sender wants it to expire.
    #[must_use]
    pub fn expiry(&self) -> Option<Timestamp> {
        self.expiry_ms.map(Timestamp)
    }

    /// Application properties.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Body.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Size as it is metered: body, system values, names and values of application properties.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let system = self.system_texts().into_iter().map(|(_, text)| text.map_or(0, str::len)).sum::<usize>();
        let free = self.properties.iter().map(|(name, value)| name.len().saturating_add(value.len())).sum::<usize>();
        self.body.len().saturating_add(system).saturating_add(free)
    }

    /// The system properties that are text, by what errors call them.
    fn system_texts(&self) -> [(&'static str, Option<&str>); 5] {
        [
            ("the message id", Some(&self.message_id)),
            ("the correlation id", self.correlation_id.as_deref()),
            ("the user id", self.user_id.as_deref()),
            ("the content type", self.content_type.as_deref()),
            ("the content encoding", self.content_encoding.as_deref()),
        ]
    }

    fn check(&self) -> Result<(), CommandError> {
        let [ids @ .., content_type, content_encoding] = self.system_texts();
        for (field, text) in ids {
            if text.is_some_and(|text| text.chars().count() > ID_CHARACTERS_MAX) {
                return Err(CommandError::Field { field, problem: "has more than 128 characters" });
            }
        }
        for (field, text) in [content_type, content_encoding] {
            if text.is_some_and(|text| text.len() > CONTENT_BYTES_MAX) {
                return Err(CommandError::Field { field, problem: "has more than 256 bytes" });
            }
        }
        for (field, text) in self.system_texts() {
            if text.is_some_and(|text| text.chars().any(char::is_control)) {
                return Err(CommandError::Field { field, problem: "holds a control character" });
            }
        }
        self.check_properties()?;
        if self.bytes() > MESSAGE_BYTES_MAX {
            return Err(CommandError::TooLarge { bytes_max: MESSAGE_BYTES_MAX });
        }
        if self.mqtt_bag("").len() > BAG_BYTES_MAX {
            return Err(CommandError::Field { field: "properties", problem: "are too long for a topic" });
        }
        Ok(())
    }

    fn check_properties(&self) -> Result<(), CommandError> {
        let wrong = |problem| Err(CommandError::Field { field: "a property", problem });
        if self.properties.len() > PROPERTIES_MAX {
            return Err(CommandError::Field { field: "properties", problem: "are more than 512" });
        }
        for (name, value) in self.properties() {
            if name.is_empty() {
                return wrong("has no name");
            }
            if name.starts_with("$.") {
                return wrong("has the name of a system property");
            }
            if name.chars().chain(value.chars()).any(char::is_control) {
                return wrong("holds a control character");
            }
        }
        Ok(())
    }
}

/// Each name once, in the order of first appearance, with its last value.
fn last_of_each(properties: Vec<(String, String)>) -> Vec<(Box<str>, Box<str>)> {
    let mut places = HashMap::with_capacity(properties.len());
    let mut kept: Vec<(Box<str>, Box<str>)> = Vec::with_capacity(properties.len());
    for (name, value) in properties {
        match places.get(&name).and_then(|&place: &usize| kept.get_mut(place)) {
            Some(known) => known.1 = value.into(),
            None => {
                places.insert(name.clone(), kept.len());
                kept.push((name.into(), value.into()));
            }
        }
    }
    kept
}

fn non_empty(text: Option<String>) -> Option<Box<str>> {
    text.filter(|text| !text.is_empty()).map(Into::into)
}

/// A random (version 4) UUID made of `salt`.
fn uuid(salt: u128) -> String {
    let bits = salt & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let group = |shift: u32, digits: u32| (bits >> shift) & ((1 << (digits * 4)) - 1);
    let (first, second, third) = (group(96, 8), group(80, 4), group(64, 4));
    format!("{first:08x}-{second:04x}-{third:04x}-{:04x}-{:012x}", group(48, 4), group(0, 12))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut Draft)) -> Result<Message, CommandError> {
        let mut draft = Draft::default();
        change(&mut draft);
        Message::new(draft, 7)
    }

    fn property(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn a_message_without_id_is_given_one() {
        assert_eq!(with(|_| {}).unwrap().message_id(), "00000000-0000-4000-8000-000000000007");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(with(|draft| draft.message_id = Some("m".into())).unwrap().message_id(), "m");
    }

    #[test]
    fn the_property_asks_for_feedback_too() {
        let message = with(|draft| draft.properties = property("iothub-ack", "Full")).unwrap();
        assert_eq!((message.ack(), message.properties().count()), (Ack::Full, 0));
        assert!(with(|draft| draft.properties = property("iothub-ack", "maybe")).is_err());
        let asked =
            [Ack::None, Ack::Positive, Ack::Negative, Ack::Full].map(|ack| (ack.asks_for(true), ack.asks_for(false)));
        assert_eq!(asked, [(false, false), (true, false), (false, true), (true, true)]);
    }

    #[test]
    fn limits_hold_to_the_byte() {
        let id = 36;
        let fits = with(|draft| draft.body = vec![0; MESSAGE_BYTES_MAX - id].into()).unwrap();
        assert_eq!(fits.bytes(), MESSAGE_BYTES_MAX);
        let too_large = with(|draft| draft.body = vec![0; MESSAGE_BYTES_MAX - id + 1].into());
        assert_eq!(too_large, Err(CommandError::TooLarge { bytes_max: MESSAGE_BYTES_MAX }));
        assert!(with(|draft| draft.message_id = Some("é".repeat(128))).is_ok());
        assert!(with(|draft| draft.correlation_id = Some("c".repeat(129))).is_err());
        assert!(with(|draft| draft.content_type = Some("c".repeat(257))).is_err());
        let many = |count: usize| (0..count).map(|number| (number.to_string(), String::new())).collect();
        assert!(with(|draft| draft.properties = many(PROPERTIES_MAX)).is_ok());
        assert!(with(|draft| draft.properties = many(PROPERTIES_MAX + 1)).is_err());
    }

    #[test]
    fn names_that_would_mislead_are_refused() {
        for name in ["", "$.mid", "a\nb", "a\0"] {
            assert!(with(|draft| draft.properties = property(name, "v")).is_err(), "{name:?}");
        }
        assert!(with(|draft| draft.properties = property("a", "\r\n")).is_err());
        assert!(with(|draft| draft.user_id = Some("\u{85}".into())).is_err());
    }

    #[test]
    fn properties_fit_into_a_topic() {
        let long = |bytes| with(|draft| draft.properties = property("p", &"=".repeat(bytes)));
        assert!(long(21_500).is_ok());
        assert!(long(21_700).is_err(), "three bytes each, once encoded");
    }

    #[test]
    fn of_equal_names_the_last_counts() {
        let twice = [property("a", "1"), property("b", "2"), property("a", "3")].concat();
        let message = with(|draft| draft.properties = twice).unwrap();
        assert_eq!(message.properties().collect::<Vec<_>>(), [("a", "3"), ("b", "2")]);
    }
}
