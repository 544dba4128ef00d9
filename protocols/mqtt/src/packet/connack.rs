//! CONNACK: the answer to CONNECT.
//! - Source: MQTT 5.0 section 3.2; MQTT 3.1.1 section 3.2.
//! - Shape: fixed header | session present (bit 0) | reason or return code | properties (v5)

use crate::codec::packet_type;
use crate::error::PacketError;
use crate::limits::Limits;
use crate::properties::{Properties, id};
use crate::reader::Reader;
use crate::reason::Refusal;
use crate::version::Version;
use crate::writer;

/// What the server decided about a connection it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accept<'a> {
    /// Whether state of an earlier connection goes on. Must be false where the client asked for a clean start.
    pub session_present: bool,
    /// The client id given to a v5 client that sent none.
    pub assigned_client_id: Option<&'a str>,
    /// The keep-alive that counts; a v5 client hears of it where it is not the one it asked for.
    pub keep_alive_seconds: u16,
}

/// What the session knows of the client beyond [`Accept`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    pub(crate) keep_alive_seconds: u16,
    pub(crate) session_expiry_seconds: u32,
    pub(crate) packet_bytes_max: u32,
}

pub(crate) fn encode_accept(version: Version, accept: &Accept<'_>, client: Client, limits: &Limits, out: &mut Vec<u8>) {
    writer::packet(out, packet_type::CONNACK << 4, client.packet_bytes_max, |body| {
        //= [MQTT-3.2.2-1]
        body.byte(u8::from(accept.session_present));
        body.byte(0);
        if version == Version::V5 {
            body.with_length(|properties| write_properties(accept, client, limits, properties));
        }
    });
}

fn write_properties(accept: &Accept<'_>, client: Client, limits: &Limits, out: &mut writer::Writer<'_>) {
    if client.session_expiry_seconds > limits.session_expiry_seconds_max {
        out.byte(id::SESSION_EXPIRY_INTERVAL);
        out.four_bytes(limits.session_expiry_seconds_max);
    }
    out.byte(id::RECEIVE_MAXIMUM);
    out.two_bytes(limits.receive_maximum.max(1));
    //= [MQTT-3.2.2-9]
    out.byte(id::MAXIMUM_QOS);
    out.byte(1);
    if !limits.retain_available {
        out.byte(id::RETAIN_AVAILABLE);
        out.byte(0);
    }
    out.byte(id::MAXIMUM_PACKET_SIZE);
    out.four_bytes(limits.packet_bytes_max.max(1));
    //= [MQTT-3.2.2-16]
    if let Some(client_id) = accept.assigned_client_id {
        out.byte(id::ASSIGNED_CLIENT_IDENTIFIER);
        out.string(client_id);
    }
    if limits.topic_alias_maximum > 0 {
        out.byte(id::TOPIC_ALIAS_MAXIMUM);
        out.two_bytes(limits.topic_alias_maximum);
    }
    for unavailable in
        [id::WILDCARD_SUBSCRIPTION_AVAILABLE, id::SUBSCRIPTION_IDENTIFIER_AVAILABLE, id::SHARED_SUBSCRIPTION_AVAILABLE]
    {
        out.byte(unavailable);
        out.byte(0);
    }
    //= [MQTT-3.1.2-21]
    if accept.keep_alive_seconds != client.keep_alive_seconds {
        out.byte(id::SERVER_KEEP_ALIVE);
        out.two_bytes(accept.keep_alive_seconds);
    }
}

/// Writes a refusal; nothing where the version has no word for it.
pub(crate) fn encode_refusal(version: Version, refusal: Refusal, bytes_max: u32, out: &mut Vec<u8>) {
    let code = match version {
        Version::V311 => refusal.return_code(),
        Version::V5 => Some(refusal.code()),
    };
    let Some(code) = code else {
        return;
    };
    writer::packet(out, packet_type::CONNACK << 4, bytes_max, |body| {
        //= [MQTT-3.2.2-6]
        body.byte(0);
        body.byte(code);
        if version == Version::V5 {
            body.byte(0);
        }
    });
}

/// Returns code and session present.
pub(crate) fn decode(version: Version, flags: u8, body: &[u8], limits: &Limits) -> Result<(u8, bool), PacketError> {
    if flags != 0 {
        return Err(PacketError::FixedHeaderFlags);
    }
    let mut reader = Reader::new(body);
    let session_present = match reader.byte()? {
        0 => false,
        1 => true,
        _ => return Err(PacketError::ConnectFlags),
    };
    let code = reader.byte()?;
    // A server that does not speak version 5 answers in the older form.
    if version == Version::V5 && !(reader.is_empty() && code != 0) {
        Properties::take(&mut reader, id::IN_CONNACK, limits.user_properties_max)?;
    }
    reader.finish()?;
    Ok((code, session_present))
}
