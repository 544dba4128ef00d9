//! Etags of twins: the root version as eight bytes, big endian, in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The etag of a root version.
pub(crate) fn text(version: u64) -> String {
    STANDARD.encode(version.to_be_bytes())
}

/// Whether a request that was meant for `expected` (bare, quoted or weak; `*` or nothing: any) fits a twin of this version.
pub(crate) fn matches(expected: Option<&str>, version: u64) -> bool {
    let Some(expected) = expected else { return true };
    let trimmed = expected.trim();
    let bare = trimmed.strip_prefix("W/").unwrap_or(trimmed).trim_matches('"');
    bare == "*" || bare == text(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_are_the_root_version() {
        assert_eq!(text(1), "AAAAAAAAAAE=");
        for any in [None, Some("*"), Some("\"*\"")] {
            assert!(matches(any, 7));
        }
        for same in ["AAAAAAAAAAI=", "\"AAAAAAAAAAI=\"", "W/\"AAAAAAAAAAI=\""] {
            assert!(matches(Some(same), 2) && !matches(Some(same), 3));
        }
        assert!(!matches(Some(""), 1) && !matches(Some("\""), 1));
    }
}
