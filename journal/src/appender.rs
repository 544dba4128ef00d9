//! The way in: a bounded queue of sealed batches between a shard and its journal's writer.
//! - Invariants: a batch stays in the queue until it is durable, so the queue is at once the bound on what is in flight and the
//!   memory out of which a failed segment is written anew.
//! - Limits: [`crate::JournalConfig::queue_batches`]; when full, the batch is given back and the shard stops reading its sockets.
//! - Hot path: one lock a batch, none a message; the writer is woken only when it sleeps.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use millrace_model::{Batch, Offset};

use crate::limits::{FEW_MESSAGES, GROUP_BATCHES_MAX, GROUP_BYTES_MAX, HURRY_BYTES, RAW_BYTES_MAX};
use crate::shared::Shared;

/// The queue is full; here is the batch back.
#[derive(Debug, thiserror::Error)]
#[error("the journal's queue is full")]
pub struct Full(pub Batch);

/// Appends batches to one shard's journal.
#[derive(Debug)]
pub struct Appender {
    shared: Arc<Shared>,
}

impl Appender {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The offset that the next batch has to begin with.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.shared.queue.lock().next
    }

    /// Hands a batch to the writer. Never blocks; the batch is safe once [`crate::Journal::durable`] has reached its end.
    /// An empty batch is accepted and forgotten.
    ///
    /// # Errors
    /// [`Full`] when too many batches wait for the disk.
    ///
    /// # Panics
    /// When the batch does not begin at [`Self::next_offset`] or is larger than any record may be: a broken promise of the caller.
    #[expect(
        clippy::result_large_err,
        reason = "the batch goes back by value, so that nothing is allocated when the queue is full"
    )]
    pub fn append(&mut self, batch: Batch) -> Result<Arc<Batch>, Full> {
        self.shared.queue.push(batch)
    }

    /// Whether [`Self::append`] would refuse.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let queue = &self.shared.queue;
        queue.lock().batches.len() >= queue.batches_max
    }
}

/// What the writer sleeps for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sleep {
    /// It does not.
    Awake,
    /// Any batch.
    ForBatch,
    /// The next sync that many messages may have; until then only so many bytes count that the interval no longer matters.
    ForInterval,
    /// Many messages, or the next sync that few may have.
    ForMore,
    /// Only for being asked to trim or to close.
    ForRequest,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Queue {
    batches_max: usize,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug)]
struct State {
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
    next: Offset,
    sleep: Sleep,
    trim_asked: bool,
    closing: bool,
}

impl State {
    /// Whether so little waits that it may wait a little longer for company.
    fn are_few(&self) -> bool {
        let first = self.batches.front().map_or(self.next, |batch| batch.base());
        self.next.0.saturating_sub(first.0) < FEW_MESSAGES
    }

    fn is_urgent(&self, batches_max: usize) -> bool {
        self.bytes >= HURRY_BYTES || self.batches.len() >= batches_max
    }
}

/// When the next sync is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    /// If many messages wait.
    pub(crate) many: Instant,
    /// If few do.
    pub(crate) few: Instant,
    /// Whether the group before was of many messages. Then more will come before the next sync is due, and nobody has to wake the
    /// writer for the first of them.
    pub(crate) expects_more: bool,
}

impl Queue {
    pub(crate) fn new(batches_max: usize, next: Offset) -> Self {
        let state =
            State { batches: VecDeque::new(), bytes: 0, next, sleep: Sleep::Awake, trim_asked: false, closing: false };
        Self { batches_max: batches_max.max(1), state: Mutex::new(state), wake: Condvar::new() }
    }

