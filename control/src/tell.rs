//! Telling a session something, patiently: a shard that is full for the moment is asked again while the session lives.
//! - Invariants: what one caller tells a session arrives in the order of telling.
//! - Limits: [`TELL_WAIT_MAX`]; then the session is told to end as soon as its shard takes that, because it has missed something.

use millrace_model::IdentityName;
use millrace_model::door::{EndReason, SessionKey, ToDevice};
use tokio::time::{Instant, sleep};

use crate::control::Control;
use crate::events;
use crate::limits::{TELL_PAUSES, TELL_WAIT_MAX};

impl Control {
    /// Tells a live session; `false` when it is over or takes no more.
    pub(crate) async fn tell(&self, name: &IdentityName, session: SessionKey, what: ToDevice) -> bool {
        if !self.shared.sessions.is_live(name, session) {
            return false;
        }
        self.tell_while(session, what, || self.shared.sessions.is_live(name, session)).await
    }

    /// Tells a session that is not in the table (yet, or any more).
    pub(crate) async fn tell_stranger(&self, session: SessionKey, what: ToDevice) -> bool {
        self.tell_while(session, what, || true).await
    }

    async fn tell_while(&self, session: SessionKey, what: ToDevice, is_live: impl Fn() -> bool) -> bool {
        let (mut pause, pause_max) = TELL_PAUSES;
        let until = Instant::now() + TELL_WAIT_MAX;
        while self.shared.doors.tell(session, what.clone()).is_err() {
            if Instant::now() >= until {
                events::session_given_up();
                // If this is not taken either, the door's own bounds end the session.
                self.shared.doors.tell(session, ToDevice::End(EndReason::Unavailable)).ok();
                return false;
            }
            sleep(pause).await;
            pause = pause.saturating_mul(2).min(pause_max);
            if !is_live() {
                return false;
            }
        }
        true
    }
}
