//! JSON from outside, bounded before it costs anything.
//! - Invariants: the length is looked at first, then one pass over the bytes counts levels and values; only what passes is parsed.
//! - Limits: a body of n bytes needs at most about 80 bytes of memory for each value that [`Bounds`] allows, besides n.

use serde_json::Value;

use crate::limits;

/// What a body may be.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes.
    pub bytes_max: usize,
    /// Objects and arrays inside each other.
    pub depth_max: usize,
    /// Values on all levels.
    pub values_max: usize,
}

/// Why a body is not parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// More bytes than allowed.
    #[error("the body has more than {0} bytes")]
    TooLong(usize),
    /// More levels than allowed.
    #[error("the body nests more than {0} levels deep")]
    TooDeep(usize),
    /// More values than allowed.
    #[error("the body has more than {0} values")]
    TooMany(usize),
    /// Not JSON.
    #[error("the body is not JSON: {0}")]
    Malformed(String),
}

impl Bounds {
    /// For a patch from a device.
    pub const DEVICE: Self = Self {
        bytes_max: limits::DEVICE_PATCH_BYTES_MAX,
        depth_max: limits::DEPTH_MAX + 1,
        values_max: limits::DEVICE_PATCH_VALUES_MAX,
    };
    /// For a twin or a part of one from the service.
    pub const SERVICE: Self = Self {
        bytes_max: limits::SERVICE_BODY_BYTES_MAX,
        depth_max: limits::SERVICE_BODY_DEPTH_MAX,
        values_max: limits::SERVICE_BODY_VALUES_MAX,
    };
    /// For a JSON Patch of a digital twin.
    pub const JSON_PATCH: Self = Self {
        bytes_max: limits::JSON_PATCH_BYTES_MAX,
        depth_max: limits::DEPTH_MAX + 3,
        values_max: limits::DEVICE_PATCH_VALUES_MAX,
    };
    /// For the payload of a method or command.
    pub const PAYLOAD: Self = Self {
        bytes_max: limits::COMMAND_PAYLOAD_BYTES_MAX,
        depth_max: 64,
        values_max: limits::COMMAND_PAYLOAD_BYTES_MAX / 2,
    };
    /// For a DTDL document.
    pub const MODEL: Self = Self {
        bytes_max: limits::MODEL_BYTES_MAX,
        depth_max: limits::MODEL_DEPTH_MAX,
        values_max: limits::MODEL_VALUES_MAX,
    };
}

/// Parses a body within bounds.
///
/// # Errors
/// When it is beyond them, or not JSON.
pub fn parse(body: &[u8], bounds: Bounds) -> Result<Value, JsonError> {
    if body.len() > bounds.bytes_max {
        return Err(JsonError::TooLong(bounds.bytes_max));
    }
    survey(body, bounds)?;
    serde_json::from_slice(body).map_err(|error| JsonError::Malformed(error.to_string()))
}

/// Counts levels and values without building any. Whether the brackets match is the parser's business.
fn survey(body: &[u8], bounds: Bounds) -> Result<(), JsonError> {
    let (mut depth, mut values) = (0_usize, 1_usize);
    let (mut in_text, mut escaped) = (false, false);
    for &byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            // A bracket opens the first of its values, a comma every further one.
            b'{' | b'[' => {
                depth += 1;
                values += 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if depth > bounds.depth_max {
            return Err(JsonError::TooDeep(bounds.depth_max));
        }
        if values > bounds.values_max {
            return Err(JsonError::TooMany(bounds.values_max));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Bounds = Bounds { bytes_max: 64, depth_max: 3, values_max: 6 };

    #[test]
    fn bombs_are_refused_by_length_depth_and_number() {
        assert_eq!(parse(&[b'['; 65], SMALL), Err(JsonError::TooLong(64)));
        assert_eq!(parse(&[b'['; 64], SMALL), Err(JsonError::TooDeep(3)));
        assert_eq!(parse(b"[0,0,0,0,0,0,0]", SMALL), Err(JsonError::TooMany(6)));
        assert!(matches!(parse(b"{", SMALL), Err(JsonError::Malformed(_))));
        assert!(matches!(parse(b"", SMALL), Err(JsonError::Malformed(_))));
        assert!(matches!(parse(b"\"\xff\"", SMALL), Err(JsonError::Malformed(_))));
    }

    #[test]
    fn brackets_and_commas_in_texts_do_not_count() {
        let body = br#"{"a\"[[[[[,,,,,,,\\":"]]]{{{{"}"#;
        assert!(parse(body, SMALL).is_ok());
        assert!(parse(b"[[[1,2]]]", SMALL).is_ok());
    }
}
