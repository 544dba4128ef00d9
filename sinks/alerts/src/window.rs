//! A sliding window of fixed size: counts, sums, extremes or first points in [`WINDOW_BUCKETS`] buckets.
//! - Shape: a ring of buckets; bucket number = time / width; width = length / 30, rounded up to a millisecond.
//! - Units: milliseconds since 1970.
//! - Invariants: at time t the window holds exactly the points whose bucket number is one of the last 30, t's own included:
//!   those of the last N - N/30 to N seconds. Nothing is estimated; the only error is this edge.
//! - Limits: 512 bytes, whatever the rate. A point older than the window is ignored.

use crate::config::Aggregate;
use crate::limits::WINDOW_BUCKETS;

/// One part of the window.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Bucket {
    /// Sum, extreme or first value, as the aggregate asks.
    pub(crate) value: f64,
    /// How many points; saturates.
    pub(crate) count: u32,
    /// When the first point came, milliseconds after the bucket's start. Only kept for `rate`.
    pub(crate) first_ms: u32,
}

/// The points of one device and rule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Window {
    /// Number of the newest bucket.
    pub(crate) head: i64,
    /// Time of the newest point.
    pub(crate) latest_at: i64,
    /// Value of the newest point.
    pub(crate) latest: f64,
    /// Time of the very first point.
    pub(crate) since: i64,
    /// The ring; bucket number n stands at n modulo its length.
    pub(crate) buckets: [Bucket; WINDOW_BUCKETS],
}

/// Length of a bucket of a window of `seconds`.
pub(crate) fn width_ms(seconds: u64) -> i64 {
    let parts = u64::try_from(WINDOW_BUCKETS).unwrap_or(1);
    i64::try_from(seconds.saturating_mul(1000).div_ceil(parts)).unwrap_or(i64::MAX).max(1)
}

impl Window {
    pub(crate) const fn new() -> Self {
        let empty = Bucket { value: 0.0, count: 0, first_ms: 0 };
        Self { head: i64::MIN, latest_at: i64::MIN, latest: 0.0, since: i64::MAX, buckets: [empty; WINDOW_BUCKETS] }
    }

    /// Adds a point.
    pub(crate) fn add(&mut self, aggregate: Aggregate, width: i64, at: i64, value: f64) {
        let number = at.div_euclid(width);
        self.advance(number);
        self.since = self.since.min(at);
        if number <= self.head.saturating_sub(length()) {
            return;
        }
        if at >= self.latest_at {
            self.latest_at = at;
            self.latest = value;
        }
        let first_ms = u32::try_from(at.rem_euclid(width)).unwrap_or(u32::MAX);
        let Some(bucket) = self.buckets.get_mut(place(number)) else { return };
        if bucket.count == 0 {
            *bucket = Bucket { value, count: 1, first_ms };
            return;
        }
        bucket.count = bucket.count.saturating_add(1);
        match aggregate {
            Aggregate::Avg => bucket.value += value,
            Aggregate::Count => {}
            Aggregate::Max => bucket.value = bucket.value.max(value),
            Aggregate::Min => bucket.value = bucket.value.min(value),
            Aggregate::Rate if first_ms < bucket.first_ms => {
                bucket.value = value;
                bucket.first_ms = first_ms;
            }
            Aggregate::Rate => {}
        }
    }

    /// Moves the window on so that it ends in the bucket of time `at`.
    pub(crate) fn advance_to(&mut self, width: i64, at: i64) {
        self.advance(at.div_euclid(width));
    }

    fn advance(&mut self, number: i64) {
        if number <= self.head {
            return;
        }
        let steps = number.saturating_sub(self.head);
        if steps >= length() {
            self.buckets = [Bucket::default(); WINDOW_BUCKETS];
        } else {
            for passed in self.head.saturating_add(1)..=number {
                if let Some(bucket) = self.buckets.get_mut(place(passed)) {
                    *bucket = Bucket::default();
                }
            }
        }
        self.head = number;
    }

    /// The aggregate over the window as it stands; `None` while there is none (no point; for `rate` less than half a window).
    pub(crate) fn aggregate(&self, aggregate: Aggregate, width: i64) -> Option<f64> {
        let filled = || self.buckets.iter().filter(|bucket| bucket.count > 0);
        // Not `sum`: that of nothing is -0.
        let count = || filled().fold(0.0, |sum, bucket| sum + f64::from(bucket.count));
        match aggregate {
            Aggregate::Avg => {
                let (sum, points) = (filled().map(|bucket| bucket.value).sum::<f64>(), count());
                (points > 0.0).then(|| sum / points)
            }
            Aggregate::Count => Some(count()),
            Aggregate::Max => filled().map(|bucket| bucket.value).reduce(f64::max),
            Aggregate::Min => filled().map(|bucket| bucket.value).reduce(f64::min),
            Aggregate::Rate => self.rate(width),
        }
    }

