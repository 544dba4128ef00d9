//! Sessions that wait until the directory is as new as the store: somebody connects whom this node does not know, or not like that.
//! - Shape: lanes put them here, one task asks for a look and answers all that came before it. Whoever guesses at names and keys costs
//!   others of the same lane no time, and the store no more than one look after the other.
//! - Invariants: the answer comes from a look that began after the question. Where there was no look, nobody is told that it is unknown.
//! - Limits: [`REFRESHES_MAX`]; full: told to come again. An answer that a shard does not take within [`TELL_WAIT_MAX`] is left out: the
//!   door's own time for CONNECT ends the connection.

use std::sync::{Mutex, MutexGuard, PoisonError};

use millrace_model::door::{Refusal, SessionKey, ToDevice};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::control::Control;
use crate::limits::{REFRESHES_MAX, TELL_PAUSES, TELL_WAIT_MAX};

#[derive(Default)]
pub(crate) struct Refreshes {
    waiting: Mutex<Vec<SessionKey>>,
    arrived: Notify,
}

impl Refreshes {
    /// Puts a session in; whether there is room.
    fn push(&self, session: SessionKey) -> bool {
        let mut waiting = self.waiting();
        let has_room = waiting.len() < REFRESHES_MAX;
        if has_room {
            waiting.push(session);
            self.arrived.notify_one();
        }
        has_room
    }

    /// Waits until there are some, and takes all.
    async fn take(&self) -> Vec<SessionKey> {
        loop {
            let arrived = self.arrived.notified();
            let taken = std::mem::take(&mut *self.waiting());
            if !taken.is_empty() {
                return taken;
            }
            arrived.await;
        }
    }

    // No code runs under this lock that could leave the list half changed.
    fn waiting(&self) -> MutexGuard<'_, Vec<SessionKey>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    /// A session wants to hear when the directory is as new as the store.
    pub(crate) async fn refresh_for(&self, session: SessionKey) {
        if !self.shared.refreshes.push(session) {
            self.tell_stranger(session, ToDevice::Refused(Refusal::Throttled)).await;
        }
    }

    /// Answers for as long as it is not dropped.
    pub(crate) async fn answer_refreshes(&self) {
        loop {
            let waiting = self.shared.refreshes.take().await;
            let is_new = self.shared.refresher.catch_up().await;
            let answer = if is_new { ToDevice::Refreshed } else { ToDevice::Refused(Refusal::Unavailable) };
            self.tell_all(waiting, &answer).await;
        }
    }

    /// Tells many the same; a shard that is full keeps waiting only those that are on it.
    async fn tell_all(&self, mut sessions: Vec<SessionKey>, what: &ToDevice) {
        let (mut pause, pause_max) = TELL_PAUSES;
        let until = Instant::now() + TELL_WAIT_MAX;
        loop {
            sessions.retain(|&session| self.shared.doors.tell(session, what.clone()).is_err());
            if sessions.is_empty() || Instant::now() >= until {
                return;
            }
            sleep(pause).await;
            pause = pause.saturating_mul(2).min(pause_max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_that_wait_are_taken_at_once_and_there_are_never_too_many() {
        let refreshes = Refreshes::default();
        let session = |slot| SessionKey { shard: 0, slot, generation: 1 };
        let mut count = 0;
        while refreshes.push(session(count)) {
            count += 1;
        }
        let taken = refreshes.take().await;
        assert_eq!((taken.len(), taken[7]), (REFRESHES_MAX, session(7)));
        assert!(refreshes.push(session(0)));
        assert_eq!(refreshes.take().await, [session(0)]);
    }
}
