//! PUBLISH: bytes <-> [`Publish`]. Does not check topic permission (`ingest` does) nor resolve aliases (the session does).
//! - Source: MQTT 5.0 section 3.3.
//! - Shape: fixed header (DUP, QoS, RETAIN) | topic (u16 length, utf-8) | packet id u16 if QoS > 0 | properties (v5) | payload
//! - Limits: user properties are counted; everything else is bounded by the packet.
//! - Hot path: [`decode`] runs for every message. It borrows, and must not allocate, copy or look at the payload.

use crate::codec::packet_type;
use crate::error::{PacketError, SessionError};
use crate::limits::Limits;
use crate::properties::{Properties, PublishProperties, id};
use crate::reader::Reader;
use crate::text;
use crate::version::{QoS, Version};
use crate::writer;

/// A message, borrowed from the input and, where an alias stands for its topic, from the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Where to; never empty, never with wildcards.
    pub topic: &'a str,
    /// The body.
    pub payload: &'a [u8],
    /// Whether an acknowledgement is expected.
    pub qos: QoS,
    /// To be given back in PUBACK; 0 for QoS 0.
    pub packet_id: u16,
    /// Whether the client says that it sent this before.
    pub dup: bool,
    /// Whether the client asked for it to be retained.
    pub retain: bool,
    /// What the client says about the payload; empty for 3.1.1.
    pub properties: PublishProperties<'a>,
}

/// The topic may be empty here, where an alias stands for it.
#[inline]
pub(crate) fn decode<'a>(
    version: Version,
    flags: u8,
    body: &'a [u8],
    limits: &Limits,
) -> Result<Publish<'a>, SessionError> {
    let mut reader = Reader::new(body);
    let topic = text::topic_name(reader.binary()?)?;
    let (qos, packet_id) = match flags >> 1 & 0x03 {
        0 => (QoS::AtMostOnce, 0),
        1 => (QoS::AtLeastOnce, reader.packet_id()?),
        level => return Err(quality_error(level)),
    };
    let (dup, retain) = (flags & 0x08 != 0, flags & 0x01 != 0);
    //= [MQTT-3.3.1-2]
    if dup && qos == QoS::AtMostOnce {
        return Err(PacketError::FixedHeaderFlags.into());
    }
    let mut properties = Properties::NONE;
    if version == Version::V5 {
        properties = Properties::take(&mut reader, id::IN_CLIENT_PUBLISH, limits.user_properties_max)?;
    }
    if topic.is_empty() && !properties.has(id::TOPIC_ALIAS) {
        return Err(PacketError::EmptyTopic.into());
    }
    let properties = PublishProperties::new(properties);
    Ok(Publish { topic, payload: reader.rest(), qos, packet_id, dup, retain, properties })
}

#[cold]
fn quality_error(level: u8) -> SessionError {
    //= [MQTT-3.3.1-4]
    //= [MQTT-3.2.2-11]
    if level == 3 { PacketError::QosThree.into() } else { SessionError::QosNotSupported }
}

/// What is published, by either end.
#[derive(Debug, Clone, Copy)]
pub struct PublishOptions<'a> {
    /// Version that was agreed on.
    pub version: Version,
    /// Where to.
    pub topic: &'a str,
    /// `None` publishes with QoS 0, anything else with QoS 1.
    pub packet_id: Option<u16>,
    /// Whether this was sent before.
    pub dup: bool,
    /// The body.
    pub payload: &'a [u8],
    /// Left out for 3.1.1.
    pub user_properties: &'a [(&'a str, &'a str)],
}

/// Writes nothing where the packet would be larger than `bytes_max`.
pub(crate) fn encode(options: &PublishOptions<'_>, bytes_max: u32, out: &mut Vec<u8>) {
    let quality = if options.packet_id.is_some() { 0x02 } else { 0 };
    let dup = if options.dup && options.packet_id.is_some() { 0x08 } else { 0 };
    writer::packet(out, packet_type::PUBLISH << 4 | quality | dup, bytes_max, |body| {
        body.string(options.topic);
        if let Some(packet_id) = options.packet_id {
            body.two_bytes(packet_id);
        }
        if options.version == Version::V5 {
            body.with_length(|properties| {
                for &(name, value) in options.user_properties {
                    properties.byte(id::USER_PROPERTY);
                    properties.string(name);
                    properties.string(value);
                }
            });
        }
        body.bytes(options.payload);
    });
}
