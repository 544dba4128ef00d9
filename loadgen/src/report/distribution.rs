//! A distribution of times: recorded in microseconds, merged without loss, told in quantiles.
//! - Shape (serde): pairs of value and count, so that processes can hand theirs on.
//! - Limits: three significant digits, 1 us to 10 minutes; what is longer counts as 10 minutes.

use hdrhistogram::Histogram;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::number;

const LONGEST_US: u64 = 600_000_000;
const DIGITS: u8 = 3;

/// Times in microseconds. Empty ones own no memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Distribution {
    histogram: Option<Box<Histogram<u64>>>,
}

/// What a report says of a distribution; all times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
pub struct Quantiles {
    /// Values recorded.
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// Half are below.
    pub p50: u64,
    /// 90 of 100 are below.
    pub p90: u64,
    /// 99 of 100 are below.
    pub p99: u64,
    /// 999 of 1,000 are below.
    pub p99_9: u64,
    /// 9,999 of 10,000 are below.
    pub p99_99: u64,
    /// The largest.
    pub max: u64,
}

impl Distribution {
    /// Records one time given in nanoseconds.
    pub(crate) fn record_ns(&mut self, nanoseconds: u64) {
        self.record_us(nanoseconds / 1_000, 1);
    }

    fn record_us(&mut self, microseconds: u64, count: u64) {
        let histogram = match &mut self.histogram {
            Some(histogram) => histogram,
            None => match Histogram::new_with_bounds(1, LONGEST_US, DIGITS) {
                Ok(histogram) => self.histogram.insert(Box::new(histogram)),
                Err(_) => return,
            },
        };
        histogram.saturating_record_n(microseconds, count);
    }

    /// Adds another one.
    pub(crate) fn merge(&mut self, other: &Self) {
        match (&mut self.histogram, &other.histogram) {
            (_, None) => {}
            (None, Some(_)) => self.histogram.clone_from(&other.histogram),
            (Some(_), Some(histogram)) => {
                for value in histogram.iter_recorded() {
                    self.record_us(value.value_iterated_to(), value.count_at_value());
                }
            }
        }
    }

    /// The quantiles.
    #[must_use]
    pub(crate) fn quantiles(&self) -> Quantiles {
        let Some(histogram) = &self.histogram else { return Quantiles::default() };
        Quantiles {
            count: histogram.len(),
            mean: number::float(number::count(histogram.mean() * 10.0)) / 10.0,
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            p99_9: histogram.value_at_quantile(0.999),
            p99_99: histogram.value_at_quantile(0.9999),
            max: histogram.max(),
        }
    }
}

impl Serialize for Distribution {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let values = self.histogram.iter().flat_map(|histogram| histogram.iter_recorded());
        serializer.collect_seq(values.map(|value| (value.value_iterated_to(), value.count_at_value())))
    }
}

impl<'de> Deserialize<'de> for Distribution {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut distribution = Self::default();
        for (value, count) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            if value > LONGEST_US.saturating_mul(2) {
                return Err(D::Error::custom("a time above the longest"));
            }
            distribution.record_us(value, count);
        }
        Ok(distribution)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_and_handing_on_keep_the_quantiles() {
        let mut whole = Distribution::default();
        let mut parts = [Distribution::default(), Distribution::default(), Distribution::default()];
        for value in 0..30_000_u64 {
            let nanoseconds = value * value * 10;
            whole.record_ns(nanoseconds);
            parts[usize::try_from(value % 3).unwrap()].record_ns(nanoseconds);
        }
        let mut merged = Distribution::default();
        for part in &parts {
            let text = serde_json::to_string(part).unwrap();
            merged.merge(&serde_json::from_str(&text).unwrap());
        }
        let (whole, merged) = (whole.quantiles(), merged.quantiles());
        assert_eq!((whole.count, whole.p50, whole.p99_99), (merged.count, merged.p50, merged.p99_99));
        assert!(whole.max.abs_diff(merged.max) <= whole.max / 1_000);
    }

    #[test]
    fn an_empty_one_is_all_zero_and_a_long_time_is_kept_as_the_longest() {
        assert_eq!(Distribution::default().quantiles(), Quantiles::default());
        let mut long = Distribution::default();
        long.record_ns(u64::MAX);
        assert!(long.quantiles().max >= LONGEST_US);
    }
}
