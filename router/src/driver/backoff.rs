//! How long to wait before a refused delivery is offered again.
//! - Invariants: pure; time and randomness are arguments.
//! - Units: a busy sink is asked again after 1 to 5 ms, an unavailable one after 50 ms, doubling to 5 s, each
//!   shortened by up to a half at random so that many hubs do not come back at once.

use std::time::{Duration, Instant};

const BUSY_MIN: Duration = Duration::from_millis(1);
const BUSY_MAX: Duration = Duration::from_millis(5);
const OUTAGE_MIN: Duration = Duration::from_millis(50);
const OUTAGE_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Backoff {
    busy: Option<Duration>,
    outage: Option<Duration>,
    until: Option<Instant>,
}

impl Backoff {
    pub(super) fn busy(&mut self, now: Instant) {
        let pause = self.busy.map_or(BUSY_MIN, |pause| (pause * 2).min(BUSY_MAX));
        self.busy = Some(pause);
        self.wait(now + pause);
    }

    /// `random` is anything.
    pub(super) fn unavailable(&mut self, now: Instant, random: u64) {
        let pause = self.outage.map_or(OUTAGE_MIN, |pause| (pause * 2).min(OUTAGE_MAX));
        self.outage = Some(pause);
        let half = pause / 2;
        let part = u32::try_from(random % 1024).unwrap_or_default();
        self.wait(now + half + half * part / 1024);
    }

    /// Something was taken.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Something may be taken again; the next refusal still waits longer than the last.
    pub(super) fn end_pause(&mut self) {
        self.until = None;
    }

    pub(super) const fn is_outage(&self) -> bool {
        self.outage.is_some()
    }

    /// Until when nothing is offered.
    pub(super) fn pending(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|&until| until > now)
    }

    fn wait(&mut self, until: Instant) {
        self.until = Some(self.until.map_or(until, |earlier| earlier.max(until)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bounds_and_start_again_after_a_success() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        for _ in 0..10 {
            backoff.busy(now);
            now = backoff.pending(now).unwrap();
        }
        backoff.busy(now);
        assert_eq!(backoff.pending(now), Some(now + BUSY_MAX));
        backoff.succeeded();
        for random in 0..20_u64 {
            backoff.unavailable(now, random * 101);
            let until = backoff.pending(now).unwrap();
            assert!(until - now <= OUTAGE_MAX);
            now = until;
        }
        backoff.unavailable(now, 1023);
        assert!(backoff.pending(now).unwrap() - now > OUTAGE_MAX / 4);
        backoff.end_pause();
        assert_eq!((backoff.pending(now), backoff.is_outage()), (None, true));
        backoff.succeeded();
        assert!(!backoff.is_outage());
    }
}
