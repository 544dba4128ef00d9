//! What a queue should be after each input, kept as a plain table and written without looking at how the queue does it.

use std::collections::BTreeMap;

use super::{SECOND, message};
use crate::config::CommandConfig;
use crate::error::CommandError;
use crate::feedback::OutcomeStatus;
use crate::message::Ack;
use crate::queue::{Holder, Input, Lock, LockToken, Queue, Step};
use millrace_model::Timestamp;

/// A queue whose steps are all compared with the ledger.
pub(super) struct Watched {
    pub(super) config: CommandConfig,
    pub(super) queue: Queue,
    pub(super) now: i64,
    ledger: Ledger,
    /// Every token that was ever handed out, with its message.
    pub(super) tokens: Vec<(LockToken, u64)>,
    /// What senders were told.
    pub(super) outcomes: Vec<(u64, OutcomeStatus)>,
}

type Ledger = BTreeMap<u64, Noted>;

/// One message that should be there.
#[derive(Debug, Clone, Copy)]
struct Noted {
    ack: Ack,
    expiry: i64,
    lock: Option<Lock>,
    count: u32,
}

/// One message that should leave.
#[derive(Debug)]
struct Left {
    sequence: u64,
    /// It had a body to be removed.
    was_stored: bool,
    /// What its sender is told.
    told: Option<OutcomeStatus>,
}

impl Left {
    fn new(sequence: u64, noted: Noted, was_stored: bool, status: OutcomeStatus) -> Self {
        let is_told = noted.ack.asks_for(status == OutcomeStatus::Success);
        Self { sequence, was_stored, told: is_told.then_some(status) }
    }
}

impl Watched {
    pub(super) fn new(config: CommandConfig) -> Self {
        let (ledger, tokens, outcomes) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { config, queue: Queue::new(), now: 0, ledger, tokens, outcomes }
    }

    pub(super) fn enqueue(&mut self, ack: Ack, life: Option<i64>) -> Result<Step, CommandError> {
        let id = self.queue.next_sequence.to_string();
        let message = message(&id, ack, life.map(|life| self.now + life));
        self.step(Input::Enqueue(&message))
    }

    /// Takes a step, compares all that it says with the ledger, and stores the queue and reads it back.
    pub(super) fn step(&mut self, input: Input<'_>) -> Result<Step, CommandError> {
        let expected = self.expect(input);
        let result = self.queue.step(input, &self.config, Timestamp(self.now));
        let Ok(step) = result else {
            assert_eq!(result.clone().err(), expected.err(), "{input:?}");
            return result;
        };
        let (ledger, left) = expected.expect("the ledger would have refused it");
        self.compare_left(&step, &left);
        self.ledger = ledger;
        self.note_deliveries(input, &step);
        self.compare(&step.queue);
        self.queue = Queue::decode(&step.queue.encode()).unwrap();
        assert_eq!(self.queue, step.queue);
        Ok(step)
    }

    /// The ledger after an input, deliveries left out, and what leaves.
    fn expect(&self, input: Input<'_>) -> Result<(Ledger, Vec<Left>), CommandError> {
        let mut ledger = self.ledger.clone();
        if matches!(input, Input::Purge) {
            let purged = ledger.iter().map(|(&number, &noted)| Left::new(number, noted, true, OutcomeStatus::Purged));
            return Ok((BTreeMap::new(), purged.collect()));
        }
        for noted in ledger.values_mut().filter(|noted| noted.lock.is_some_and(|lock| lock.until.0 <= self.now)) {
            noted.lock = None;
            noted.count += u32::from(self.config.lock_expiry_counts);
        }
        let mut left = self.sweep(&mut ledger);
        left.extend(self.carry_out(input, &mut ledger)?);
        left.extend(self.sweep(&mut ledger));
        left.sort_by_key(|left| left.sequence);
        Ok((ledger, left))
    }

    /// What waits in vain leaves.
    fn sweep(&self, ledger: &mut Ledger) -> Vec<Left> {
        let is_worn = |noted: &Noted| noted.count >= self.config.delivery_count_max;
        let is_over = |noted: &Noted| noted.lock.is_none() && (is_worn(noted) || noted.expiry <= self.now);
        let over: Vec<u64> = ledger.iter().filter(|(_, noted)| is_over(noted)).map(|(&number, _)| number).collect();
        let leave = |number| {
            let noted = ledger.remove(&number).unwrap();
            let worn = is_worn(&noted);
            let status = if worn { OutcomeStatus::DeliveryCountExceeded } else { OutcomeStatus::Expired };
            Left::new(number, noted, true, status)
        };
        over.into_iter().map(leave).collect()
    }

