//! Times in the texts of jobs and configurations.
//! - Shape: read as ISO 8601, in UTC where no offset is named, because SDKs leave it out; written as twins write theirs.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use millrace_control_twin::time_text;
use millrace_model::Timestamp;
use serde_json::Value;

/// Reads a time.
pub(crate) fn from_text(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let instant = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let civil = text.parse::<DateTime>().ok()?;
        civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    });
    instant.map(|instant| Timestamp(instant.as_millisecond()))
}

/// A time as JSON.
pub(crate) fn json(time: Timestamp) -> Value {
    time_text(time).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_offset() {
        for text in [
            "2024-05-01T10:00:00Z",
            "2024-05-01T10:00:00",
            "2024-05-01T12:00:00.000+02:00",
            " 2024-05-01T10:00:00.0000000Z ",
        ] {
            assert_eq!(from_text(text), Some(Timestamp(1_714_557_600_000)), "{text}");
        }
        for text in ["", "now", "1714557600", "2024-13-01T00:00:00Z"] {
            assert_eq!(from_text(text), None, "{text}");
        }
    }
}
