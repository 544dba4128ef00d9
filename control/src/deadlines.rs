//! When which command queue has something to do by itself: a lock or a message runs out.
//! - Invariants: a device whose queue holds messages is in here, others are not. After a start all of them are read from the store once.
//! - Limits: as many entries as queues with messages, about 150 bytes each.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_model::Timestamp;
use tokio::sync::Notify;

#[derive(Default)]
pub(crate) struct Deadlines {
    ordered: Mutex<Ordered>,
    earlier: Notify,
}

#[derive(Default)]
struct Ordered {
    by_time: BTreeSet<(Timestamp, Arc<str>)>,
    by_device: HashMap<Arc<str>, Timestamp>,
}

impl Deadlines {
    /// Says when a device's queue is next; `None`: it is empty.
    pub(crate) fn set(&self, device_id: &str, at: Option<Timestamp>) {
        let mut ordered = self.ordered();
        let first = ordered.by_time.first().map(|(time, _)| *time);
        if let Some((device, old)) = ordered.by_device.remove_entry(device_id) {
            ordered.by_time.remove(&(old, device));
        }
        let Some(at) = at else { return };
        let device: Arc<str> = device_id.into();
        ordered.by_time.insert((at, Arc::clone(&device)));
        ordered.by_device.insert(device, at);
        if first.is_none_or(|first| at < first) {
            self.earlier.notify_one();
        }
    }

    /// Whether the device's queue holds messages, as far as this node knows.
    pub(crate) fn contains(&self, device_id: &str) -> bool {
        self.ordered().by_device.contains_key(device_id)
    }

    /// The earliest.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.ordered().by_time.first().map(|(time, _)| *time)
    }

    /// Waits until an earlier one may have come.
    pub(crate) async fn changed(&self) {
        self.earlier.notified().await;
    }

    /// The devices whose time has come, at most `count`. They stay in until they are set anew.
    pub(crate) fn due(&self, now: Timestamp, count: usize) -> Vec<Arc<str>> {
        let ordered = self.ordered();
        let due = ordered.by_time.iter().take_while(|(time, _)| *time <= now);
        due.take(count).map(|(_, device)| Arc::clone(device)).collect()
    }

    // No code runs under this lock that could leave one half changed.
    fn ordered(&self) -> MutexGuard<'_, Ordered> {
        self.ordered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_has_one_deadline_and_the_earliest_comes_first() {
        let deadlines = Deadlines::default();
        deadlines.set("a", Some(Timestamp(30)));
        deadlines.set("b", Some(Timestamp(20)));
        deadlines.set("a", Some(Timestamp(10)));
        assert_eq!(deadlines.next(), Some(Timestamp(10)));
        let due = deadlines.due(Timestamp(20), 10);
        assert_eq!(due.iter().map(|device| &**device).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(deadlines.due(Timestamp(20), 1).len(), 1);
        deadlines.set("a", None);
        assert!(!deadlines.contains("a") && deadlines.contains("b"));
        deadlines.set("b", None);
        assert_eq!(deadlines.next(), None);
        assert!(deadlines.ordered().by_device.is_empty());
    }
}
