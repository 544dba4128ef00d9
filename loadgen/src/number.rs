//! The few numeric conversions that the standard library offers only as `as`, each with its stated loss.
//! - Not here: anything that changes a value a verdict depends on; those conversions are checked where they happen.
#![allow(clippy::as_conversions, reason = "the one place where a rounding conversion is allowed")]

/// A count as a float: exact to 2^53, rounded above.
#[must_use]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}

/// A float as a count: fractions are cut, negative and not-a-number become 0, too large becomes the maximum.
#[must_use]
pub(crate) const fn count(value: f64) -> u64 {
    value as u64
}

/// A float as a signed whole number, rounded to the nearest, saturating.
#[must_use]
pub(crate) fn rounded(value: f64) -> i64 {
    value.round() as i64
}

/// An index or length as a count: `usize` is never wider than 64 bits on a supported target.
#[must_use]
pub(crate) const fn wide(length: usize) -> u64 {
    length as u64
}

/// A count as an index; saturates where `usize` is narrower.
#[must_use]
pub(crate) fn index(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Part per whole, 0 when the whole is.
#[must_use]
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { float(part) / float(whole) }
}

/// Seconds as nanoseconds, saturating.
#[must_use]
pub(crate) fn nanoseconds(seconds: f64) -> u64 {
    count(seconds * 1e9)
}

/// Nanoseconds as seconds.
#[must_use]
pub(crate) fn seconds(nanoseconds: u64) -> f64 {
    float(nanoseconds) / 1e9
}

/// Appends a whole number in decimal digits, without the formatting machinery (payloads are built per message).
pub(crate) fn push_decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

/// Appends a value given in hundredths as a decimal number with two places (`-12.05`).
pub(crate) fn push_hundredths(out: &mut Vec<u8>, hundredths: i64) {
    if hundredths < 0 {
        out.push(b'-');
    }
    let magnitude = hundredths.unsigned_abs();
    push_decimal(out, magnitude / 100);
    out.push(b'.');
    if magnitude % 100 < 10 {
        out.push(b'0');
    }
    push_decimal(out, magnitude % 100);
}

/// Appends 32 bits as eight lower-case hexadecimal digits.
pub(crate) fn push_hex(out: &mut Vec<u8>, value: u32) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for shift in (0..8_u32).rev() {
        let digit = usize::try_from((value >> (shift * 4)) & 0xf).unwrap_or(0);
        out.push(DIGITS[digit]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn digits_are_those_of_the_formatter() {
        for value in [0, 7, 10, 99, 100, 1_234_567, u64::MAX] {
            assert_eq!(text(|out| push_decimal(out, value)), value.to_string());
        }
        assert_eq!(text(|out| push_hundredths(out, -1205)), "-12.05");
        assert_eq!(text(|out| push_hundredths(out, 7)), "0.07");
        assert_eq!(text(|out| push_hex(out, 0x00ab_cd09)), "00abcd09");
    }
}
