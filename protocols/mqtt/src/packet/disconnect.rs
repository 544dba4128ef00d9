//! DISCONNECT, from either side.
//! - Source: MQTT 5.0 section 3.14.
//! - Shape: fixed header | reason code | properties; both absent for a normal end, always absent in 3.1.1.

use crate::codec::packet_type;
use crate::error::PacketError;
use crate::limits::Limits;
use crate::properties::{Properties, id};
use crate::reader::Reader;
use crate::reason::ReasonCode;
use crate::version::Version;
use crate::writer;

/// Which side sent it; the properties differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Server,
}

/// What DISCONNECT says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disconnect {
    pub(crate) reason: u8,
    pub(crate) session_expiry_seconds: Option<u32>,
}

pub(crate) fn decode(
    version: Version,
    sender: Sender,
    flags: u8,
    body: &[u8],
    limits: &Limits,
) -> Result<Disconnect, PacketError> {
    //= [MQTT-3.14.1-1]
    if flags != 0 {
        return Err(PacketError::FixedHeaderFlags);
    }
    let mut reader = Reader::new(body);
    if version == Version::V311 || reader.is_empty() {
        reader.finish()?;
        return Ok(Disconnect { reason: ReasonCode::Success.code(), session_expiry_seconds: None });
    }
    let reason = reader.byte()?;
    //= [MQTT-3.14.2-1]
    if !is_allowed(sender, reason) {
        return Err(PacketError::ReasonCode(reason));
    }
    let mut session_expiry_seconds = None;
    if !reader.is_empty() {
        //= [MQTT-3.14.2-2]
        let allowed = match sender {
            Sender::Client => id::IN_CLIENT_DISCONNECT,
            Sender::Server => id::IN_SERVER_DISCONNECT,
        };
        let properties = Properties::take(&mut reader, allowed, limits.user_properties_max)?;
        session_expiry_seconds = properties.four_bytes(id::SESSION_EXPIRY_INTERVAL);
    }
    reader.finish()?;
    Ok(Disconnect { reason, session_expiry_seconds })
}

const fn is_allowed(sender: Sender, reason: u8) -> bool {
    match sender {
        Sender::Client => matches!(reason, 0x00 | 0x04 | 0x80..=0x83 | 0x90 | 0x93..=0x99),
        Sender::Server => {
            matches!(reason, 0x00 | 0x80..=0x83 | 0x87 | 0x89 | 0x8B | 0x8D..=0x90 | 0x93..=0xA2)
        }
    }
}

/// Writes DISCONNECT with a reason; 3.1.1 has none, so there it is the bare packet of a client.
pub(crate) fn encode(version: Version, reason: u8, bytes_max: u32, out: &mut Vec<u8>) {
    writer::packet(out, packet_type::DISCONNECT << 4, bytes_max, |body| {
        if version == Version::V5 && reason != ReasonCode::Success.code() {
            body.byte(reason);
        }
    });
}
