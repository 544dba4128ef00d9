//! UNSUBACK: the answer to UNSUBSCRIBE.
//! - Source: MQTT 5.0 section 3.11; MQTT 3.1.1 section 3.11, where it carries no codes.
//! - Shape: fixed header | packet id u16 | properties (v5) | one code per filter (v5)

use crate::codec::packet_type;
use crate::version::Version;
use crate::writer;

pub(crate) fn encode(version: Version, packet_id: u16, codes: &[u8], bytes_max: u32, out: &mut Vec<u8>) {
    writer::packet(out, packet_type::UNSUBACK << 4, bytes_max, |body| {
        //= [MQTT-3.10.4-4]
        body.two_bytes(packet_id);
        if version == Version::V5 {
            //= [MQTT-3.11.3-1]
            body.byte(0);
            body.bytes(codes);
        }
    });
}
