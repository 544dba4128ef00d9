//! TPM structures: bytes <-> values, big endian, each list of bytes behind its length in two bytes.
//! - Source: TPM 2.0 Library, part 2, sections 10.5, 11.1, 12.2, 12.3.
//! - Errors: [`TpmError`]. Never panics.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::TpmError;

const ALG_RSA: u16 = 0x0001;
const ALG_HMAC: u16 = 0x0005;
const ALG_AES: u16 = 0x0006;
const ALG_KEYEDHASH: u16 = 0x0008;
const ALG_SHA256: u16 = 0x000b;
const ALG_NULL: u16 = 0x0010;
const ALG_CFB: u16 = 0x0043;

/// `userWithAuth` and `sign`; not `fixedTPM`, `fixedParent` or `sensitiveDataOrigin`, because it comes from outside.
const HMAC_KEY_ATTRIBUTES: u32 = 0x0004_0040;

const DEFAULT_EXPONENT: u32 = 65_537;

/// Longest structure that is read; an RSA-4096 key has under 700 bytes.
const STRUCTURE_BYTES_MAX: usize = 2_048;

/// The public part of an RSA storage key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicArea {
    /// `TPMT_PUBLIC` as it came: what names are made of.
    area: Vec<u8>,
    modulus: Vec<u8>,
    exponent: u32,
}

impl PublicArea {
    /// Reads base64 of a `TPM2B_PUBLIC`.
    ///
    /// # Errors
    /// When it is none, or of a kind that is not known here.
    pub fn from_base64(text: &str) -> Result<Self, TpmError> {
        if text.len() > STRUCTURE_BYTES_MAX {
            return Err(TpmError::Malformed);
        }
        Self::from_bytes(&STANDARD.decode(text.trim()).map_err(|_| TpmError::Malformed)?)
    }

    /// Reads a `TPM2B_PUBLIC`.
    ///
    /// # Errors
    /// When it is none, or of a kind that is not known here.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TpmError> {
        let mut outer = Reader(bytes);
        let area = outer.sized()?;
        outer.end()?;
        let mut reader = Reader(area);
        if (reader.u16()?, reader.u16()?) != (ALG_RSA, ALG_SHA256) {
            return Err(TpmError::Unsupported);
        }
        let (_attributes, _policy) = (reader.u32()?, reader.sized()?);
        // A storage key has these, and no scheme of its own.
        if [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?] != [ALG_AES, 128, ALG_CFB, ALG_NULL] {
            return Err(TpmError::Unsupported);
        }
        let (bits, exponent, modulus) = (reader.u16()?, reader.u32()?, reader.sized()?);
        reader.end()?;
        if bits < 2_048 || modulus.len() != usize::from(bits / 8) {
            return Err(TpmError::Unsupported);
        }
        let exponent = if exponent == 0 { DEFAULT_EXPONENT } else { exponent };
        Ok(Self { area: area.to_vec(), modulus: modulus.to_vec(), exponent })
    }

    /// The key's name: algorithm and digest of its public area.
    #[must_use]
    pub fn name(&self) -> Vec<u8> {
        name(&self.area)
    }

    /// The key as DER `SubjectPublicKeyInfo`.
    pub(super) fn to_der(&self) -> Vec<u8> {
        const RSA_ENCRYPTION: [u8; 15] =
            [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
        let numbers = [der_integer(&self.modulus), der_integer(&self.exponent.to_be_bytes())].concat();
        let key = [vec![0], der(0x30, &numbers)].concat();
        der(0x30, &[RSA_ENCRYPTION.to_vec(), der(0x03, &key)].concat())
    }
}

/// Name of an object with this public area.
pub(super) fn name(area: &[u8]) -> Vec<u8> {
    [&ALG_SHA256.to_be_bytes(), digest(&SHA256, area).as_ref()].concat()
}

