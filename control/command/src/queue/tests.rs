//! The queue against a plain ledger of what its steps have told: random interleavings of all inputs, and the table of `step` by hand.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::feedback::OutcomeStatus;
use crate::message::Draft;

const SECOND: i64 = 1_000;

fn session(slot: u32) -> SessionKey {
    SessionKey { shard: 0, slot, generation: 1 }
}

fn message(id: &str, ack: Ack, expiry: Option<i64>) -> Message {
    let draft = Draft { message_id: Some(id.into()), ack, expiry: expiry.map(Timestamp), ..Draft::default() };
    Message::new(draft, 0).unwrap()
}

fn take(holder: Holder, count: usize) -> Take {
    Take { holder, count, window: 3, lock_seconds: 10, salt: 5 }
}

/// A queue whose steps are all looked at by the ledger.
struct Watched {
    config: CommandConfig,
    queue: Queue,
    now: i64,
    /// What there should be, by sequence number: (ack, expiry, lock).
    ledger: BTreeMap<u64, Noted>,
    /// Every token that was ever handed out, with its message.
    tokens: Vec<(LockToken, u64)>,
    outcomes: Vec<(u64, OutcomeStatus)>,
}

#[derive(Debug, Clone, Copy)]
struct Noted {
    ack: Ack,
    expiry: i64,
    lock: Option<Lock>,
    count: u32,
}

impl Watched {
    fn new(config: CommandConfig) -> Self {
        let (ledger, tokens, outcomes) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { config, queue: Queue::new(), now: 0, ledger, tokens, outcomes }
    }

    fn enqueue(&mut self, ack: Ack, life: Option<i64>) -> Result<Step, CommandError> {
        let sequence = self.queue.next_sequence;
        let message = message(&sequence.to_string(), ack, life.map(|life| self.now + life));
        let step = self.step(Input::Enqueue(&message))?;
        Ok(step)
    }

    /// Takes a step, compares all that it says with the ledger, and stores the queue and reads it back.
    fn step(&mut self, input: Input<'_>) -> Result<Step, CommandError> {
        let expected = self.expect(input);
        let result = self.queue.step(input, &self.config, Timestamp(self.now));
        let Ok(step) = result else {
            assert_eq!(result.clone().err(), expected.err(), "{input:?}");
            return result;
        };
        let (ledger, left) = expected.unwrap();
        let mut told = step.removed.clone();
        told.sort_unstable();
        let gone: Vec<u64> = left.iter().filter(|(_, was_stored, _)| *was_stored).map(|&(number, ..)| number).collect();
        assert_eq!(told, gone, "each message leaves once: {input:?}");
        let mut heard: Vec<_> =
            step.outcomes.iter().map(|outcome| (outcome.message_id.parse().unwrap(), outcome.status)).collect();
        heard.sort_by_key(|&(number, _): &(u64, _)| number);
        let asked: Vec<_> = left.iter().filter_map(|&(number, _, status)| Some((number, status?))).collect();
        assert_eq!(heard, asked, "feedback exactly when asked: {input:?}");
        self.outcomes.extend(heard);
        self.ledger = ledger;
        self.note_deliveries(input, &step);
        self.compare(&step.queue);
        self.queue = Queue::decode(&step.queue.encode()).unwrap();
        assert_eq!(self.queue, step.queue);
        Ok(step)
    }

