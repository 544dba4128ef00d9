//! Where an answer goes on: a text that clients pass back without looking inside.
//! - Shape: base64url(version u8 | fingerprint of the query u64 | rows taken u64 | parts of a key: (length u16 | bytes)* | checksum u64),
//!   big endian.
//! - Invariants: names only a place in a collection that the bearer may read from its start anyway, so it is checked against mistakes,
//!   not signed against forgers. A forged one reads no row that the same query would not show.
//! - Errors: [`ContinuationError`]. Never panics.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::ContinuationError;
use crate::limits::{KEY_PART_BYTES_MAX, KEY_PARTS_MAX};

const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 8;
/// Version, fingerprint, rows taken, key and checksum.
const BYTES_MAX: usize = 1 + 8 + 8 + KEY_PARTS_MAX * (2 + KEY_PART_BYTES_MAX) + CHECKSUM_BYTES;
/// The same in base64.
const TEXT_BYTES_MAX: usize = BYTES_MAX.div_ceil(3) * 4;

/// Where an answer goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    /// Which query it belongs to.
    pub query: u64,
    /// Rows that were given out before.
    pub taken: u64,
    /// Key of the last row that was looked at; empty at the start. Longer keys than [`KEY_PARTS_MAX`] parts of [`KEY_PART_BYTES_MAX`]
    /// bytes do not come back.
    pub after: Vec<Box<str>>,
}

impl Continuation {
    /// As text for a header.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.query.to_be_bytes());
        bytes.extend(self.taken.to_be_bytes());
        for part in &self.after {
            let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
            bytes.extend(length.to_be_bytes());
            bytes.extend(part.bytes());
        }
        bytes.extend(hash(&bytes).to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// From text.
    ///
    /// # Errors
    /// [`ContinuationError::Garbage`] when it is not a whole one.
    pub fn decode(text: &str) -> Result<Self, ContinuationError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ContinuationError::Garbage);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| ContinuationError::Garbage)?;
        parse(&bytes).ok_or(ContinuationError::Garbage)
    }
}

fn parse(bytes: &[u8]) -> Option<Continuation> {
    let (content, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
    if u64::from_be_bytes(*checksum) != hash(content) {
        return None;
    }
    let (&version, rest) = content.split_first()?;
    let (&query, rest) = rest.split_first_chunk()?;
    let (&taken, mut rest) = rest.split_first_chunk()?;
    let mut after = Vec::new();
    while !rest.is_empty() {
        let (&length, tail) = rest.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(length));
        let (part, tail) = tail.split_at_checked(length)?;
        if after.len() == KEY_PARTS_MAX || length > KEY_PART_BYTES_MAX {
            return None;
        }
        after.push(str::from_utf8(part).ok()?.into());
        rest = tail;
    }
    (version == VERSION).then(|| Continuation {
        query: u64::from_be_bytes(query),
        taken: u64::from_be_bytes(taken),
        after,
    })
}

/// FNV-1a: the same on every node and in every release.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn continuation() -> Continuation {
        Continuation { query: 7, taken: 100, after: vec!["d/1".into(), "é".into()] }
    }

    #[test]
    fn what_was_given_out_comes_back() {
        let text = continuation().encode();
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'), "{text}");
        assert_eq!(Continuation::decode(&text), Ok(continuation()));
        let longest =
            Continuation { after: vec!["x".repeat(KEY_PART_BYTES_MAX).into(); KEY_PARTS_MAX], ..continuation() };
        assert_eq!(Continuation::decode(&longest.encode()), Ok(longest));
    }

    #[test]
    fn anything_else_is_garbage() {
        let text = continuation().encode();
        for end in 0..text.len() {
            assert_eq!(Continuation::decode(text.get(..end).unwrap()), Err(ContinuationError::Garbage));
        }
        for other in ["", "AAAA", "not base64!", "' OR 1=1", &"A".repeat(100_000)] {
            assert_eq!(Continuation::decode(other), Err(ContinuationError::Garbage), "{other}");
        }
        let too_many = Continuation { after: vec!["x".into(); KEY_PARTS_MAX + 1], ..continuation() };
        assert_eq!(Continuation::decode(&too_many.encode()), Err(ContinuationError::Garbage));
    }
}
