//! Names of files: which hour they belong to, and which offsets of which shard they cover.
//! - Shape: `date=2026-11-22/hour=13/shard-0-offset-00000000000000000123-00000000000000000456-WRITER.parquet`: the first
//!   offset that the file covers and the one after the last, messages included that were not meant for this sink.
//! - Invariants: no device id, topic or other word of a sender is ever part of a path.

use std::fmt;

use millrace_model::{Offset, ShardId, Timestamp};

const MILLISECONDS_PER_HOUR: i64 = 3_600_000;

/// An hour, counted from 1970 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hour(i64);

impl Hour {
    pub(crate) const fn of(time: Timestamp) -> Self {
        Self(time.0.div_euclid(MILLISECONDS_PER_HOUR))
    }

    /// The outer folder of its files.
    pub(crate) fn date_folder(self) -> String {
        format!("date={}", self.start().date())
    }

    /// The inner folder of its files.
    pub(crate) fn hour_folder(self) -> String {
        format!("hour={:02}", self.start().hour())
    }

    /// A time that no calendar knows counts as 1970.
    fn start(self) -> jiff::civil::DateTime {
        let start = jiff::Timestamp::from_second(self.0.saturating_mul(3600)).unwrap_or_default();
        start.to_zoned(jiff::tz::TimeZone::UTC).datetime()
    }
}

/// Which data directory wrote a file, so that files of another one are never taken for one's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WriterId(String);

impl WriterId {
    /// `None` unless it is 1 to 32 lower-case hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        ((1..=32).contains(&text.len()) && text.bytes().all(hexadecimal)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Name of a complete file within its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileName {
    pub(crate) shard: ShardId,
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    pub(crate) writer: WriterId,
}

impl FileName {
    /// `None` for whatever is not such a name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let mut words = name.strip_suffix(".parquet")?.split('-');
        let mut literal = |expected: &str| words.next().filter(|&word| word == expected).map(|_| words.next())?;
        let shard = ShardId(literal("shard")?.parse().ok()?);
        let start = Offset(literal("offset")?.parse().ok()?);
        let end = Offset(words.next()?.parse().ok()?);
        let writer = WriterId::parse(words.next()?)?;
        (words.next().is_none() && start < end).then_some(Self { shard, start, end, writer })
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shard, start, end, writer } = self;
        write!(f, "shard-{shard}-offset-{:020}-{:020}-{writer}.parquet", start.0, end.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_follow_the_calendar() {
        let folder = |milliseconds| {
            let hour = Hour::of(Timestamp(milliseconds));
            format!("{}/{}", hour.date_folder(), hour.hour_folder())
        };
        assert_eq!(folder(0), "date=1970-01-01/hour=00");
        assert_eq!(folder(-1), "date=1969-12-31/hour=23");
        assert_eq!(folder(1_795_355_999_999), "date=2026-11-22/hour=13");
        assert_eq!(folder(i64::MAX), "date=1970-01-01/hour=00");
        assert_eq!(folder(i64::MIN), "date=1970-01-01/hour=00");
    }

    #[test]
    fn names_read_back_and_others_are_ignored() {
        let name = FileName {
            shard: ShardId(7),
            start: Offset(0),
            end: Offset(u64::MAX),
            writer: WriterId::parse("0a1b").unwrap(),
        };
        assert_eq!(FileName::parse(&name.to_string()), Some(name));
        for other in [
            "",
            "x.parquet",
            "shard-0-offset-5-4-ab.parquet",
            "shard-0-offset-1-2.parquet",
            "shard-0-offset-1-2-ab-c.parquet",
            "shard-0-offset-1-2-AB.parquet",
            "shard-70000-offset-1-2-ab.parquet",
            "shard-0-offset-1-2-ab.parquet.tmp",
        ] {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
    }
}
