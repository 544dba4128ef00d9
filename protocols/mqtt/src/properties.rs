//! Properties of MQTT 5: checked once when their packet is read, looked at again only when somebody asks.
//! - Source: MQTT 5.0 section 2.2.2.
//! - Shape: length (variable byte integer) | (identifier, value)*; the type of a value follows from its identifier.
//! - Invariants: a [`PublishProperties`] or [`UserProperties`] holds bytes that passed `check`, so reading them cannot fail.
//! - Limits: user properties are counted against a maximum; one pass, linear in the bytes.

mod bag;
pub(crate) mod id;

use crate::error::PacketError;
use crate::reader::Reader;
use crate::text;

pub use bag::RESPONSE_TOPIC_NAME;

/// The value of one property, by its type on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Byte(u8),
    TwoBytes(u16),
    FourBytes(u32),
    Variable(u32),
    Text(&'a str),
    Binary(&'a [u8]),
    Pair(&'a str, &'a str),
}

/// The bytes of a packet's properties, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Properties<'a> {
    bytes: &'a [u8],
    /// Which identifiers occur, so that asking for an absent one costs nothing.
    seen: u64,
}

impl<'a> Properties<'a> {
    pub(crate) const NONE: Properties<'static> = Properties { bytes: &[], seen: 0 };

    /// Takes the properties off the front of `reader` and checks them: only what `allowed` names, each once.
    #[inline]
    pub(crate) fn take(reader: &mut Reader<'a>, allowed: u64, user_properties_max: usize) -> Result<Self, PacketError> {
        let count = reader.variable_integer()?;
        let bytes = reader.bytes(usize::try_from(count).map_err(|_| PacketError::Truncated)?)?;
        let seen = if bytes.is_empty() { 0 } else { check(bytes, allowed, user_properties_max)? };
        Ok(Self { bytes, seen })
    }

    #[inline]
    pub(crate) const fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// All of them, in the order of sending.
    pub(crate) fn iter(self) -> impl Iterator<Item = (u8, Value<'a>)> {
        let mut reader = Reader::new(self.bytes);
        std::iter::from_fn(move || if reader.is_empty() { None } else { property(&mut reader).ok() })
    }

    #[inline]
    pub(crate) const fn has(self, wanted: u8) -> bool {
        self.seen & id::bit(wanted) != 0
    }

    #[inline]
    fn find(self, wanted: u8) -> Option<Value<'a>> {
        if self.has(wanted) { self.search(wanted) } else { None }
    }

    fn search(self, wanted: u8) -> Option<Value<'a>> {
        self.iter().find(|&(id, _)| id == wanted).map(|(_, value)| value)
    }

    pub(crate) fn byte(self, id: u8) -> Option<u8> {
        if let Some(Value::Byte(value)) = self.find(id) { Some(value) } else { None }
    }

    #[inline]
    pub(crate) fn two_bytes(self, id: u8) -> Option<u16> {
        if let Some(Value::TwoBytes(value)) = self.find(id) { Some(value) } else { None }
    }

    pub(crate) fn four_bytes(self, id: u8) -> Option<u32> {
        if let Some(Value::FourBytes(value)) = self.find(id) { Some(value) } else { None }
    }

    pub(crate) fn text(self, id: u8) -> Option<&'a str> {
        if let Some(Value::Text(value)) = self.find(id) { Some(value) } else { None }
    }

    pub(crate) fn binary(self, id: u8) -> Option<&'a [u8]> {
        if let Some(Value::Binary(value)) = self.find(id) { Some(value) } else { None }
    }
}

/// Returns the set of identifiers that occur.
fn check(bytes: &[u8], allowed: u64, user_properties_max: usize) -> Result<u64, PacketError> {
    let mut reader = Reader::new(bytes);
    let mut seen = 0_u64;
    let mut user_properties = 0_usize;
    while !reader.is_empty() {
        let (id, value) = property(&mut reader)?;
        let bit = id::bit(id);
        if allowed & bit == 0 {
            return Err(PacketError::PropertyMisplaced(id));
        }
        if id == id::USER_PROPERTY {
            user_properties = user_properties.saturating_add(1);
            if user_properties > user_properties_max {
                return Err(PacketError::TooManyUserProperties);
            }
        } else if seen & bit != 0 {
            return Err(PacketError::PropertyRepeated(id));
        }
        seen |= bit;
        check_value(id, value)?;
    }
    if seen & id::bit(id::AUTHENTICATION_DATA) != 0 && seen & id::bit(id::AUTHENTICATION_METHOD) == 0 {
        return Err(PacketError::AuthenticationData);
    }
    Ok(seen)
}

fn check_value(id: u8, value: Value<'_>) -> Result<(), PacketError> {
    let is_allowed = match (id, value) {
        (id::RECEIVE_MAXIMUM, Value::TwoBytes(value)) => value != 0,
        (id::MAXIMUM_PACKET_SIZE, Value::FourBytes(value)) => value != 0,
        (id::SUBSCRIPTION_IDENTIFIER, Value::Variable(value)) => value != 0,
        //= [MQTT-3.3.2-14]
        (id::RESPONSE_TOPIC, Value::Text(topic)) => text::is_topic_name(topic),
        (_, Value::Byte(value)) => value <= 1,
        _ => true,
    };
    if is_allowed { Ok(()) } else { Err(PacketError::PropertyValue(id)) }
}