/// Public area of an HMAC-SHA256 key that is imported. `seed` blinds its digest.
pub(super) fn hmac_key_area(seed: &[u8; 32], key: &[u8]) -> Vec<u8> {
    let unique = digest(&SHA256, &[seed.as_slice(), key].concat());
    let mut area = Vec::with_capacity(64);
    area.extend(ALG_KEYEDHASH.to_be_bytes());
    area.extend(ALG_SHA256.to_be_bytes());
    area.extend(HMAC_KEY_ATTRIBUTES.to_be_bytes());
    area.extend(sized(&[]));
    area.extend(ALG_HMAC.to_be_bytes());
    area.extend(ALG_SHA256.to_be_bytes());
    area.extend(sized(unique.as_ref()));
    area
}

/// Sensitive area of that key.
pub(super) fn hmac_key_sensitive(seed: &[u8; 32], key: &[u8]) -> Vec<u8> {
    let sensitive = [ALG_KEYEDHASH.to_be_bytes().to_vec(), sized(&[]), sized(seed), sized(key)].concat();
    sized(&sensitive)
}

/// Bytes behind their length. All that is written here is far shorter than 64 KiB.
pub(super) fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

fn der_integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    let digits = bytes.get(zeros..).unwrap_or_default();
    let sign: &[u8] = if digits.first().is_none_or(|&byte| byte >= 0x80) { &[0] } else { &[] };
    der(0x02, &[sign, digits].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    let [high, low] = length.to_be_bytes();
    let head = match length {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [head.as_slice(), content].concat()
}

/// Takes values off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], TpmError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(TpmError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, TpmError> {
        let bytes = self.take(2)?.try_into().map_err(|_| TpmError::Malformed)?;
        Ok(u16::from_be_bytes(bytes))
    }

    fn u32(&mut self) -> Result<u32, TpmError> {
        let bytes = self.take(4)?.try_into().map_err(|_| TpmError::Malformed)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn sized(&mut self) -> Result<&'a [u8], TpmError> {
        let length = self.u16()?;
        self.take(length.into())
    }

    fn end(&self) -> Result<(), TpmError> {
        if self.0.is_empty() { Ok(()) } else { Err(TpmError::Malformed) }
    }
}

/// A storage key with this modulus, for tests.
#[cfg(test)]
pub(crate) fn storage_key(modulus: &[u8]) -> Vec<u8> {
    let mut area = Vec::new();
    area.extend(ALG_RSA.to_be_bytes());
    area.extend(ALG_SHA256.to_be_bytes());
    area.extend(0x0003_0072_u32.to_be_bytes());
    area.extend(sized(&[]));
    for value in [ALG_AES, 128, ALG_CFB, ALG_NULL, 2_048] {
        area.extend(value.to_be_bytes());
    }
    area.extend(0_u32.to_be_bytes());
    area.extend(sized(modulus));
    sized(&area)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_storage_key_is_read() {
        let area = PublicArea::from_bytes(&storage_key(&[0xc3; 256])).unwrap();
        assert_eq!((area.modulus.len(), area.exponent), (256, 65_537));
        assert_eq!(area.name().len(), 34);
        let der = area.to_der();
        assert_eq!((der.len(), &der[..4]), (294, &[0x30, 0x82, 0x01, 0x22][..]), "as every RSA-2048 key has");
    }

    #[test]
    fn what_is_cut_or_too_long_is_refused() {
        let whole = storage_key(&[0xc3; 256]);
        for length in 0..whole.len() {
            assert!(PublicArea::from_bytes(&whole[..length]).is_err());
        }
        assert_eq!(PublicArea::from_bytes(&[whole.as_slice(), &[0]].concat()), Err(TpmError::Malformed));
        assert_eq!(PublicArea::from_bytes(&storage_key(&[0xc3; 128])), Err(TpmError::Unsupported));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0_usize..320, value: u8) {
            drop(PublicArea::from_bytes(&bytes));
            let mut changed = storage_key(&[0xc3; 256]);
            if let Some(byte) = changed.get_mut(at) {
                *byte = value;
            }
            drop(PublicArea::from_bytes(&changed));
        }
    }
}
