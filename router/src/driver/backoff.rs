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
    outage: Option<Outage>,
    until: Option<Instant>,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    pause: Duration,
}

impl Backoff {
    pub(super) fn busy(&mut self, now: Instant) {
        let pause = self.busy.map_or(BUSY_MIN, |pause| (pause * 2).min(BUSY_MAX));
        self.busy = Some(pause);
        self.wait(now + pause);
    }

    /// Since when; `random` is anything.
    pub(super) fn unavailable(&mut self, now: Instant, random: u64) -> Instant {
        let outage = self.outage.get_or_insert(Outage { since: now, pause: OUTAGE_MIN / 2 });
        outage.pause = (outage.pause * 2).min(OUTAGE_MAX);
        let since = outage.since;
        let half = outage.pause / 2;
        let part = u32::try_from(random % 1024).unwrap_or_default();
        let until = now + half + half * part / 1024;
        self.wait(until);
        since
    }

    /// Something was taken; since when nothing had been.
    pub(super) fn succeeded(&mut self) -> Option<Instant> {
        self.busy = None;
        self.until = None;
        self.outage.take().map(|outage| outage.since)
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
        assert_eq!(backoff.succeeded(), None);
        let start = now;
        for random in 0..20_u64 {
            assert_eq!(backoff.unavailable(now, random * 101), start);
            let until = backoff.pending(now).unwrap();
            assert!(until - now <= OUTAGE_MAX);
            now = until;
        }
        backoff.unavailable(now, 1023);
        assert!(backoff.pending(now).unwrap() - now > OUTAGE_MAX / 4);
        assert_eq!(backoff.succeeded(), Some(start));
        assert_eq!(backoff.pending(now), None);
    }
}
