//! Times as traces write them. Time without zone is taken as UTC.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// From here on a bare number is milliseconds: as seconds it would be the year 5138.
const MILLISECONDS_FROM: f64 = 1e11;

/// UNIX milliseconds of a cell; `None` when it is no time.
pub(super) fn parse(cell: &str) -> Option<i64> {
    let cell = cell.trim();
    if let Ok(number) = cell.parse::<f64>() {
        let milliseconds = if number.abs() >= MILLISECONDS_FROM { number } else { number * 1e3 };
        return number.is_finite().then(|| crate::number::rounded(milliseconds));
    }
    if let Ok(timestamp) = cell.parse::<jiff::Timestamp>() {
        return Some(timestamp.as_millisecond());
    }
    let local = cell.parse::<DateTime>().ok()?;
    let zoned = local.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_usual_forms_are_read() {
        for cell in
            ["2023-11-14T22:13:20Z", "2023-11-14 22:13:20", "2023-11-14T23:13:20+01:00", "1700000000", "1700000000000"]
        {
            assert_eq!(parse(cell), Some(1_700_000_000_000), "{cell}");
        }
        for cell in ["", "soon", "nan", "2023-13-01"] {
            assert_eq!(parse(cell), None, "{cell}");
        }
    }
}
