//! Strings, topic names and topic filters.
//! - Source: MQTT 5.0 sections 1.5.4 (UTF-8 strings) and 4.7 (topics).
//! - Hot path: [`topic_name`] runs for every message: two passes over about 40 bytes, both many bytes at a time. No loop by character, no
//!   table, no allocation.
//! - Errors: control characters other than U+0000 are allowed, as the specification lets a server choose.

use crate::error::PacketError;

/// A string field: well-formed UTF-8 without U+0000.
#[inline]
pub(crate) fn string(bytes: &[u8]) -> Result<&str, PacketError> {
    //= [MQTT-1.5.4-1]
    let text = std::str::from_utf8(bytes).map_err(|_| PacketError::NotUtf8)?;
    //= [MQTT-1.5.4-2]
    if bytes.contains(&0) {
        return Err(PacketError::NullCharacter);
    }
    Ok(text)
}

/// The topic of a PUBLISH; it may be empty, where an alias stands for it.
#[inline]
pub(crate) fn topic_name(bytes: &[u8]) -> Result<&str, PacketError> {
    let text = std::str::from_utf8(bytes).map_err(|_| PacketError::NotUtf8)?;
    //= [MQTT-3.3.2-2]
    //= [MQTT-4.7.3-2]
    if has_wildcard_or_null(bytes) {
        return Err(not_a_name(bytes));
    }
    Ok(text)
}

/// Looks at 16 bytes at a time, the last 16 overlapping those before, so that the compiler can use vector instructions.
#[inline]
fn has_wildcard_or_null(bytes: &[u8]) -> bool {
    let any = |found: u8, &byte: &u8| found | u8::from(byte == 0) | u8::from(byte == b'+') | u8::from(byte == b'#');
    let (blocks, rest) = bytes.as_chunks::<16>();
    let found = blocks.iter().fold(0, |found, block| found | block.iter().fold(0, any));
    match bytes.last_chunk::<16>() {
        Some(last) => last.iter().fold(found, any) != 0,
        None => rest.iter().fold(found, any) != 0,
    }
}

#[cold]
fn not_a_name(bytes: &[u8]) -> PacketError {
    if bytes.contains(&0) { PacketError::NullCharacter } else { PacketError::WildcardInTopic }
}

/// Whether a client may publish to `name` as far as the grammar goes.
#[must_use]
pub fn is_topic_name(name: &str) -> bool {
    !name.is_empty() && topic_name(name.as_bytes()).is_ok()
}

/// Whether `filter` follows the grammar and has at most `levels_max` levels.
#[must_use]
pub fn is_filter(filter: &str, levels_max: usize) -> bool {
    //= [MQTT-4.7.3-1]
    if filter.is_empty() {
        return false;
    }
    let mut levels = filter.split('/').enumerate().peekable();
    while let Some((depth, level)) = levels.next() {
        //= [MQTT-4.7.1-1]
        //= [MQTT-4.7.1-2]
        let is_level_valid = match level {
            "#" => levels.peek().is_none(),
            "+" => true,
            other => !other.contains(['+', '#']),
        };
        if !is_level_valid || depth >= levels_max {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    //= test
    //= [MQTT-1.5.4-1]
    //= [MQTT-1.5.4-2]
    #[test]
    fn strings_are_utf8_without_null() {
        assert_eq!(string("a/é".as_bytes()), Ok("a/é"));
        assert_eq!(string(b"\xef\xbb\xbf"), Ok("\u{feff}"), "a byte order mark is a character like others");
        assert_eq!(string(b"\xed\xa0\x80"), Err(PacketError::NotUtf8), "half of a surrogate pair");
        assert_eq!(string(b"\xc0\x80"), Err(PacketError::NotUtf8), "null in two bytes");
        assert_eq!(string(b"a\0"), Err(PacketError::NullCharacter));
    }

    //= test
    //= [MQTT-3.3.2-2]
    //= [MQTT-4.7.3-2]
    #[test]
    fn names_have_no_wildcards_wherever_they_stand() {
        for length in 0..70 {
            let name = "t".repeat(length);
            assert_eq!(topic_name(name.as_bytes()), Ok(name.as_str()));
            for at in 0..length {
                for (byte, error) in [
                    (b'+', PacketError::WildcardInTopic),
                    (b'#', PacketError::WildcardInTopic),
                    (0, PacketError::NullCharacter),
                    (0xff, PacketError::NotUtf8),
                ] {
                    let mut bytes = name.clone().into_bytes();
                    bytes[at] = byte;
                    assert_eq!(topic_name(&bytes), Err(error), "{byte} at {at} of {length}");
                }
            }
        }
        assert!(!is_topic_name("") && is_topic_name("/") && is_topic_name("$iothub/twin/GET/?$rid=1"));
    }

    //= test
    //= [MQTT-4.7.1-1]
    //= [MQTT-4.7.3-1]
    //= [MQTT-4.7.1-2]
    #[test]
    fn filters_follow_the_grammar() {
        for good in ["#", "+", "a/#", "+/a/+", "/", "//", "a", "$iothub/methods/POST/#", "$share/group/a/+"] {
            assert!(is_filter(good, 16), "{good}");
        }
        for bad in ["", "#/a", "a#", "a/#/b", "a+", "+a/b", "a/b+c", "##", "a/##"] {
            assert!(!is_filter(bad, 16), "{bad}");
        }
        assert!(is_filter("a/b/c", 3) && !is_filter("a/b/c", 2));
    }
}
