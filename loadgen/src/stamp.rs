//! The stamp of a message: run, number and checksum, by which it is recognised wherever it ends up.
//! - Shape: `RRRRRRRR-N-CCCCCCCC`: run id (8 hexadecimal digits), number of the message within its device from 0, crc32c (8 digits)
//!   over device id, number and the rest of the body. In a JSON body it is the first field: `{"stamp":"...",` and the rest.
//! - Invariants: a stamp that reads back intact belongs to this body and this device: moved to another device it is corrupt.

use crate::number;

/// Name of the field and of the property.
pub(crate) const NAME: &str = "stamp";
const FIELD: &[u8] = b"{\"stamp\":\"";

/// A stamp as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The run that sent it.
    pub(crate) run: u32,
    /// Number of the message within its device.
    pub(crate) sequence: u64,
    checksum: u32,
}

/// What a message turns out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// No stamp: somebody else's message.
    Foreign,
    /// A stamp whose checksum doesn't fit.
    Corrupt,
    /// A message of `run`.
    Intact {
        /// The run that sent it.
        run: u32,
        /// Its number.
        sequence: u64,
    },
}

/// Appends a stamp over `rest`.
pub(crate) fn write(run: u32, device_id: &str, sequence: u64, rest: &[u8], out: &mut Vec<u8>) {
    number::push_hex(out, run);
    out.push(b'-');
    number::push_decimal(out, sequence);
    out.push(b'-');
    number::push_hex(out, checksum(device_id, sequence, rest));
}

/// Puts the stamp into the JSON object `object` (its opening brace first) and appends the whole to `out`.
pub(crate) fn write_body(run: u32, device_id: &str, sequence: u64, object: &[u8], out: &mut Vec<u8>) {
    let rest = object.strip_prefix(b"{").unwrap_or(object);
    out.extend_from_slice(FIELD);
    write(run, device_id, sequence, rest, out);
    out.extend_from_slice(if rest == b"}" { b"\"" } else { b"\"," });
    out.extend_from_slice(rest);
}

/// Judges a body that may start with a stamp.
pub(crate) fn find_in_body(device_id: &str, body: &[u8]) -> Finding {
    let Some(after) = body.strip_prefix(FIELD) else { return Finding::Foreign };
    let Some(end) = after.iter().position(|&byte| byte == b'"') else { return Finding::Corrupt };
    let Some(stamp) = after.get(..end).and_then(parse) else { return Finding::Corrupt };
    let rest = after.get(end + 1..).unwrap_or_default();
    judge(&stamp, device_id, rest.strip_prefix(b",").unwrap_or(rest))
}

/// Judges a body whose stamp came as a property.
pub(crate) fn find_in_property(device_id: &str, value: &[u8], body: &[u8]) -> Finding {
    parse(value).map_or(Finding::Corrupt, |stamp| judge(&stamp, device_id, body))
}

fn judge(stamp: &Stamp, device_id: &str, rest: &[u8]) -> Finding {
    if checksum(device_id, stamp.sequence, rest) == stamp.checksum {
        Finding::Intact { run: stamp.run, sequence: stamp.sequence }
    } else {
        Finding::Corrupt
    }
}

fn parse(text: &[u8]) -> Option<Stamp> {
    let text = std::str::from_utf8(text).ok()?;
    let mut parts = text.split('-');
    let stamp = Stamp {
        run: u32::from_str_radix(parts.next()?, 16).ok()?,
        sequence: parts.next()?.parse().ok()?,
        checksum: u32::from_str_radix(parts.next()?, 16).ok()?,
    };
    parts.next().is_none().then_some(stamp)
}

fn checksum(device_id: &str, sequence: u64, rest: &[u8]) -> u32 {
    let seed = crc32c::crc32c_append(crc32c::crc32c(device_id.as_bytes()), &sequence.to_le_bytes());
    crc32c::crc32c_append(seed, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamped_body_is_json_and_reads_back() {
        for object in ["{}", r#"{"a":1}"#] {
            let mut body = Vec::new();
            write_body(0xdead_beef, "dev-1", 42, object.as_bytes(), &mut body);
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert!(json.get(NAME).unwrap().as_str().unwrap().starts_with("deadbeef-42-"));
            assert_eq!(find_in_body("dev-1", &body), Finding::Intact { run: 0xdead_beef, sequence: 42 });
            assert_eq!(find_in_body("dev-2", &body), Finding::Corrupt);
        }
    }

    #[test]
    fn every_changed_byte_of_a_body_is_noticed() {
        let mut body = Vec::new();
        write_body(7, "dev-1", 3, br#"{"temperature":21.5}"#, &mut body);
        for index in 0..body.len() {
            let mut changed = body.clone();
            changed[index] ^= 1;
            let finding = find_in_body("dev-1", &changed);
            let run_changed = matches!(finding, Finding::Intact { run, .. } if run != 7);
            assert!(run_changed || matches!(finding, Finding::Foreign | Finding::Corrupt), "{index}: {finding:?}");
        }
    }

    #[test]
    fn nonsense_is_judged_without_a_panic() {
        assert_eq!(find_in_body("d", b""), Finding::Foreign);
        assert_eq!(find_in_body("d", FIELD), Finding::Corrupt);
        assert_eq!(find_in_property("d", b"a-b", b""), Finding::Corrupt);
        assert_eq!(find_in_property("d", &[0xff], b""), Finding::Corrupt);
    }
}