    /// The ledger after an input, and what leaves: (number, whether its body was stored, the status that is told).
    #[expect(clippy::type_complexity, reason = "a test's own")]
    fn expect(
        &self,
        input: Input<'_>,
    ) -> Result<(BTreeMap<u64, Noted>, Vec<(u64, bool, Option<OutcomeStatus>)>), CommandError> {
        let mut ledger = self.ledger.clone();
        let mut left = Vec::new();
        let leave = |left: &mut Vec<_>, number, noted: Noted, is_stored, status| {
            let is_told = noted.ack.asks_for(status == OutcomeStatus::Success);
            left.push((number, is_stored, is_told.then_some(status)));
        };
        if matches!(input, Input::Purge) {
            for (number, noted) in std::mem::take(&mut ledger) {
                leave(&mut left, number, noted, true, OutcomeStatus::Purged);
            }
            return Ok((ledger, left));
        }
        for noted in ledger.values_mut().filter(|noted| noted.lock.is_some_and(|lock| lock.until.0 <= self.now)) {
            noted.lock = None;
            noted.count += u32::from(self.config.lock_expiry_counts);
        }
        let sweep = |ledger: &mut BTreeMap<u64, Noted>, left: &mut Vec<_>| {
            ledger.retain(|&number, noted| {
                let is_worn = noted.count >= self.config.delivery_count_max;
                let is_over = noted.lock.is_none() && (is_worn || noted.expiry <= self.now);
                let status = if is_worn { OutcomeStatus::DeliveryCountExceeded } else { OutcomeStatus::Expired };
                if is_over {
                    leave(left, number, *noted, true, status);
                }
                !is_over
            });
        };
        sweep(&mut ledger, &mut left);
        let held = |ledger: &BTreeMap<u64, Noted>, token| {
            let found = ledger.iter().find(|(_, noted)| noted.lock.is_some_and(|lock| lock.token == token));
            found.map(|(&number, _)| number).ok_or(CommandError::LockLost)
        };
        match input {
            Input::Enqueue(message) => {
                if ledger.len() >= self.config.depth_max {
                    return Err(CommandError::QueueFull);
                }
                let expiry = message.expiry().map_or(self.now + 3_600 * SECOND, |expiry| expiry.0);
                let noted = Noted { ack: message.ack(), expiry, lock: None, count: 0 };
                if expiry <= self.now {
                    leave(&mut left, self.queue.next_sequence, noted, false, OutcomeStatus::Expired);
                } else {
                    ledger.insert(self.queue.next_sequence, noted);
                }
            }
            Input::Complete(token) | Input::Reject(token) => {
                let number = held(&ledger, token)?;
                let is_done = matches!(input, Input::Complete(_));
                let status = if is_done { OutcomeStatus::Success } else { OutcomeStatus::Rejected };
                leave(&mut left, number, ledger.remove(&number).unwrap(), true, status);
            }
            Input::Abandon(token) | Input::Release(token) => {
                let noted = ledger.get_mut(&held(&ledger, token)?).unwrap();
                noted.lock = None;
                noted.count += u32::from(matches!(input, Input::Abandon(_)));
            }
            Input::SessionEnded(ended) => ledger.values_mut().for_each(|noted| {
                noted.lock = noted.lock.filter(|lock| lock.holder != Holder::Session(ended));
            }),
            Input::SessionOpened(opened) => ledger.values_mut().for_each(|noted| {
                noted.lock = noted.lock.filter(|lock| [Holder::Http, Holder::Session(opened)].contains(&lock.holder));
            }),
            Input::Deliver(_) | Input::Purge | Input::Settle => {}
        }
        sweep(&mut ledger, &mut left);
        left.sort_by_key(|&(number, ..)| number);
        Ok((ledger, left))
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

#[derive(Debug, Clone, Copy)]
enum Act {
    Enqueue(Ack, Option<i64>),
    Deliver(Holder, usize),
    /// The kind of end, and for which of all tokens so far, the newest first.
    End(u8, usize),
    SessionEnded(u32),
    SessionOpened(u32),
    Purge,
    Pass(i64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let ack = prop_oneof![Just(Ack::None), Just(Ack::Positive), Just(Ack::Negative), Just(Ack::Full)];
    let life = proptest::option::of(-SECOND..30 * SECOND);
    let holder = prop_oneof![Just(Holder::Http), (0..2_u32).prop_map(|slot| Holder::Session(session(slot)))];
    let act = prop_oneof![
        8 => (ack, life).prop_map(|(ack, life)| Act::Enqueue(ack, life)),
        8 => (holder, 0..4_usize).prop_map(|(holder, count)| Act::Deliver(holder, count)),
        8 => (0..4_u8, 0..8_usize).prop_map(|(kind, which)| Act::End(kind, which)),
        1 => (0..2_u32).prop_map(Act::SessionEnded),
        1 => (0..2_u32).prop_map(Act::SessionOpened),
        1 => Just(Act::Purge),
        4 => (-SECOND..12 * SECOND).prop_map(Act::Pass),
    ];
    proptest::collection::vec(act, 0..120)
}

proptest! {
    #[test]
    fn whatever_happens_the_ledger_agrees(acts in acts(), lock_expiry_counts: bool) {
        let config =
            CommandConfig { depth_max: 6, delivery_count_max: 3, lock_expiry_counts, ..CommandConfig::default() };
        let mut watched = Watched::new(config);
        let mut done = Vec::new();
        for act in acts {
            // The ledger knows what is refused, and compares.
            drop(match act {
                Act::Enqueue(ack, life) => watched.enqueue(ack, life),
                Act::Deliver(holder, count) => watched.step(Input::Deliver(take(holder, count))),
                Act::End(kind, which) => {
                    let Some(&(token, number)) = watched.tokens.iter().rev().nth(which) else { continue };
                    let end = [Input::Complete, Input::Reject, Input::Abandon, Input::Release][usize::from(kind)];
                    let ended = watched.step(end(token));
                    if kind == 0 && ended.is_ok() {
                        prop_assert!(!done.contains(&number), "completed twice");
                        done.push(number);
                    }
                    ended
                }
                Act::SessionEnded(slot) => watched.step(Input::SessionEnded(session(slot))),
                Act::SessionOpened(slot) => watched.step(Input::SessionOpened(session(slot))),
                Act::Purge => watched.step(Input::Purge),
                Act::Pass(time) => {
                    watched.now += time;
                    watched.step(Input::Settle)
                }
            });
        }
        let mut told: Vec<u64> = watched.outcomes.iter().map(|&(number, _)| number).collect();
        told.sort_unstable();
        prop_assert!(told.is_sorted_by(|earlier, later| earlier < later), "one outcome at most");
    }
}

fn sequences(step: &Step) -> Vec<u64> {
    step.delivered.iter().map(|delivery| delivery.sequence).collect()
}

#[test]
fn a_lost_connection_gives_everything_back_in_order() {
    let mut watched = Watched::new(CommandConfig::default());
    (0..4).for_each(|_| assert!(watched.enqueue(Ack::None, None).is_ok()));
    let first = watched.step(Input::Deliver(take(Holder::Session(session(1)), 9))).unwrap();
    assert_eq!(sequences(&first), [1, 2, 3], "the window is three");
    watched.step(Input::Complete(first.delivered[1].token)).unwrap();
    watched.step(Input::SessionEnded(session(1))).unwrap();
    let second = watched.step(Input::Deliver(take(Holder::Session(session(2)), 9))).unwrap();
    assert_eq!(sequences(&second), [1, 3, 4]);
    assert_eq!(watched.step(Input::Complete(first.delivered[0].token)), Err(CommandError::LockLost));
    assert!(second.delivered.iter().all(|delivery| delivery.delivery_count == 0), "nobody abandoned anything");
}

#[test]
fn a_new_session_takes_what_a_forgotten_one_held() {
    let mut watched = Watched::new(CommandConfig::default());
    (0..2).for_each(|_| assert!(watched.enqueue(Ack::None, None).is_ok()));
    watched.step(Input::Deliver(take(Holder::Http, 1))).unwrap();
    watched.step(Input::Deliver(take(Holder::Session(session(1)), 1))).unwrap();
    watched.step(Input::SessionOpened(session(2))).unwrap();
    let taken = watched.step(Input::Deliver(take(Holder::Session(session(2)), 9))).unwrap();
    assert_eq!(sequences(&taken), [2], "what somebody took by HTTP stays locked");
}

#[test]
fn the_fifty_first_message_is_refused_until_one_has_gone() {
    let mut watched = Watched::new(CommandConfig::default());
    (0..50).for_each(|_| assert!(watched.enqueue(Ack::None, None).is_ok()));
    assert_eq!(watched.enqueue(Ack::None, None), Err(CommandError::QueueFull));
    let taken = watched.step(Input::Deliver(take(Holder::Http, 1))).unwrap();
    assert_eq!(watched.enqueue(Ack::None, None), Err(CommandError::QueueFull), "a locked one counts");
    watched.step(Input::Complete(taken.delivered[0].token)).unwrap();
    assert_eq!(watched.enqueue(Ack::None, None).unwrap().stored, Some(51));
}

#[test]
fn a_message_is_handed_out_ten_times_at_most() {
    let mut watched = Watched::new(CommandConfig::default());
    watched.enqueue(Ack::Negative, None).unwrap();
    for round in 0..10 {
        let taken = watched.step(Input::Deliver(take(Holder::Http, 1))).unwrap();
        assert_eq!(taken.delivered[0].delivery_count, round);
        watched.step(Input::Abandon(taken.delivered[0].token)).unwrap();
    }
    assert!(watched.queue.is_empty());
    assert_eq!(watched.outcomes, [(1, OutcomeStatus::DeliveryCountExceeded)]);
}

#[test]
fn an_expired_lock_counts_only_if_so_configured() {
    for (lock_expiry_counts, count) in [(false, 0), (true, 1)] {
        let mut watched = Watched::new(CommandConfig { lock_expiry_counts, ..CommandConfig::default() });
        watched.enqueue(Ack::None, None).unwrap();
        let taken = watched.step(Input::Deliver(take(Holder::Http, 1))).unwrap();
        watched.now = 10 * SECOND;
        assert_eq!(watched.step(Input::Complete(taken.delivered[0].token)), Err(CommandError::LockLost));
        let again = watched.step(Input::Deliver(take(Holder::Http, 1))).unwrap();
        assert_eq!(again.delivered[0].delivery_count, count);
    }
}

#[test]
fn whoever_holds_a_message_may_finish_it_though_it_expires() {
    let mut watched = Watched::new(CommandConfig::default());
    watched.enqueue(Ack::Full, Some(SECOND)).unwrap();
    watched.enqueue(Ack::Full, Some(SECOND)).unwrap();
    let taken = watched.step(Input::Deliver(take(Holder::Http, 1))).unwrap();
    watched.now = 2 * SECOND;
    let done = watched.step(Input::Complete(taken.delivered[0].token)).unwrap();
    let told: Vec<_> = done.outcomes.iter().map(|outcome| (outcome.status, outcome.at)).collect();
    assert_eq!(told, [(OutcomeStatus::Expired, Timestamp(SECOND)), (OutcomeStatus::Success, Timestamp(2 * SECOND))]);
}

#[test]
fn a_message_that_comes_too_late_is_not_stored() {
    let mut watched = Watched::new(CommandConfig::default());
    let step = watched.enqueue(Ack::Negative, Some(0)).unwrap();
    assert_eq!((step.stored, step.removed.len(), step.outcomes.len()), (None, 0, 1));
    assert_eq!(watched.enqueue(Ack::None, None).unwrap().stored, Some(2), "its number is not used again");
}

#[test]
fn a_purge_tells_those_who_asked_and_ends_all_locks() {
    let mut watched = Watched::new(CommandConfig::default());
    for ack in [Ack::None, Ack::Positive, Ack::Negative, Ack::Full] {
        watched.enqueue(ack, None).unwrap();
    }
    let taken = watched.step(Input::Deliver(take(Holder::Http, 1))).unwrap();
    assert_eq!(watched.step(Input::Purge).unwrap().removed, [1, 2, 3, 4]);
    assert_eq!(watched.outcomes, [(3, OutcomeStatus::Purged), (4, OutcomeStatus::Purged)]);
    assert_eq!(watched.step(Input::Complete(taken.delivered[0].token)), Err(CommandError::LockLost));
}

#[test]
fn tokens_of_a_deleted_devices_queue_fit_no_other() {
    let mut tokens = [1, 2].map(|salt| {
        let mut watched = Watched::new(CommandConfig::default());
        watched.enqueue(Ack::None, None).unwrap();
        let taken = watched.step(Input::Deliver(Take { salt, ..take(Holder::Http, 1) })).unwrap();
        taken.delivered[0].token
    });
    tokens.sort_unstable();
    assert!(tokens[0] < tokens[1]);
}
