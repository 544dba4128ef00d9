//! Writes fields and whole packets to the end of a buffer.
//! - Invariants: a packet that the protocol cannot express (a string of over 65,535 bytes, a body over 256 MiB) or that is larger
//!   than the peer takes is not written at all, never in part.

use crate::limits::REMAINING_LENGTH_MAX;

/// Appends to one packet's body.
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    is_expressible: bool,
}

impl Writer<'_> {
    pub(crate) fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    pub(crate) fn two_bytes(&mut self, value: u16) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn four_bytes(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Bytes behind a two-byte length.
    pub(crate) fn binary(&mut self, bytes: &[u8]) {
        match u16::try_from(bytes.len()) {
            Ok(count) => {
                self.two_bytes(count);
                self.bytes(bytes);
            }
            Err(_) => self.is_expressible = false,
        }
    }

    pub(crate) fn string(&mut self, text: &str) {
        self.binary(text.as_bytes());
    }

    /// What `body` writes, behind its length as a variable byte integer.
    pub(crate) fn with_length(&mut self, body: impl FnOnce(&mut Writer<'_>)) {
        let start = self.out.len();
        let mut inner = Writer { out: &mut *self.out, is_expressible: self.is_expressible };
        body(&mut inner);
        self.is_expressible = inner.is_expressible;
        let count = self.out.len().saturating_sub(start);
        match u32::try_from(count) {
            Ok(count) if count <= REMAINING_LENGTH_MAX => {
                let (digits, used) = variable_integer(count);
                self.out.splice(start..start, digits.into_iter().take(used));
            }
            _ => self.is_expressible = false,
        }
    }
}

/// Appends one packet: its first byte, its length, and what `body` writes, unless it would exceed `bytes_max`.
pub(crate) fn packet(out: &mut Vec<u8>, first: u8, bytes_max: u32, body: impl FnOnce(&mut Writer<'_>)) {
    let start = out.len();
    let mut writer = Writer { out: &mut *out, is_expressible: true };
    writer.byte(first);
    writer.with_length(body);
    let is_expressible = writer.is_expressible;
    let written = out.len().saturating_sub(start);
    //= [MQTT-3.1.2-24]
    //= [MQTT-3.1.2-25]
    if !is_expressible || u32::try_from(written).is_ok_and(|written| written > bytes_max) {
        out.truncate(start);
    }
}

/// The digits of a variable byte integer, and how many of them count.
pub(crate) fn variable_integer(value: u32) -> ([u8; 4], usize) {
    let mut digits = [0; 4];
    let mut rest = value;
    let mut used = 0_usize;
    for digit in &mut digits {
        let [low, ..] = (rest & 0x7f).to_le_bytes();
        rest >>= 7;
        used = used.saturating_add(1);
        *digit = if rest == 0 { low } else { low | 0x80 };
        if rest == 0 {
            break;
        }
    }
    (digits, used)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    //= test
    //= [MQTT-1.5.5-1]
    #[test]
    fn integers_read_back_in_the_fewest_bytes() {
        for (value, count) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (2_097_151, 3), (2_097_152, 4)] {
            let (digits, used) = variable_integer(value);
            assert_eq!(used, count, "{value}");
            assert_eq!(codec::variable_integer(&digits[..used]), Ok(Some((value, &[][..]))));
        }
    }

    #[test]
    fn a_packet_that_cannot_be_expressed_is_not_written() {
        let mut out = vec![7];
        packet(&mut out, 0x10, u32::MAX, |body| body.string(&"x".repeat(65_536)));
        assert_eq!(out, [7]);
        packet(&mut out, 0x10, 5, |body| body.string("xx"));
        assert_eq!(out, [7]);
        packet(&mut out, 0x10, 6, |body| body.string("xx"));
        assert_eq!(out, [7, 0x10, 4, 0, 2, b'x', b'x']);
    }
}
