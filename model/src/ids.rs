//! Names of positions: which shard, and where in its journal.

use std::fmt;

/// Number of a shard on one node; also the name of its journal's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Position of a message in its shard's journal. Counts messages, not bytes; `(shard, offset)` names a message for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Offset(pub u64);

impl Offset {
    /// The offset `count` messages further on.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether `id` may name a device or a module.
///
/// Source: Azure IoT Hub identity registry: 1 to 128 characters, ASCII alphanumerics and `- . + % _ # * ? ! ( ) , : = @ $ ' ;`.
#[must_use]
pub fn is_valid_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.+%_#*?!(),:=@$';".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_the_hubs_alphabet() {
        for good in ["d1", "a=b", "..", "x#y", "$edgeHub", &"a".repeat(128)] {
            assert!(is_valid_id(good), "{good}");
        }
        for bad in ["", "a/b", "a b", "é", "a\n", "../../etc", &"a".repeat(129)] {
            assert!(!is_valid_id(bad), "{bad}");
        }
    }
}
