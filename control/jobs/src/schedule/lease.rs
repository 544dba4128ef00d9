//! Who works on a job: one node at a time.
//! - Invariants: whoever works renews its lease with each write of the job; whoever finds one that has run out takes the job over.
//! - Units: milliseconds since 1970.

use millrace_model::Timestamp;
use serde::{Deserialize, Serialize};

/// A run of this program; random, so that none is like another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runner(pub u64);

/// The right to work on a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    runner: Runner,
    until: i64,
}

impl Lease {
    /// The lease of `runner` from now on; `None` while another one holds `held`.
    #[must_use]
    pub fn take(held: Option<Self>, runner: Runner, now: Timestamp, seconds: u64) -> Option<Self> {
        let milliseconds = i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let is_free = held.is_none_or(|held| held.runner == runner || held.until <= now.0);
        is_free.then_some(Self { runner, until: now.0.saturating_add(milliseconds) })
    }

    /// When it has run out.
    #[must_use]
    pub const fn until(self) -> Timestamp {
        Timestamp(self.until)
    }

    /// Whether `runner` holds it.
    #[must_use]
    pub fn is_of(self, runner: Runner) -> bool {
        self.runner == runner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let (one, other) = (Runner(1), Runner(2));
        let held = Lease::take(None, one, Timestamp(1_000), 10).unwrap();
        assert_eq!((held.until(), held.is_of(one), held.is_of(other)), (Timestamp(11_000), true, false));
        assert_eq!(Lease::take(Some(held), other, Timestamp(10_999), 10), None);
        assert!(Lease::take(Some(held), one, Timestamp(10_999), 10).is_some(), "renewed");
        assert!(Lease::take(Some(held), other, Timestamp(11_000), 10).is_some(), "it has run out");
    }
}
