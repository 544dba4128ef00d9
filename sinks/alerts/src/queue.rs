//! The events that wait for one webhook or topic, shared by the sink's thread (puts in) and the worker (takes out).
//! - Invariants: numbers only grow; the front is taken out only when it is delivered or given up. What a frame of the state
//!   file holds is `recorded`; what was recorded and is done is told to the next frame.
//! - Limits: `capacity` events; when full, the oldest that is not under way is given up and handed back.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use millrace_model::Timestamp;
use tokio::sync::Notify;

/// An event on its way to one target.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Its place in this queue.
    pub(crate) number: u64,
    /// When it was decided, on the wall clock; after too long it is given up.
    pub(crate) created: Timestamp,
    /// Id of the event.
    pub(crate) id: String,
    /// Device id, the key in a topic.
    pub(crate) key: String,
    /// The JSON text.
    pub(crate) payload: Vec<u8>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Arc<Waiting>>,
    next: u64,
    /// Events below this number are in the state file.
    recorded: u64,
    done: Vec<u64>,
    /// The target does not take events at the moment.
    resting: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) name: String,
    capacity: usize,
    inner: Mutex<Inner>,
    wake: Notify,
    settled: Condvar,
}

impl Queue {
    /// A queue with the events that an earlier run left.
    pub(crate) fn new(name: &str, capacity: usize, left: Vec<Arc<Waiting>>) -> Self {
        let next = left.last().map_or(0, |last| last.number.saturating_add(1));
        Self {
            name: name.to_owned(),
            capacity: capacity.max(1),
            inner: Mutex::new(Inner { waiting: left.into(), next, recorded: next, ..Inner::default() }),
            wake: Notify::new(),
            settled: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an event in and wakes the worker; answers the event that had to make room.
    pub(crate) fn push(&self, created: Timestamp, id: String, key: String, payload: Vec<u8>) -> Option<Arc<Waiting>> {
        let mut inner = self.lock();
        let number = inner.next;
        inner.next = number.saturating_add(1);
        let mut given_up = None;
        if inner.waiting.len() >= self.capacity {
            // The front may be under way.
            let oldest = usize::from(inner.waiting.len() > 1);
            given_up = inner.waiting.remove(oldest);
        }
        if let Some(gone) = &given_up {
            inner.finish(gone.number);
        }
        inner.waiting.push_back(Arc::new(Waiting { number, created, id, key, payload }));
        drop(inner);
        self.wake.notify_one();
        given_up
    }

    /// The next event to deliver; waits for one.
    pub(crate) async fn front(&self) -> Arc<Waiting> {
        loop {
            if let Some(front) = self.lock().waiting.front() {
                return Arc::clone(front);
            }
            self.wake.notified().await;
        }
    }

    /// Takes an event out that is delivered or given up.
    pub(crate) fn settle(&self, number: u64) {
        let mut inner = self.lock();
        if let Some(at) = inner.waiting.iter().position(|waiting| waiting.number == number) {
            inner.waiting.remove(at);
            inner.finish(number);
        }
        inner.resting = false;
        drop(inner);
        self.settled.notify_all();
    }

    /// Says that the target takes nothing for a while.
    pub(crate) fn rest(&self) {
        self.lock().resting = true;
        self.settled.notify_all();
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// What the next frame has to tell: new events, and numbers of recorded ones that are done. They count as recorded from now on.
    pub(crate) fn record(&self) -> (Vec<Arc<Waiting>>, Vec<u64>) {
        let mut inner = self.lock();
        let recorded = inner.recorded;
        let fresh = inner.waiting.iter().filter(|waiting| waiting.number >= recorded).cloned().collect();
        inner.recorded = inner.next;
        (fresh, std::mem::take(&mut inner.done))
    }

    /// Whether [`Self::record`] would tell something.
    pub(crate) fn has_changed(&self) -> bool {
        let inner = self.lock();
        !inner.done.is_empty() || inner.waiting.back().is_some_and(|last| last.number >= inner.recorded)
    }

    /// Waits until the queue is empty, its target takes nothing, or `deadline` has come.
    pub(crate) fn wait_settled(&self, deadline: Instant) {
        let mut inner = self.lock();
        while !inner.waiting.is_empty() && !inner.resting {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            inner = match self.settled.wait_timeout(inner, left) {
                Ok((inner, _)) => inner,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

impl Inner {
    fn finish(&mut self, number: u64) {
        if number < self.recorded {
            self.done.push(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &Queue, id: &str) -> Option<String> {
        queue.push(Timestamp(0), id.to_owned(), String::new(), Vec::new()).map(|gone| gone.id.clone())
    }

    #[test]
    fn a_full_queue_gives_up_the_oldest_that_is_not_under_way() {
        let queue = Queue::new("q", 2, Vec::new());
        assert_eq!((push(&queue, "a"), push(&queue, "b")), (None, None));
        assert_eq!(push(&queue, "c").as_deref(), Some("b"));
        assert_eq!(queue.len(), 2);
        let one = Queue::new("q", 1, Vec::new());
        push(&one, "a");
        assert_eq!(push(&one, "b").as_deref(), Some("a"));
    }

    #[test]
    fn frames_hear_only_of_what_lasts() {
        let queue = Queue::new("q", 9, Vec::new());
        push(&queue, "a");
        push(&queue, "b");
        queue.settle(0);
        let (fresh, done) = queue.record();
        assert_eq!((fresh.len(), done.len()), (1, 0), "a never has to be written");
        assert!(!queue.has_changed());
        queue.settle(1);
        assert_eq!(queue.record().1, vec![1]);
        let left = Queue::new("q", 9, fresh);
        push(&left, "c");
        assert_eq!(left.record().0[0].number, 2);
    }
}
