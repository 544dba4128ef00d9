//! PUBACK: the answer to a PUBLISH of QoS 1.
//! - Source: MQTT 5.0 section 3.4.
//! - Shape: fixed header | packet id u16 | reason code | properties; the last two absent for success, always absent in 3.1.1.
//! - Hot path: [`encode`] runs for every message: one append of four bytes.

use crate::codec::packet_type;
use crate::error::PacketError;
use crate::limits::Limits;
use crate::properties::{Properties, id};
use crate::reader::Reader;
use crate::reason::ReasonCode;
use crate::version::Version;

const FIRST: u8 = packet_type::PUBACK << 4;

/// Returns packet id and reason code.
pub(crate) fn decode(version: Version, flags: u8, body: &[u8], limits: &Limits) -> Result<(u16, u8), PacketError> {
    //= [MQTT-2.1.3-1]
    if flags != 0 {
        return Err(PacketError::FixedHeaderFlags);
    }
    let mut reader = Reader::new(body);
    let packet_id = reader.packet_id()?;
    let mut reason = ReasonCode::Success.code();
    if version == Version::V5 && !reader.is_empty() {
        reason = reader.byte()?;
        //= [MQTT-3.4.2-1]
        if !matches!(reason, 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99) {
            return Err(PacketError::ReasonCode(reason));
        }
        if !reader.is_empty() {
            Properties::take(&mut reader, id::IN_PUBACK, limits.user_properties_max)?;
        }
    }
    reader.finish()?;
    Ok((packet_id, reason))
}

/// Writes the answer that says yes; it is the same in both versions.
#[inline]
pub(crate) fn encode_success(packet_id: u16, out: &mut Vec<u8>) {
    let [high, low] = packet_id.to_be_bytes();
    out.extend_from_slice(&[FIRST, 2, high, low]);
}

/// Writes an MQTT 5 answer with a reason.
pub(crate) fn encode_reason(packet_id: u16, reason: u8, out: &mut Vec<u8>) {
    let [high, low] = packet_id.to_be_bytes();
    out.extend_from_slice(&[FIRST, 3, high, low, reason]);
}
