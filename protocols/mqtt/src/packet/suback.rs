//! SUBACK: the answer to SUBSCRIBE.
//! - Source: MQTT 5.0 section 3.9; MQTT 3.1.1 section 3.9.
//! - Shape: fixed header | packet id u16 | properties (v5) | one code per filter

use crate::codec::packet_type;
use crate::reason::ReasonCode;
use crate::version::Version;
use crate::writer;

pub(crate) fn encode(version: Version, packet_id: u16, codes: &[u8], bytes_max: u32, out: &mut Vec<u8>) {
    writer::packet(out, packet_type::SUBACK << 4, bytes_max, |body| {
        //= [MQTT-3.8.4-2]
        body.two_bytes(packet_id);
        //= [MQTT-3.8.4-6]
        match version {
            Version::V5 => {
                body.byte(0);
                body.bytes(codes);
            }
            //= 3.1.1 [MQTT-3.9.3-2]
            Version::V311 => {
                let failure = ReasonCode::UnspecifiedError.code();
                codes.iter().for_each(|&code| body.byte(if code > failure { failure } else { code }));
            }
        }
    });
}
