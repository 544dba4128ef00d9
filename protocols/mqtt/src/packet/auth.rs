//! MQTT 5 AUTH: checked, then refused, because no authentication method is offered.
//! - Source: MQTT 5.0 section 3.15.
//! - Shape: fixed header | reason code | properties; both absent for success.

use crate::error::PacketError;
use crate::limits::Limits;
use crate::properties::{Properties, id};
use crate::reader::Reader;
use crate::reason::ReasonCode;

/// Fails when the packet is not well formed.
pub(crate) fn check(flags: u8, body: &[u8], limits: &Limits) -> Result<(), PacketError> {
    //= [MQTT-3.15.1-1]
    if flags != 0 {
        return Err(PacketError::FixedHeaderFlags);
    }
    let mut reader = Reader::new(body);
    if reader.is_empty() {
        return Ok(());
    }
    //= [MQTT-3.15.2-1]
    let reason = reader.byte()?;
    if reason != ReasonCode::ContinueAuthentication.code() && reason != ReasonCode::Reauthenticate.code() {
        return Err(PacketError::ReasonCode(reason));
    }
    Properties::take(&mut reader, id::IN_AUTH, limits.user_properties_max)?;
    reader.finish()
}
