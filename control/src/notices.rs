//! What other nodes note with their writes, so that a session hears of what was done on another node than its own.
//! - Shape: a twin was noted -> its desired properties are read and told; a command queue was noted -> what waits there is delivered.
//! - Invariants: a note says where to look, not what is there, so notes that come late, twice or in another order do no harm.
//! - Limits: [`NOTED_AT_ONCE`] at a time; while more come, they wait in the database.
//! - Errors: after the connection was lost, all queues are looked through. A change of desired properties that was made in that moment is
//!   in the twin that the device reads when it connects, and in the versions that it compares.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use millrace_control_store::documents::{Collection, Heard, Notice, Notices, Scan};
use millrace_control_store::error::RegistryError;
use millrace_control_twin::Paths;
use millrace_model::IdentityName;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::control::Control;
use crate::events;
use crate::limits::{NOTED_AT_ONCE, NOTED_QUEUES_KEPT, NOTICE_PAUSE, ROWS_MAX};

/// Queues that were noted lately. A session that is just beginning has looked for its queue before, and is not seen yet by who heeds notes.
#[derive(Default)]
pub(crate) struct Noted {
    hasher: RandomState,
    /// Hashes of device ids. Two with one hash only cost a look.
    latest: Mutex<VecDeque<u64>>,
}

impl Noted {
    fn push(&self, device_id: &str) {
        let mut latest = self.latest();
        if latest.len() >= NOTED_QUEUES_KEPT {
            latest.pop_front();
        }
        latest.push_back(self.hasher.hash_one(device_id));
    }

    /// Whether the device's queue was noted lately.
    pub(crate) fn contains(&self, device_id: &str) -> bool {
        self.latest().contains(&self.hasher.hash_one(device_id))
    }

    // No code runs under this lock that could leave it half changed.
    fn latest(&self) -> MutexGuard<'_, VecDeque<u64>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    /// Heeds notes for as long as it is not dropped.
    pub(crate) async fn follow_notices(&self, mut notices: Box<dyn Notices>) {
        let mut under_way = JoinSet::new();
        let mut is_deaf = false;
        loop {
            match notices.next().await {
                Ok(Heard::Notice(notice)) => self.heed(notice, &mut under_way).await,
                Ok(Heard::Gap) => {
                    is_deaf = false;
                    events::heard_again();
                    self.look_through().await;
                }
                Err(error) => {
                    events::deaf(&error, !is_deaf);
                    is_deaf = true;
                    sleep(NOTICE_PAUSE).await;
                }
            }
        }
    }

    async fn heed(&self, notice: Notice, under_way: &mut JoinSet<()>) {
        let Notice { key, text } = notice;
        let module_id = (!key.name.is_empty()).then_some(&*key.name);
        let Ok(name) = IdentityName::new(&key.owner, module_id) else { return };
        let is_queue = key.collection == Collection::CommandQueue;
        if is_queue {
            // In this order: a session that is not seen below finds the note.
            self.shared.noted.push(&key.owner);
        }
        let listener = if is_queue { self.listener(&name) } else { self.desired_listener(&name) };
        if listener.is_none() {
            return;
        }
        events::notice();
        while under_way.try_join_next().is_some() {}
        if under_way.len() >= NOTED_AT_ONCE {
            under_way.join_next().await;
        }
        let control = self.clone();
        under_way.spawn(async move {
            match key.collection {
                Collection::CommandQueue => control.deliver(&name).await,
                _ => control.tell_desired_of(&name, &Paths::from_text(&text)).await,
            }
        });
    }

    /// Delivers to the sessions of this node what waits in any queue.
    async fn look_through(&self) {
        while let Err(error) = self.deliver_all().await {
            events::store_failed(&error);
            sleep(NOTICE_PAUSE).await;
        }
    }

    async fn deliver_all(&self) -> Result<(), RegistryError> {
        let mut scan = Scan { collection: Collection::CommandQueue, owner: None, after: None, count: ROWS_MAX };
        loop {
            let page = self.shared.documents.scan(&scan).await?;
            let Some(last) = page.last() else { return Ok(()) };
            scan.after = Some((last.key.owner.clone(), last.key.name.clone()));
            let devices = page.iter().filter_map(|document| IdentityName::new(&document.key.owner, None).ok());
            for device in devices.filter(|device| self.listener(device).is_some()) {
                self.deliver(&device).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_notes_are_remembered_and_no_more() {
        let noted = Noted::default();
        assert!(!noted.contains("d"));
        noted.push("d");
        assert!(noted.contains("d"));
        for number in 0..NOTED_QUEUES_KEPT {
            noted.push(&format!("d{number}"));
        }
        assert!(!noted.contains("d") && noted.contains("d0"));
        assert_eq!(noted.latest().len(), NOTED_QUEUES_KEPT);
    }
}
