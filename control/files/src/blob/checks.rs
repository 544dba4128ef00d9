//! What a request says about its body, and whether the body is so. Pure.
//! - Source: `Content-MD5` (16 bytes in base64); `x-ms-content-crc64`: CRC-64/NVME, 8 bytes in base64, lowest first.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, Digest as Crc};
use md5::{Digest as _, Md5};

use super::error::BlobError;

pub(super) const MD5: &str = "content-md5";
pub(super) const CRC64: &str = "x-ms-content-crc64";

/// What a body has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Expected {
    md5: Option<[u8; 16]>,
    crc64: Option<[u8; 8]>,
}

/// What a body turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) bytes: u64,
    md5: [u8; 16],
    crc64: [u8; 8],
}

/// Reads along.
pub(super) struct Checker {
    bytes: u64,
    md5: Md5,
    crc64: Crc,
}

impl Expected {
    pub(super) fn from_headers(headers: &HeaderMap) -> Result<Self, BlobError> {
        // Bodies with checksums between their parts, which newer libraries send only when told to.
        if headers.contains_key("x-ms-structured-body") || headers.contains_key("x-ms-encryption-key") {
            return Err(BlobError::HEADER);
        }
        Ok(Self { md5: decoded(headers, MD5)?, crc64: decoded(headers, CRC64)? })
    }

    pub(super) const fn asks_md5(&self) -> bool {
        self.md5.is_some()
    }

    pub(super) fn check(&self, found: &Found) -> Result<(), BlobError> {
        let differs = self.md5.is_some_and(|md5| md5 != found.md5) || self.crc64.is_some_and(|crc| crc != found.crc64);
        if differs { Err(BlobError::CHECKSUM) } else { Ok(()) }
    }
}

impl Found {
    pub(super) fn md5_text(&self) -> String {
        STANDARD.encode(self.md5)
    }

    pub(super) fn crc64_text(&self) -> String {
        STANDARD.encode(self.crc64)
    }
}

impl Checker {
    pub(super) fn new() -> Self {
        Self { bytes: 0, md5: Md5::new(), crc64: Crc::new(CrcAlgorithm::Crc64Nvme) }
    }

    /// Takes more; answers how much it is by now.
    pub(super) fn update(&mut self, data: &[u8]) -> u64 {
        self.bytes = self.bytes.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        self.md5.update(data);
        self.crc64.update(data);
        self.bytes
    }

    pub(super) fn finish(self) -> Found {
        Found { bytes: self.bytes, md5: self.md5.finalize().into(), crc64: self.crc64.finalize().to_le_bytes() }
    }
}

fn decoded<const N: usize>(headers: &HeaderMap, name: &str) -> Result<Option<[u8; N]>, BlobError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let bytes = STANDARD.decode(value.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(Some).ok_or(BlobError::HEADER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(data: &[u8]) -> Found {
        let mut checker = Checker::new();
        data.chunks(3).for_each(|chunk| assert!(checker.update(chunk) > 0));
        checker.finish()
    }

    #[test]
    fn checksums_are_those_of_the_specifications() {
        let found = found(b"123456789");
        assert_eq!(found.bytes, 9);
        assert_eq!(found.md5_text(), "JfnnlDI7RTiF9RgfG2JNCw==");
        assert_eq!(found.crc64, 0xae8b_1486_0a79_9888_u64.to_le_bytes());
    }

    #[test]
    fn another_body_is_noticed() {
        let with = |name: &'static str, value: &str| {
            Expected::from_headers(&HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]))
        };
        let (right, wrong) = (found(b"right"), found(b"wrong"));
        for expected in [with(MD5, &right.md5_text()).unwrap(), with(CRC64, &right.crc64_text()).unwrap()] {
            assert_eq!(expected.check(&right), Ok(()));
            assert_eq!(expected.check(&wrong), Err(BlobError::CHECKSUM));
        }
        assert_eq!(Expected::default().check(&wrong), Ok(()));
        for (name, value) in
            [(MD5, "AAAA"), (MD5, "!"), (CRC64, "AAAAAAAAAAAAAAAA"), ("x-ms-structured-body", "XSM/1.0")]
        {
            assert_eq!(with(name, value), Err(BlobError::HEADER));
        }
    }
}
