//! The queue against a plain ledger, in random interleavings of all inputs, and the table of `step` by hand.

use proptest::prelude::*;

use super::*;
use crate::feedback::OutcomeStatus;
use crate::message::Draft;

mod ledger;

use ledger::Watched;

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

/// Times are whole seconds, so that things fall on the same instant.
fn acts() -> impl Strategy<Value = Vec<Act>> {
    let ack = prop_oneof![Just(Ack::None), Just(Ack::Positive), Just(Ack::Negative), Just(Ack::Full)];
    let life = proptest::option::of((-1..30_i64).prop_map(|seconds| seconds * SECOND));
    let holder = prop_oneof![Just(Holder::Http), (0..2_u32).prop_map(|slot| Holder::Session(session(slot)))];
    let act = prop_oneof![
        8 => (ack, life).prop_map(|(ack, life)| Act::Enqueue(ack, life)),
        8 => (holder, 0..4_usize).prop_map(|(holder, count)| Act::Deliver(holder, count)),
        8 => (0..4_u8, 0..8_usize).prop_map(|(kind, which)| Act::End(kind, which)),
        1 => (0..2_u32).prop_map(Act::SessionEnded),
        1 => (0..2_u32).prop_map(Act::SessionOpened),
        1 => Just(Act::Purge),
        4 => (-1..12_i64).prop_map(|seconds| Act::Pass(seconds * SECOND)),
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

#[test]
fn locks_last_as_long_as_asked_within_bounds() {
    let config = CommandConfig::default();
    for (asked, seconds) in [(None, 60), (Some(90), 90), (Some(0), 5), (Some(u64::MAX), 300)] {
        let queue =
            Queue::new().step(Input::Enqueue(&message("m", Ack::None, None)), &config, Timestamp(0)).unwrap().queue;
        let taken = queue.step(Input::Deliver(Take::by_http(asked, &config, 1)), &config, Timestamp(0)).unwrap();
        assert_eq!(taken.queue.next_deadline(), Some(Timestamp(seconds * SECOND)));
    }
    let take = Take::by_session(session(1), &config, 1);
    assert_eq!((take.count, take.window, take.lock_seconds), (16, 16, 60));
}
