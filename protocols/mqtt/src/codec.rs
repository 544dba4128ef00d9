//! Where a packet ends: fixed header and variable byte integers.
//! - Source: MQTT 5.0 sections 2.1 (fixed header) and 1.5.5 (variable byte integer).
//! - Shape: type and flags (1 byte) | remaining length (1 to 4 bytes, 7 bits each, low digits first) | body
//! - Limits: a packet over `bytes_max` fails as soon as its length is read; nothing is kept for it.
//! - Hot path: [`split`] runs for every packet; lengths of one and two bytes are the common ones.

use crate::error::PacketError;

/// One packet, cut out of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Packet type in the upper half, flags in the lower.
    pub first: u8,
    /// Everything behind the length.
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// The packet type, 0 to 15.
    #[inline]
    #[must_use]
    pub const fn packet_type(self) -> u8 {
        self.first >> 4
    }

    /// The flags, 0 to 15.
    #[inline]
    #[must_use]
    pub const fn flags(self) -> u8 {
        self.first & 0x0f
    }
}

/// Packet types, as they stand in the upper half of the first byte.
pub mod packet_type {
    #![expect(missing_docs, reason = "the names are those of the specification")]
    pub const CONNECT: u8 = 1;
    pub const CONNACK: u8 = 2;
    pub const PUBLISH: u8 = 3;
    pub const PUBACK: u8 = 4;
    pub const PUBREC: u8 = 5;
    pub const PUBREL: u8 = 6;
    pub const PUBCOMP: u8 = 7;
    pub const SUBSCRIBE: u8 = 8;
    pub const SUBACK: u8 = 9;
    pub const UNSUBSCRIBE: u8 = 10;
    pub const UNSUBACK: u8 = 11;
    pub const PINGREQ: u8 = 12;
    pub const PINGRESP: u8 = 13;
    pub const DISCONNECT: u8 = 14;
    pub const AUTH: u8 = 15;
}

/// Cuts the first packet off `input`; returns it and the rest. `None`: more bytes are needed.
///
/// # Errors
/// [`PacketError::LengthOverlong`] and [`PacketError::TooLarge`].
#[inline]
pub fn split(input: &[u8], bytes_max: u32) -> Result<Option<(Frame<'_>, &[u8])>, PacketError> {
    let Some((&first, rest)) = input.split_first() else {
        return Ok(None);
    };
    let Some((length, rest)) = variable_integer(rest)? else {
        return Ok(None);
    };
    let header_bytes = input.len().wrapping_sub(rest.len());
    let Ok(body_bytes) = usize::try_from(length) else {
        return Err(PacketError::TooLarge);
    };
    if u32::try_from(header_bytes.saturating_add(body_bytes)).is_ok_and(|whole| whole > bytes_max) {
        return Err(PacketError::TooLarge);
    }
    Ok(rest.split_at_checked(body_bytes).map(|(body, rest)| (Frame { first, body }, rest)))
}

/// Reads a variable byte integer off the front; returns it and the rest. `None`: more bytes are needed.
///
/// # Errors
/// [`PacketError::LengthOverlong`].
#[inline]
pub fn variable_integer(input: &[u8]) -> Result<Option<(u32, &[u8])>, PacketError> {
    match *input {
        [] => Ok(None),
        [low, ref rest @ ..] if low < 0x80 => Ok(Some((u32::from(low), rest))),
        [low, high @ 1..0x80, ref rest @ ..] => Ok(Some((u32::from(low & 0x7f) | u32::from(high) << 7, rest))),
        _ => long_integer(input),
    }
}

fn long_integer(input: &[u8]) -> Result<Option<(u32, &[u8])>, PacketError> {
    let mut value = 0_u32;
    let mut rest = input;
    for shift in [0, 7, 14, 21] {
        let Some((&digit, after)) = rest.split_first() else {
            return Ok(None);
        };
        rest = after;
        value |= u32::from(digit & 0x7f) << shift;
        if digit < 0x80 {
            //= [MQTT-1.5.5-1]
            let is_padded = digit == 0 && shift > 0;
            return if is_padded { Err(PacketError::LengthOverlong) } else { Ok(Some((value, rest))) };
        }
    }
    Err(PacketError::LengthOverlong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], expected: Result<Option<u32>, PacketError>) {
        assert_eq!(variable_integer(input).map(|found| found.map(|(value, _)| value)), expected, "{input:x?}");
    }

    //= test
    //= [MQTT-1.5.5-1]
    #[test]
    fn variable_integers_are_four_bytes_at_most_and_not_padded() {
        check(&[], Ok(None));
        check(&[0], Ok(Some(0)));
        check(&[0x7f], Ok(Some(127)));
        check(&[0x80], Ok(None));
        check(&[0x80, 0x01], Ok(Some(128)));
        check(&[0xff, 0x7f], Ok(Some(16_383)));
        check(&[0x80, 0x80, 0x01], Ok(Some(16_384)));
        check(&[0xff, 0xff, 0xff, 0x7f], Ok(Some(268_435_455)));
        check(&[0xff, 0xff, 0xff], Ok(None));
        check(&[0xff, 0xff, 0xff, 0xff], Err(PacketError::LengthOverlong));
        check(&[0x80, 0x00], Err(PacketError::LengthOverlong));
        check(&[0x80, 0x80, 0x00], Err(PacketError::LengthOverlong));
        check(&[0x80, 0x80, 0x80, 0x00], Err(PacketError::LengthOverlong));
    }

    #[test]
    fn size_is_checked_before_the_body_is_there() {
        assert_eq!(split(&[0x30, 0x7f], 128), Err(PacketError::TooLarge));
        assert_eq!(split(&[0x30, 0x7f], 129), Ok(None));
        assert_eq!(split(&[0x30, 0xff, 0xff, 0xff, 0x7f], 1 << 20), Err(PacketError::TooLarge));
        assert_eq!(split(&[0xc0, 0, 9], 2), Ok(Some((Frame { first: 0xc0, body: &[] }, &[9][..]))));
    }
}