    #[expect(
        clippy::result_large_err,
        reason = "the batch goes back by value, so that nothing is allocated when the queue is full"
    )]
    pub(crate) fn push(&self, batch: Batch) -> Result<Arc<Batch>, Full> {
        let mut state = self.lock();
        assert_eq!(batch.base(), state.next, "a batch has to begin where the one before it ended");
        assert!(batch.size_bytes() <= RAW_BYTES_MAX / 2, "a batch is bounded by its builder");
        if batch.is_empty() {
            return Ok(Arc::new(batch));
        }
        if state.batches.len() >= self.batches_max {
            return Err(Full(batch));
        }
        let batch = Arc::new(batch);
        let were_few = state.are_few();
        state.next = batch.end();
        state.bytes = state.bytes.saturating_add(batch.size_bytes());
        state.batches.push_back(Arc::clone(&batch));
        let wake = match state.sleep {
            Sleep::ForBatch => true,
            Sleep::ForInterval => state.is_urgent(self.batches_max),
            Sleep::ForMore => state.is_urgent(self.batches_max) || (were_few && !state.are_few()),
            Sleep::Awake | Sleep::ForRequest => false,
        };
        drop(state);
        if wake {
            self.wake.notify_one();
        }
        Ok(batch)
    }

    /// Asks the writer to look whether segments may go.
    pub(crate) fn ask_trim(&self) {
        self.lock().trim_asked = true;
        self.wake.notify_one();
    }

    /// Asks the writer to finish.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_one();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    pub(crate) fn next_offset(&self) -> Offset {
        self.lock().next
    }

    /// How many batches are not yet durable.
    pub(crate) fn len(&self) -> usize {
        self.lock().batches.len()
    }

    /// The oldest batches, as many as are written together; they stay in the queue.
    pub(crate) fn group(&self, group: &mut Vec<Arc<Batch>>) {
        group.clear();
        let mut bytes = 0_usize;
        for batch in self.lock().batches.iter().take(GROUP_BATCHES_MAX) {
            bytes = bytes.saturating_add(batch.size_bytes());
            if bytes > GROUP_BYTES_MAX && !group.is_empty() {
                break;
            }
            group.push(Arc::clone(batch));
        }
    }

    /// Takes out batches that are durable now.
    pub(crate) fn pop(&self, count: usize) {
        let mut state = self.lock();
        for _ in 0..count {
            if let Some(batch) = state.batches.pop_front() {
                state.bytes = state.bytes.saturating_sub(batch.size_bytes());
            }
        }
    }

    /// Sleeps until there is something to do.
    pub(crate) fn wait(&self, due: Option<Due>) {
        let mut state = self.lock();
        loop {
            if state.closing || std::mem::take(&mut state.trim_asked) {
                break;
            }
            if state.batches.is_empty() {
                let until =
                    due.filter(|due| due.expects_more).map(|due| due.many.saturating_duration_since(Instant::now()));
                state = match until.filter(|rest| !rest.is_zero()) {
                    Some(rest) => self.sleep(state, Sleep::ForInterval, Some(rest)),
                    None => self.sleep(state, Sleep::ForBatch, None),
                };
                continue;
            }
            let Some(due) = due.filter(|_| !state.is_urgent(self.batches_max)) else {
                break;
            };
            let now = Instant::now();
            let (what_for, until) =
                if now < due.many { (Sleep::ForInterval, due.many) } else { (Sleep::ForMore, due.few) };
            if now >= until || (what_for == Sleep::ForMore && !state.are_few()) {
                break;
            }
            state = self.sleep(state, what_for, Some(until.saturating_duration_since(now)));
        }
    }

    /// Sleeps for `pause`, or until asked to trim or to close.
    pub(crate) fn pause(&self, pause: Duration) {
        let until = Instant::now().checked_add(pause);
        let mut state = self.lock();
        while !state.closing && !std::mem::take(&mut state.trim_asked) {
            let left = until.map(|until| until.saturating_duration_since(Instant::now())).unwrap_or_default();
            if left.is_zero() {
                break;
            }
            state = self.sleep(state, Sleep::ForRequest, Some(left));
        }
    }

    fn sleep<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        what_for: Sleep,
        at_most: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        state.sleep = what_for;
        let mut state = match at_most {
            Some(at_most) => self.wake.wait_timeout(state, at_most).unwrap_or_else(PoisonError::into_inner).0,
            None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
        };
        state.sleep = Sleep::Awake;
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::batch;

    /// A writer that expects more sleeps until a sync is due that never is.
    fn with_sleeper(act: impl FnOnce(&Queue)) {
        let queue = Queue::new(3, Offset(0));
        let far = Instant::now() + Duration::from_secs(3600);
        std::thread::scope(|scope| {
            scope.spawn(|| queue.wait(Some(Due { many: far, few: far, expects_more: true })));
            let deadline = Instant::now() + Duration::from_secs(20);
            while queue.lock().sleep != Sleep::ForInterval {
                assert!(Instant::now() < deadline);
                std::thread::yield_now();
            }
            act(&queue);
        });
    }

    #[test]
    fn a_writer_that_expects_more_is_woken_by_what_cannot_wait() {
        with_sleeper(Queue::close);
        with_sleeper(Queue::ask_trim);
        with_sleeper(|queue| {
            for base in 0..3 {
                queue.push(batch(Offset(base), 1, 10, 1)).unwrap();
            }
        });
    }

    #[test]
    fn a_writer_that_expects_more_in_vain_sleeps_for_any_batch() {
        let queue = Queue::new(3, Offset(0));
        let soon = Instant::now() + Duration::from_millis(5);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.wait(Some(Due { many: soon, few: soon, expects_more: true })));
            let deadline = Instant::now() + Duration::from_secs(20);
            while queue.lock().sleep != Sleep::ForBatch {
                assert!(Instant::now() < deadline);
                std::thread::yield_now();
            }
            assert!(!waiting.is_finished());
            queue.push(batch(Offset(0), 1, 10, 1)).unwrap();
        });
    }
}
