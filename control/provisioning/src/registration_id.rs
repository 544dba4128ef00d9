//! Registration ids: lower case letters, digits and `- . _ :`, the last one a letter, a digit or `-`.
//! - Invariants: ids that differ in case only are the same; kept and compared in lower case. Always valid.
//! - Limits: 1 to [`REGISTRATION_ID_CHARACTERS_MAX`] characters.

use std::fmt;

use crate::limits::REGISTRATION_ID_CHARACTERS_MAX;

/// A registration id, and enrollment groups' ids, which follow the same rules.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistrationId(Box<str>);

/// The text cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id has 1 to 128 letters, digits and any of -._: and ends with a letter, a digit or -")]
pub struct RegistrationIdError;

impl RegistrationId {
    /// Checks an id and takes it in lower case.
    ///
    /// # Errors
    /// When it breaks the rules.
    pub fn new(text: &str) -> Result<Self, RegistrationIdError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        let last = text.bytes().next_back().ok_or(RegistrationIdError)?;
        let good = text.len() <= REGISTRATION_ID_CHARACTERS_MAX
            && text.bytes().all(is_allowed)
            && (last.is_ascii_alphanumeric() || last == b'-');
        if good { Ok(Self(text.to_ascii_lowercase().into())) } else { Err(RegistrationIdError) }
    }

    /// The id in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RegistrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked_and_lowered() {
        for good in ["a", "reg-1", "SN-007:aa", "a.b_c-", "0"] {
            assert_eq!(RegistrationId::new(good).unwrap().as_str(), good.to_ascii_lowercase());
        }
        let long = "a".repeat(129);
        for bad in ["", "a.", "a_", "a:", "a/b", "a b", "ä", "a#", "a\u{0}", "a+b", &long] {
            assert_eq!(RegistrationId::new(bad), Err(RegistrationIdError), "{bad}");
        }
    }
}
