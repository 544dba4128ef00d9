//! Takes fields off the front of a packet. Can only take or fail, never look past the end.
//! - Source: MQTT 5.0 section 1.5 (data representation).
//! - Errors: [`PacketError::Truncated`] when fewer bytes are left than the field needs.

use crate::codec;
use crate::error::PacketError;
use crate::text;

/// The rest of a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Everything not yet taken.
    #[inline]
    pub(crate) const fn rest(self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(crate) const fn is_empty(self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, PacketError> {
        let (&byte, rest) = self.rest.split_first().ok_or(PacketError::Truncated)?;
        self.rest = rest;
        Ok(byte)
    }

    #[inline]
    pub(crate) fn two_bytes(&mut self) -> Result<u16, PacketError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(PacketError::Truncated)?;
        self.rest = rest;
        Ok(u16::from_be_bytes(*bytes))
    }

    pub(crate) fn four_bytes(&mut self) -> Result<u32, PacketError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(PacketError::Truncated)?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    #[inline]
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], PacketError> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(PacketError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Bytes behind a two-byte length.
    #[inline]
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], PacketError> {
        let count = self.two_bytes()?;
        self.bytes(usize::from(count))
    }

    /// Text behind a two-byte length.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<&'a str, PacketError> {
        text::string(self.binary()?)
    }

    pub(crate) fn variable_integer(&mut self) -> Result<u32, PacketError> {
        let (value, rest) = codec::variable_integer(self.rest)?.ok_or(PacketError::Truncated)?;
        self.rest = rest;
        Ok(value)
    }

    /// A packet id: two bytes, not zero.
    #[inline]
    pub(crate) fn packet_id(&mut self) -> Result<u16, PacketError> {
        //= [MQTT-2.2.1-3]
        //= 3.1.1 [MQTT-2.3.1-1]
        match self.two_bytes()? {
            0 => Err(PacketError::PacketIdZero),
            packet_id => Ok(packet_id),
        }
    }

    /// Fails when something is left.
    pub(crate) const fn finish(self) -> Result<(), PacketError> {
        if self.rest.is_empty() { Ok(()) } else { Err(PacketError::TrailingBytes) }
    }
}