    fn rate(&self, width: i64) -> Option<f64> {
        let oldest = self.head.saturating_sub(length() - 1);
        let (number, first) = (oldest..=self.head).find_map(|number| {
            self.buckets.get(place(number)).filter(|bucket| bucket.count > 0).map(|bucket| (number, bucket))
        })?;
        let first_at = number.saturating_mul(width).saturating_add(i64::from(first.first_ms));
        let span = self.latest_at.saturating_sub(first_at);
        if span < width.saturating_mul(length() / 2) {
            return None;
        }
        Some((self.latest - first.value) / seconds(span))
    }
}

fn length() -> i64 {
    i64::try_from(WINDOW_BUCKETS).unwrap_or(1)
}

fn place(number: i64) -> usize {
    usize::try_from(number.rem_euclid(length())).unwrap_or(0)
}

#[expect(clippy::as_conversions, reason = "a span of milliseconds is far below 2^53")]
fn seconds(span_ms: i64) -> f64 {
    span_ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, straight: every point kept, those of the last 30 buckets counted.
    fn naive(aggregate: Aggregate, width: i64, points: &[(i64, f64)]) -> Option<f64> {
        let head = points.iter().map(|(at, _)| at.div_euclid(width)).max()?;
        let live: Vec<(i64, f64)> =
            points.iter().copied().filter(|(at, _)| at.div_euclid(width) > head - length()).collect();
        let count = f64::from(u32::try_from(live.len()).unwrap());
        let values = || live.iter().map(|&(_, value)| value);
        match aggregate {
            Aggregate::Avg => Some(values().sum::<f64>() / count),
            Aggregate::Count => Some(count),
            Aggregate::Max => values().reduce(f64::max),
            Aggregate::Min => values().reduce(f64::min),
            Aggregate::Rate => {
                let first = *live.iter().min_by_key(|(at, _)| *at)?;
                let last = *live.iter().rev().max_by_key(|(at, _)| *at)?;
                let span = last.0 - first.0;
                (span >= width * 15).then(|| (last.1 - first.1) / (seconds(span)))
            }
        }
    }

    proptest! {
        #[test]
        fn aggregates_equal_the_naive_ones(
            steps in prop::collection::vec((0_i64..4000, -100.0..100.0_f64), 1..200),
            seconds in 1_u64..120,
        ) {
            let width = width_ms(seconds);
            for aggregate in [Aggregate::Avg, Aggregate::Count, Aggregate::Max, Aggregate::Min, Aggregate::Rate] {
                let (mut window, mut points, mut at) = (Window::new(), Vec::new(), 1_700_000_000_000);
                for &(step, value) in &steps {
                    // Two points of the same instant have no order for a rate; keep them apart.
                    at += step + 1;
                    window.add(aggregate, width, at, value);
                    points.push((at, value));
                    let (found, expected) = (window.aggregate(aggregate, width), naive(aggregate, width, &points));
                    let close = match (found, expected) {
                        (Some(found), Some(expected)) => (found - expected).abs() < 1e-6,
                        (found, expected) => found == expected,
                    };
                    prop_assert!(close, "{:?}: {:?} is not {:?}", aggregate, found, expected);
                }
            }
        }

        #[test]
        fn a_window_reaches_back_between_29_and_30_parts(age_ms in 0_i64..70_000, start in 0_i64..5000) {
            let width = width_ms(60);
            let mut window = Window::new();
            window.add(Aggregate::Count, width, start, 1.0);
            window.add(Aggregate::Count, width, start + age_ms, 1.0);
            let count = window.aggregate(Aggregate::Count, width).unwrap();
            if age_ms <= 58_000 {
                prop_assert_eq!(count, 2.0);
            } else if age_ms >= 60_000 {
                prop_assert_eq!(count, 1.0);
            }
        }
    }

    #[test]
    fn late_points_count_in_their_place_and_hostile_times_do_not_panic() {
        let width = width_ms(30);
        let mut window = Window::new();
        window.add(Aggregate::Count, width, 100_000, 1.0);
        window.add(Aggregate::Count, width, 80_000, 1.0);
        window.add(Aggregate::Count, width, 60_000, 1.0);
        assert_eq!(window.aggregate(Aggregate::Count, width), Some(2.0));
        for at in [i64::MAX, i64::MIN, 0, -1] {
            for aggregate in [Aggregate::Avg, Aggregate::Rate] {
                window.add(aggregate, width, at, f64::MAX);
                window.aggregate(aggregate, width);
            }
        }
    }
}
