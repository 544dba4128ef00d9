//! A symmetric key: 16 to 64 secret bytes that are wiped when dropped.
//! - Invariants: `Debug` shows nothing of the key; there is no `Display` and no equality operator.
//! - Limits: [`KEY_BYTES_MIN`] to [`KEY_BYTES_MAX`] decoded bytes, as the hub's registry allows.
//! - Errors: [`KeyError`], which never repeats the text.

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::{Zeroize, Zeroizing};

use crate::error::KeyError;

/// Shortest key.
pub const KEY_BYTES_MIN: usize = 16;
/// Longest key.
pub const KEY_BYTES_MAX: usize = 64;

/// Writes padding, and reads text with or without it.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A symmetric key.
#[derive(Clone)]
pub struct Key(Box<[u8]>);

impl Key {
    /// A key from its bytes, for example random ones.
    ///
    /// # Errors
    /// When the length is out of range.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        if (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&bytes.len()) {
            Ok(Self(bytes.into()))
        } else {
            Err(KeyError::Length { bytes: bytes.len() })
        }
    }

    /// A key from the base64 text that connection strings carry.
    ///
    /// # Errors
    /// When the text is not base64 or the length is out of range.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(BASE64.decode(text.trim()).map_err(|_| KeyError::NotBase64)?);
        Self::from_bytes(&bytes)
    }

    /// A key of nobody's, so that a look-up that found nothing can cost as much as one that did. The caller refuses whatever it matches.
    #[must_use]
    pub fn decoy() -> Self {
        Self([0; 32].into())
    }

    /// The secret bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text form, for a connection string or a reply to who may see keys.
    #[must_use]
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64.encode(&self.0))
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_with_and_without_padding() {
        let key = Key::from_base64("a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=").unwrap();
        assert_eq!(key.as_bytes(), [b'k'; 32]);
        assert_eq!(key.to_base64().as_str(), "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=");
        assert!(Key::from_base64("a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s").is_ok());
    }

    #[test]
    fn lengths_have_bounds() {
        assert_eq!(Key::from_bytes(&[0; 15]).unwrap_err(), KeyError::Length { bytes: 15 });
        assert!(Key::from_bytes(&[0; 16]).is_ok());
        assert!(Key::from_bytes(&[0; 64]).is_ok());
        assert_eq!(Key::from_bytes(&[0; 65]).unwrap_err(), KeyError::Length { bytes: 65 });
        assert_eq!(Key::from_base64("not base64!").unwrap_err(), KeyError::NotBase64);
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Key::from_bytes(&[b'k'; 32]).unwrap()), "Key(..)");
    }
}
