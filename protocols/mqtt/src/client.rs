//! The other end: what a publisher sends, and what it hears. For load generators and tests.
//! - Invariants: a packet that the protocol cannot express (a topic of over 65,535 bytes) is not written at all.
//! - Not here: state. Packet ids, windows and timers are the caller's.

use crate::codec::{self, packet_type};
use crate::error::PacketError;
use crate::limits::Limits;
use crate::packet::disconnect::{self, Sender};
use crate::packet::{connack, connect, ping, puback, publish, subscribe};
use crate::properties::{Properties, id};
use crate::reader::Reader;
use crate::reason::ReasonCode;
use crate::text;
use crate::version::Version;

pub use crate::packet::connect::ConnectOptions;
pub use crate::packet::publish::PublishOptions;

/// Writes CONNECT.
pub fn encode_connect(options: &ConnectOptions<'_>, out: &mut Vec<u8>) {
    connect::encode(options, out);
}

/// Writes PUBLISH.
pub fn encode_publish(options: &PublishOptions<'_>, out: &mut Vec<u8>) {
    publish::encode(options, u32::MAX, out);
}

/// Writes the PUBACK for a PUBLISH of the server.
pub fn encode_puback(packet_id: u16, out: &mut Vec<u8>) {
    puback::encode_success(packet_id, out);
}

/// Writes PINGREQ.
pub fn encode_ping_request(out: &mut Vec<u8>) {
    out.extend_from_slice(&ping::REQUEST);
}

/// Writes DISCONNECT with reason 0.
pub fn encode_disconnect(version: Version, out: &mut Vec<u8>) {
    disconnect::encode(version, ReasonCode::Success.code(), u32::MAX, out);
}

/// Writes SUBSCRIBE with filters and the QoS wished for each.
pub fn encode_subscribe(version: Version, packet_id: u16, filters: &[(&str, u8)], out: &mut Vec<u8>) {
    subscribe::encode(version, packet_id, filters, out);
}

/// What a server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerPacket<'a> {
    /// Answer to CONNECT.
    ConnAck {
        /// 0 is yes.
        code: u8,
        /// Whether state of an earlier connection goes on.
        session_present: bool,
    },
    /// A message.
    Publish {
        /// Where it was published; empty where the server uses an alias.
        topic: &'a str,
        /// Its body.
        payload: &'a [u8],
        /// 0, 1 or 2.
        qos: u8,
        /// 0 for QoS 0.
        packet_id: u16,
        /// Whether the server says that it sent this before.
        dup: bool,
    },
    /// Answer to PUBLISH of QoS 1.
    PubAck {
        /// Of which message.
        packet_id: u16,
        /// Below 0x80 is yes.
        reason: u8,
    },
    /// Answer to SUBSCRIBE.
    SubAck {
        /// Of which SUBSCRIBE.
        packet_id: u16,
    },
    /// Answer to PINGREQ.
    PingResponse,
    /// The server ends the connection.
    Disconnect {
        /// Why.
        reason: u8,
    },
    /// Anything else, whole.
    Other {
        /// 0 to 15.
        packet_type: u8,
    },
}

/// Takes the next whole packet of a server off the front of `input`. `None`: it needs more bytes; `input` is untouched then.
///
/// # Errors
/// Bytes that are no packet of this version, or one of more than `bytes_max`.
#[inline]
pub fn next_server_packet<'i>(
    version: Version,
    bytes_max: u32,
    input: &mut &'i [u8],
) -> Result<Option<ServerPacket<'i>>, PacketError> {
    let Some((frame, rest)) = codec::split(input, bytes_max)? else {
        return Ok(None);
    };
    *input = rest;
    let (flags, body) = (frame.flags(), frame.body);
    let limits = Limits::default();
    let packet = match frame.packet_type() {
        packet_type::PUBACK => {
            let (packet_id, reason) = puback::decode(version, flags, body, &limits)?;
            ServerPacket::PubAck { packet_id, reason }
        }
        packet_type::CONNACK => {
            let (code, session_present) = connack::decode(version, flags, body, &limits)?;
            ServerPacket::ConnAck { code, session_present }
        }
        packet_type::PUBLISH => decode_publish(version, flags, body, &limits)?,
        packet_type::SUBACK => ServerPacket::SubAck { packet_id: Reader::new(body).packet_id()? },
        packet_type::PINGRESP => {
            ping::check(flags, body)?;
            ServerPacket::PingResponse
        }
        packet_type::DISCONNECT => {
            let said = disconnect::decode(version, Sender::Server, flags, body, &limits)?;
            ServerPacket::Disconnect { reason: said.reason }
        }
        other => ServerPacket::Other { packet_type: other },
    };
    Ok(Some(packet))
}

fn decode_publish<'i>(
    version: Version,
    flags: u8,
    body: &'i [u8],
    limits: &Limits,
) -> Result<ServerPacket<'i>, PacketError> {
    let mut reader = Reader::new(body);
    let topic = text::topic_name(reader.binary()?)?;
    let qos = flags >> 1 & 0x03;
    let packet_id = match qos {
        0 => 0,
        3 => return Err(PacketError::QosThree),
        _ => reader.packet_id()?,
    };
    if version == Version::V5 {
        Properties::take(&mut reader, id::IN_SERVER_PUBLISH, limits.user_properties_max)?;
    }
    Ok(ServerPacket::Publish { topic, payload: reader.rest(), qos, packet_id, dup: flags & 0x08 != 0 })
}
