//! What names a lock.
//! - Shape: number of the lock in its queue u32 | random u32; as text 16 hexadecimal digits.
//! - Invariants: within a queue no token comes twice in 2^32 locks, whatever the random half; the random half tells apart the
//!   queues of devices that were deleted and created again.

use std::fmt;
use std::str::FromStr;

use crate::error::CommandError;

/// Names a lock on a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockToken(pub u64);

impl LockToken {
    /// Puts a token together.
    #[must_use]
    pub fn new(number: u32, salt: u32) -> Self {
        Self(u64::from(number) << 32 | u64::from(salt))
    }
}

impl fmt::Display for LockToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for LockToken {
    type Err = CommandError;

    /// A text that is no token names no lock.
    fn from_str(text: &str) -> Result<Self, CommandError> {
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(CommandError::LockLost);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| CommandError::LockLost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_written_and_read() {
        let token = LockToken::new(1, 0xfe);
        assert_eq!(token.to_string(), "00000001000000fe");
        assert_eq!("00000001000000FE".parse(), Ok(token));
        for text in ["", "1", "00000001000000f", "+0000001000000fe", "00000001000000fe0", "ééééé00000e"] {
            assert_eq!(text.parse::<LockToken>(), Err(CommandError::LockLost), "{text}");
        }
    }
}
