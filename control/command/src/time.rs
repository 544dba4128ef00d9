//! Times as text: RFC 3339 in UTC.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use millrace_model::Timestamp;

/// As the hub writes a time; one outside of the years that have such a form becomes the nearest that has.
pub(crate) fn to_text(time: Timestamp) -> String {
    let nearest = if time.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_millisecond(time.0).unwrap_or(nearest).to_string()
}

/// Reads a time; one without an offset is in UTC.
pub(crate) fn from_text(text: &str) -> Option<Timestamp> {
    let with_offset = text.parse::<jiff::Timestamp>();
    let time = with_offset.or_else(|_| TimeZone::UTC.to_timestamp(text.parse::<DateTime>()?)).ok()?;
    Some(Timestamp(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, written) in [
            ("2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z"),
            ("2030-01-01T00:00:00.25", "2030-01-01T00:00:00.25Z"),
            ("2030-01-01T01:00:00+01:00", "2030-01-01T00:00:00Z"),
        ] {
            assert_eq!(to_text(from_text(text).unwrap()), written);
        }
        assert_eq!(from_text("tomorrow"), None);
        assert!(!to_text(Timestamp(i64::MAX)).is_empty() && !to_text(Timestamp(i64::MIN)).is_empty());
    }
}
