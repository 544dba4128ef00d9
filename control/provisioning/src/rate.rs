//! Token buckets: so many at once, so many a second.
//! - Invariants: pure; time is an argument, and one that goes back changes nothing.

use std::time::{Duration, Instant};

/// A bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// How large a bucket is and how fast it fills.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    capacity: f64,
    per_second: f64,
}

impl Rate {
    pub(crate) fn new(count: u32, over: Duration) -> Self {
        Self { capacity: f64::from(count), per_second: f64::from(count) / over.as_secs_f64() }
    }

    pub(crate) fn full(self, now: Instant) -> Bucket {
        Bucket { tokens: self.capacity, filled: now }
    }
}

impl Bucket {
    /// Takes one, or says how long until there is one.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let since = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = rate.capacity.min(self.tokens + since * rate.per_second);
        self.filled = self.filled.max(now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / rate.per_second))
    }
}

/// Whole seconds to wait, at least one.
pub(crate) fn seconds(wait: Duration) -> u32 {
    let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(whole).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_so_many_a_second() {
        let start = Instant::now();
        let rate = Rate::new(5, Duration::from_secs(10));
        let mut bucket = rate.full(start);
        assert!((0..5).all(|_| bucket.take(rate, start).is_ok()));
        assert_eq!(seconds(bucket.take(rate, start).unwrap_err()), 2);
        assert!(bucket.take(rate, start + Duration::from_millis(2_001)).is_ok());
        assert!(bucket.take(rate, start).is_err(), "time that goes back gives nothing");
        assert!((0..5).all(|_| bucket.take(rate, start + Duration::from_secs(60)).is_ok()));
        assert!(bucket.take(rate, start + Duration::from_secs(60)).is_err());
    }
}
