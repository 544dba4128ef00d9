//! When a connection means to send: the open loop. The times don't depend on how the server is doing.
//! - Units: nanoseconds since the start of the run.
//! - Invariants: what is due and can't be sent stays due, with its own time; there is no queue that could overflow, because the
//!   schedule itself remembers how far it got.

use crate::number;
use crate::plan::Arrival;
use crate::random::Random;

/// The schedule of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    next_ns: u64,
    interval_ns: f64,
    /// Set where intervals are random.
    random: Option<Random>,
    /// Parts of a nanosecond that `next_ns` left out, so that a long run keeps its rate.
    fraction: f64,
}

/// Never due.
pub(crate) const NEVER: u64 = u64::MAX;

impl Schedule {
    /// A schedule that is never due.
    pub(crate) const fn silent() -> Self {
        Self { next_ns: NEVER, interval_ns: 0.0, random: None, fraction: 0.0 }
    }

    /// A schedule of `rate` a second from `start_ns` on; the first point is random within one interval.
    pub(crate) fn new(start_ns: u64, rate: f64, arrival: Arrival, mut random: Random) -> Self {
        if rate <= 0.0 {
            return Self::silent();
        }
        let interval_ns = 1e9 / rate;
        let first = match arrival {
            Arrival::Uniform => random.unit(),
            Arrival::Poisson => random.exponential(),
        };
        let mut schedule = Self {
            next_ns: start_ns,
            interval_ns,
            random: (arrival == Arrival::Poisson).then_some(random),
            fraction: 0.0,
        };
        schedule.step(first * interval_ns);
        schedule
    }

    /// Goes on at another rate; what is due already stays due.
    pub(crate) fn set_rate(&mut self, now_ns: u64, rate: f64, arrival: Arrival, random: Random) {
        if self.next_ns == NEVER || rate <= 0.0 {
            *self = Self::new(now_ns, rate, arrival, random);
        } else {
            self.interval_ns = 1e9 / rate;
        }
    }

    /// When the next message is due.
    pub(crate) const fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Goes on to the message after the next.
    pub(crate) fn advance(&mut self) {
        let gap = match &mut self.random {
            Some(random) => random.exponential() * self.interval_ns,
            None => self.interval_ns,
        };
        self.step(gap);
    }

    /// How many messages are due before `end_ns`.
    pub(crate) fn owed(&self, end_ns: u64) -> u64 {
        if self.next_ns >= end_ns {
            return 0;
        }
        1 + number::count(number::float(end_ns - self.next_ns - 1) / self.interval_ns)
    }

    fn step(&mut self, gap_ns: f64) {
        let exact = gap_ns + self.fraction;
        let whole = number::count(exact);
        self.fraction = exact - number::float(whole);
        self.next_ns = self.next_ns.saturating_add(whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(schedule: &mut Schedule, end_ns: u64) -> u64 {
        let mut count = 0;
        while schedule.next_ns() < end_ns {
            schedule.advance();
            count += 1;
        }
        count
    }

    #[test]
    fn uniform_intervals_keep_an_odd_rate_for_an_hour() {
        let mut schedule = Schedule::new(5, 333.0, Arrival::Uniform, Random::new(1, 1, 0));
        let count = due(&mut schedule, 3_600_000_000_005);
        assert!(count.abs_diff(333 * 3_600) <= 1, "{count}");
    }

    #[test]
    fn poisson_intervals_have_the_rate_and_vary() {
        let mut schedule = Schedule::new(0, 1_000.0, Arrival::Poisson, Random::new(1, 2, 0));
        let count = due(&mut schedule, 60_000_000_000);
        assert!(count.abs_diff(60_000) < 1_000, "{count}");
    }

    #[test]
    fn what_is_owed_is_what_would_have_been_sent() {
        let mut schedule = Schedule::new(0, 1_000.0, Arrival::Uniform, Random::new(3, 1, 0));
        let owed = schedule.owed(1_000_000_000);
        assert_eq!(owed, due(&mut schedule, 1_000_000_000));
        assert_eq!(Schedule::silent().owed(NEVER), 0);
        assert_eq!(Schedule::new(0, 0.0, Arrival::Uniform, Random::new(1, 1, 1)).next_ns(), NEVER);
    }
}