/// Takes one property.
fn property<'a>(reader: &mut Reader<'a>) -> Result<(u8, Value<'a>), PacketError> {
    let id = reader.variable_integer()?;
    let id = u8::try_from(id).map_err(|_| PacketError::PropertyUnknown(id))?;
    let value = match id {
        id::PAYLOAD_FORMAT_INDICATOR
        | id::REQUEST_PROBLEM_INFORMATION
        | id::REQUEST_RESPONSE_INFORMATION
        | id::MAXIMUM_QOS
        | id::RETAIN_AVAILABLE
        | id::WILDCARD_SUBSCRIPTION_AVAILABLE
        | id::SUBSCRIPTION_IDENTIFIER_AVAILABLE
        | id::SHARED_SUBSCRIPTION_AVAILABLE => Value::Byte(reader.byte()?),
        id::SERVER_KEEP_ALIVE | id::RECEIVE_MAXIMUM | id::TOPIC_ALIAS_MAXIMUM | id::TOPIC_ALIAS => {
            Value::TwoBytes(reader.two_bytes()?)
        }
        id::MESSAGE_EXPIRY_INTERVAL
        | id::SESSION_EXPIRY_INTERVAL
        | id::WILL_DELAY_INTERVAL
        | id::MAXIMUM_PACKET_SIZE => Value::FourBytes(reader.four_bytes()?),
        id::SUBSCRIPTION_IDENTIFIER => Value::Variable(reader.variable_integer()?),
        id::CONTENT_TYPE
        | id::RESPONSE_TOPIC
        | id::ASSIGNED_CLIENT_IDENTIFIER
        | id::AUTHENTICATION_METHOD
        | id::RESPONSE_INFORMATION
        | id::SERVER_REFERENCE
        | id::REASON_STRING => Value::Text(reader.string()?),
        id::CORRELATION_DATA | id::AUTHENTICATION_DATA => Value::Binary(reader.binary()?),
        id::USER_PROPERTY => Value::Pair(reader.string()?, reader.string()?),
        unknown => return Err(PacketError::PropertyUnknown(u32::from(unknown))),
    };
    Ok((id, value))
}

/// The user properties of a packet, in the order of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UserProperties<'a> {
    properties: Properties<'a>,
}

impl<'a> UserProperties<'a> {
    pub(crate) const fn new(properties: Properties<'a>) -> Self {
        Self { properties }
    }

    /// Names and values. A name may stand more than once.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.properties
            .iter()
            .filter_map(|(_, value)| if let Value::Pair(name, value) = value { Some((name, value)) } else { None })
    }
}

/// What a PUBLISH says about its payload. Always empty for 3.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublishProperties<'a> {
    properties: Properties<'a>,
}

impl<'a> PublishProperties<'a> {
    #[inline]
    pub(crate) const fn new(properties: Properties<'a>) -> Self {
        Self { properties }
    }

    /// Whether the sender said nothing.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.properties.is_empty()
    }

    #[inline]
    pub(crate) fn topic_alias(&self) -> Option<u16> {
        self.properties.two_bytes(id::TOPIC_ALIAS)
    }

    /// How long the message is worth delivering.
    #[must_use]
    pub fn message_expiry_seconds(&self) -> Option<u32> {
        self.properties.four_bytes(id::MESSAGE_EXPIRY_INTERVAL)
    }

    /// Media type of the payload.
    #[must_use]
    pub fn content_type(&self) -> Option<&'a str> {
        self.properties.text(id::CONTENT_TYPE)
    }

    /// Where an answer is expected.
    #[must_use]
    pub fn response_topic(&self) -> Option<&'a str> {
        self.properties.text(id::RESPONSE_TOPIC)
    }

    /// What an answer is to carry back.
    #[must_use]
    pub fn correlation_data(&self) -> Option<&'a [u8]> {
        self.properties.binary(id::CORRELATION_DATA)
    }

    /// Whether the sender declares the payload to be UTF-8. Nobody has checked.
    #[must_use]
    pub fn is_utf8(&self) -> bool {
        self.properties.byte(id::PAYLOAD_FORMAT_INDICATOR) == Some(1)
    }

    /// The user properties, in the order of sending.
    #[must_use]
    pub const fn user_properties(&self) -> UserProperties<'a> {
        UserProperties::new(self.properties)
    }

    /// Appends all of them but the expiry to a property bag.
    ///
    /// Content type becomes `$.ct`, correlation data `$.cid` (base64 where it is not UTF-8), payload format 1 `$.ce=utf-8`,
    /// the response topic [`RESPONSE_TOPIC_NAME`]. User properties follow as they are, last, so that one named `$.ct` wins.
    /// Percent-encoding can make the bag three times as long as the properties.
    pub fn write_bag(&self, out: &mut Vec<u8>) {
        if !self.is_empty() {
            bag::write(self.properties, out);
        }
    }
}
