//! A certificate's thumbprint: the SHA-1 or SHA-256 digest of its DER form.
//! - Shape: as text 40 or 64 hexadecimal digits; read in any case, written in upper case.
//! - Invariants: compared in constant time.
//! - Errors: [`ThumbprintError`].

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

/// Thumbprint of a certificate.
#[derive(Clone, Copy)]
pub enum Thumbprint {
    /// 20 bytes: what most tools print.
    Sha1([u8; 20]),
    /// 32 bytes.
    Sha256([u8; 32]),
}

/// The text or the bytes are no thumbprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a thumbprint has 40 (SHA-1) or 64 (SHA-256) hexadecimal digits")]
pub struct ThumbprintError;

impl Thumbprint {
    /// A thumbprint from its bytes.
    ///
    /// # Errors
    /// When there are neither 20 nor 32.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ThumbprintError> {
        let sha1 = || bytes.try_into().map(Self::Sha1);
        let sha256 = || bytes.try_into().map(Self::Sha256);
        sha1().or_else(|_| sha256()).map_err(|_| ThumbprintError)
    }

    /// Whether it is that of the certificate whose DER form this is.
    #[must_use]
    pub fn matches(&self, der: &[u8]) -> bool {
        let algorithm = match self {
            Self::Sha1(_) => &SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256(_) => &SHA256,
        };
        verify_slices_are_equal(self.as_bytes(), digest::digest(algorithm, der).as_ref()).is_ok()
    }

    /// Its bytes: 20 or 32.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Sha1(bytes) => bytes,
            Self::Sha256(bytes) => bytes,
        }
    }
}

impl PartialEq for Thumbprint {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.as_bytes(), other.as_bytes()).is_ok()
    }
}

impl Eq for Thumbprint {}

impl FromStr for Thumbprint {
    type Err = ThumbprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let digits = bytes.get_mut(..pairs.len()).filter(|_| rest.is_empty()).ok_or(ThumbprintError)?;
        for (byte, [high, low]) in digits.iter_mut().zip(pairs) {
            *byte = (digit(*high)? << 4) | digit(*low)?;
        }
        Self::from_bytes(digits)
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

fn digit(character: u8) -> Result<u8, ThumbprintError> {
    let value = char::from(character).to_digit(16).ok_or(ThumbprintError)?;
    u8::try_from(value).map_err(|_| ThumbprintError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_in_any_case_and_written_in_upper_case() {
        for digits in ["00ff", "aB9c"] {
            for repeat in [10, 16] {
                let text = digits.repeat(repeat);
                let thumbprint: Thumbprint = text.parse().unwrap();
                assert_eq!(thumbprint.to_string(), text.to_uppercase());
                assert_eq!(thumbprint, text.to_lowercase().parse().unwrap());
                assert_eq!(thumbprint, Thumbprint::from_bytes(thumbprint.as_bytes()).unwrap());
            }
        }
    }

    #[test]
    fn what_is_no_thumbprint_is_refused() {
        for length in (0..=200).filter(|length| ![40, 64].contains(length)) {
            assert_eq!("0".repeat(length).parse::<Thumbprint>(), Err(ThumbprintError), "{length}");
        }
        for text in ["é".repeat(20), "g".repeat(40), " ".repeat(64)] {
            assert_eq!(text.parse::<Thumbprint>(), Err(ThumbprintError), "{text}");
        }
    }

    #[test]
    fn different_ones_differ() {
        let zeros = Thumbprint::Sha1([0; 20]);
        let mut bytes = [0; 20];
        bytes[19] = 1;
        assert_ne!(zeros, Thumbprint::Sha1(bytes));
        assert_ne!(zeros, Thumbprint::Sha256([0; 32]));
    }
}
