//! Times as the hub writes them: RFC 3339, UTC, seven digits of fraction, and the year 1 for what never happened.

use jiff::Timestamp as Instant;
use millrace_model::Timestamp;

/// What the hub writes for a time that never was.
pub(crate) const NEVER_TEXT: &str = "0001-01-01T00:00:00Z";

/// The same as a time: the first moment of the year 1.
pub(crate) const NEVER: Timestamp = Timestamp(-62_135_596_800_000);

/// A time as text.
#[must_use]
pub fn time_text(time: Timestamp) -> String {
    if time == NEVER {
        return NEVER_TEXT.to_owned();
    }
    Instant::from_millisecond(time.0).map_or_else(|_| NEVER_TEXT.to_owned(), |instant| format!("{instant:.7}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_seven_digits_and_never_is_the_year_one() {
        assert_eq!(time_text(Timestamp(1_714_557_600_123)), "2024-05-01T10:00:00.1230000Z");
        assert_eq!(time_text(Timestamp(0)), "1970-01-01T00:00:00.0000000Z");
        assert_eq!(time_text(NEVER), NEVER_TEXT);
        assert_eq!(time_text(Timestamp(i64::MAX)), NEVER_TEXT);
    }
}