    /// What the input itself does, and which message leaves by it.
    fn carry_out(&self, input: Input<'_>, ledger: &mut Ledger) -> Result<Option<Left>, CommandError> {
        match input {
            Input::Enqueue(message) => {
                if ledger.len() >= self.config.depth_max {
                    return Err(CommandError::QueueFull);
                }
                let expiry = message.expiry().map_or(self.now + 3_600 * SECOND, |expiry| expiry.0);
                let noted = Noted { ack: message.ack(), expiry, lock: None, count: 0 };
                if expiry <= self.now {
                    return Ok(Some(Left::new(self.queue.next_sequence, noted, false, OutcomeStatus::Expired)));
                }
                ledger.insert(self.queue.next_sequence, noted);
            }
            Input::Complete(token) | Input::Reject(token) => {
                let number = held(ledger, token)?;
                let is_done = matches!(input, Input::Complete(_));
                let status = if is_done { OutcomeStatus::Success } else { OutcomeStatus::Rejected };
                return Ok(Some(Left::new(number, ledger.remove(&number).unwrap(), true, status)));
            }
            Input::Abandon(token) | Input::Release(token) => {
                let number = held(ledger, token)?;
                let noted = ledger.get_mut(&number).unwrap();
                noted.lock = None;
                noted.count += u32::from(matches!(input, Input::Abandon(_)));
            }
            Input::SessionEnded(ended) => keep_locks(ledger, |holder| holder != Holder::Session(ended)),
            Input::SessionOpened(opened) => {
                keep_locks(ledger, |holder| [Holder::Http, Holder::Session(opened)].contains(&holder));
            }
            Input::Deliver(_) | Input::Purge | Input::Settle => {}
        }
        Ok(None)
    }

    fn compare_left(&mut self, step: &Step, left: &[Left]) {
        let mut removed = step.removed.clone();
        removed.sort_unstable();
        let stored = left.iter().filter(|left| left.was_stored).map(|left| left.sequence);
        assert_eq!(removed, stored.collect::<Vec<_>>(), "each message leaves once");
        let outcomes = step.outcomes.iter().map(|outcome| (outcome.message_id.parse().unwrap(), outcome.status));
        let mut heard: Vec<(u64, OutcomeStatus)> = outcomes.collect();
        heard.sort_by_key(|&(number, _)| number);
        let asked: Vec<_> = left.iter().filter_map(|left| Some((left.sequence, left.told?))).collect();
        assert_eq!(heard, asked, "feedback exactly when asked");
        self.outcomes.extend(heard);
    }

    /// Only the first that wait are handed out, in order, under tokens that never were.
    fn note_deliveries(&mut self, input: Input<'_>, step: &Step) {
        let Input::Deliver(take) = input else {
            assert!(step.delivered.is_empty());
            return;
        };
        let is_held = |noted: &&Noted| noted.lock.is_some_and(|lock| lock.holder == take.holder);
        let room = take.window.saturating_sub(self.ledger.values().filter(is_held).count()).min(take.count);
        let waiting = self.ledger.iter().filter(|(_, noted)| noted.lock.is_none()).map(|(&number, _)| number);
        let expected: Vec<u64> = waiting.take(room).collect();
        assert_eq!(step.delivered.iter().map(|delivery| delivery.sequence).collect::<Vec<_>>(), expected);
        for delivery in &step.delivered {
            let noted = self.ledger.get_mut(&delivery.sequence).unwrap();
            assert!(noted.expiry > self.now && delivery.delivery_count == noted.count);
            assert!(self.tokens.iter().all(|&(token, _)| token != delivery.token), "a token comes once");
            let until = Timestamp(self.now + 10 * SECOND);
            noted.lock = Some(Lock { token: delivery.token, until, holder: take.holder });
            self.tokens.push((delivery.token, delivery.sequence));
        }
    }

    fn compare(&self, queue: &Queue) {
        let found: Vec<_> =
            queue.entries().iter().map(|entry| (entry.sequence, entry.lock, entry.delivery_count)).collect();
        let expected: Vec<_> = self.ledger.iter().map(|(&number, noted)| (number, noted.lock, noted.count)).collect();
        assert_eq!(found, expected, "nothing is lost, nothing is there twice");
        assert!(queue.len() <= self.config.depth_max);
        assert!(queue.entries().iter().all(|entry| entry.delivery_count < self.config.delivery_count_max));
        let next = self.ledger.values().map(|noted| noted.lock.map_or(noted.expiry, |lock| lock.until.0)).min();
        assert_eq!(queue.next_deadline(), next.map(Timestamp));
        assert!(next.is_none_or(|next| next > self.now), "what is due is done");
        assert_eq!(queue.has_waiting(), self.ledger.values().any(|noted| noted.lock.is_none()));
    }
}

fn held(ledger: &Ledger, token: LockToken) -> Result<u64, CommandError> {
    let found = ledger.iter().find(|(_, noted)| noted.lock.is_some_and(|lock| lock.token == token));
    found.map(|(&number, _)| number).ok_or(CommandError::LockLost)
}

fn keep_locks(ledger: &mut Ledger, is_kept: impl Fn(Holder) -> bool) {
    ledger.values_mut().for_each(|noted| noted.lock = noted.lock.filter(|lock| is_kept(lock.holder)));
}
