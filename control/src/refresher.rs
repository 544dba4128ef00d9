//! Lets anybody ask the follower to look at the change log at once, and wait until it has.
//! - Invariants: whoever asks waits for a look that began after the question, so that it sees what was committed before. However many
//!   ask, they share looks.
//! - Limits: a wait ends after [`REFRESH_SECONDS_MAX`], with "no".

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// How long a caller waits for a look at most.
const REFRESH_SECONDS_MAX: u64 = 10;

/// Asks the follower to look. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Refresher(Arc<Rounds>);

#[derive(Debug)]
struct Rounds {
    wanted: Notify,
    begun: AtomicU64,
    finished: watch::Sender<Round>,
}

#[derive(Debug, Clone, Copy)]
struct Round {
    number: u64,
    is_good: bool,
    /// Position in the change log up to which everything is taken over.
    sequence: i64,
}

impl Refresher {
    pub(crate) fn new() -> Self {
        let (finished, _) = watch::channel(Round { number: 0, is_good: true, sequence: 0 });
        Self(Arc::new(Rounds { wanted: Notify::new(), begun: AtomicU64::new(0), finished }))
    }

    /// Waits until the directory holds all that is in the store now; `false` when the store could not be read.
    pub async fn catch_up(&self) -> bool {
        let needed = self.0.begun.load(Ordering::Acquire).saturating_add(1);
        let mut finished = self.0.finished.subscribe();
        self.0.wanted.notify_one();
        let round =
            timeout(Duration::from_secs(REFRESH_SECONDS_MAX), finished.wait_for(|round| round.number >= needed));
        matches!(round.await, Ok(Ok(round)) if round.is_good)
    }

    /// Whether the store could be read when it was last looked at.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.0.finished.borrow().is_good
    }

    /// Waits until somebody asks.
    pub(crate) async fn wanted(&self) {
        self.0.wanted.notified().await;
    }

    /// A look begins; what was asked before now is answered by it.
    pub(crate) fn begun(&self) -> u64 {
        self.0.begun.fetch_add(1, Ordering::AcqRel).saturating_add(1)
    }

    pub(crate) fn finished(&self, number: u64, is_good: bool, sequence: i64) {
        self.0.finished.send_replace(Round { number, is_good, sequence });
    }

    /// There will be no further look.
    pub(crate) fn ended(&self) {
        self.0.finished.send_modify(|round| (round.number, round.is_good) = (u64::MAX, false));
    }

    /// Waits until something behind this position of the change log was taken over.
    pub(crate) async fn is_beyond(&self, sequence: i64) {
        let mut finished = self.0.finished.subscribe();
        // The sender lives as long as this handle, so waiting does not fail.
        drop(finished.wait_for(|round| round.sequence > sequence).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn many_questions_share_a_look_that_began_after_them() {
        let refresher = Refresher::new();
        let running = refresher.begun();
        let asking: Vec<_> = (0..100)
            .map(|_| {
                let refresher = refresher.clone();
                tokio::spawn(async move { refresher.catch_up().await })
            })
            .collect();
        while refresher.0.finished.receiver_count() < asking.len() {
            tokio::task::yield_now().await;
        }
        refresher.wanted().await;
        refresher.finished(running, false, 0);
        assert!(asking.iter().all(|asked| !asked.is_finished()), "that look had begun before");
        assert!(!refresher.is_good());
        let next = refresher.begun();
        refresher.finished(next, true, 7);
        refresher.is_beyond(6).await;
        assert!(refresher.is_good());
        for asked in asking {
            assert!(asked.await.unwrap());
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_a_follower_that_has_ended() {
        let refresher = Refresher::new();
        refresher.ended();
        assert!(!refresher.catch_up().await);
    }
}
