//! PINGREQ and PINGRESP: two bytes each.
//! - Source: MQTT 5.0 sections 3.12 and 3.13.

use crate::error::PacketError;

pub(crate) const REQUEST: [u8; 2] = [0xc0, 0];
pub(crate) const RESPONSE: [u8; 2] = [0xd0, 0];

/// Fails when a PINGREQ or PINGRESP carries anything.
pub(crate) fn check(flags: u8, body: &[u8]) -> Result<(), PacketError> {
    if flags != 0 {
        return Err(PacketError::FixedHeaderFlags);
    }
    if body.is_empty() { Ok(()) } else { Err(PacketError::TrailingBytes) }
}
