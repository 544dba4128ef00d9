//! The method calls under way: which session was asked, who waits for the answer, and until when.
//! - Invariants: each call leaves once: answered by the session that was asked, out of time, given up by its caller, or with its
//!   session. Call numbers are never used again. Nothing is left of a call that has gone.
//! - Limits: so many calls at all, and to one session, as the table is made for.
//! - Errors: [`MethodError::TooMany`].

use std::collections::hash_map::Entry as Place;
use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use millrace_model::door::SessionKey;

use crate::config::CommandConfig;
use crate::error::MethodError;

/// The calls under way. `T` is whatever tells the caller its answer.
#[derive(Debug)]
pub struct MethodTable<T> {
    calls: HashMap<u64, PendingCall<T>>,
    deadlines: BTreeSet<(Instant, u64)>,
    /// Calls of each session, never empty; short enough to be searched.
    sessions: HashMap<SessionKey, Vec<u64>>,
    next_call: u64,
    calls_max: usize,
    calls_per_device_max: usize,
}

/// A call under way.
#[derive(Debug, PartialEq, Eq)]
pub struct PendingCall<T> {
    /// The session that was asked.
    pub session: SessionKey,
    /// When the caller has waited long enough.
    pub deadline: Instant,
    /// Who waits.
    pub caller: T,
}

impl<T> MethodTable<T> {
    /// An empty table with the limits of these settings.
    #[must_use]
    pub fn new(config: &CommandConfig) -> Self {
        Self {
            calls: HashMap::new(),
            deadlines: BTreeSet::new(),
            sessions: HashMap::new(),
            next_call: 1,
            calls_max: config.method_calls_max,
            calls_per_device_max: config.method_calls_per_device_max,
        }
    }

    /// Notes a call and gives it its number.
    ///
    /// # Errors
    /// When as many calls are under way as may be; the caller is gone with the error.
    pub fn begin(&mut self, session: SessionKey, deadline: Instant, caller: T) -> Result<u64, MethodError> {
        let of_session = self.sessions.get(&session).map_or(0, Vec::len);
        if self.calls.len() >= self.calls_max || of_session >= self.calls_per_device_max {
            return Err(MethodError::TooMany);
        }
        let call = self.next_call;
        self.next_call = call.wrapping_add(1);
        self.sessions.entry(session).or_default().push(call);
        self.deadlines.insert((deadline, call));
        self.calls.insert(call, PendingCall { session, deadline, caller });
        Ok(call)
    }

    /// The caller of a call that `session` answers; `None` when it was not asked, or it is too late.
    pub fn answered(&mut self, session: SessionKey, call: u64) -> Option<T> {
        if self.calls.get(&call)?.session != session {
            return None;
        }
        self.remove(call).map(|pending| pending.caller)
    }

    /// The caller waits no longer.
    pub fn cancel(&mut self, call: u64) -> Option<T> {
        self.remove(call).map(|pending| pending.caller)
    }

    /// The callers of all calls whose time is over, oldest first.
    pub fn expired(&mut self, now: Instant) -> Vec<T> {
        let mut callers = Vec::new();
        while let Some(&(deadline, call)) = self.deadlines.first()
            && deadline <= now
        {
            self.deadlines.pop_first();
            callers.extend(self.cancel(call));
        }
        callers
    }

    /// The callers of all calls to a session that has ended, oldest first.
    pub fn session_ended(&mut self, session: SessionKey) -> Vec<T> {
        let calls = self.sessions.remove(&session).unwrap_or_default();
        calls.into_iter().filter_map(|call| self.cancel(call)).collect()
    }

    /// When [`Self::expired`] has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// How many calls are under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether no call is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    fn remove(&mut self, call: u64) -> Option<PendingCall<T>> {
        let pending = self.calls.remove(&call)?;
        self.deadlines.remove(&(pending.deadline, call));
        if let Place::Occupied(mut of_session) = self.sessions.entry(pending.session) {
            of_session.get_mut().retain(|&other| other != call);
            if of_session.get().is_empty() {
                of_session.remove();
            }
        }
        Some(pending)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Act {
        Begin { session: u32, wait: u64 },
        Answer { session: u32, call: u64 },
        Cancel { call: u64 },
        Pass { milliseconds: u64 },
        End { session: u32 },
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            4 => (0..4_u32, 0..50_u64).prop_map(|(session, wait)| Act::Begin { session, wait }),
            2 => (0..4_u32, 1..60_u64).prop_map(|(session, call)| Act::Answer { session, call }),
            1 => (1..60_u64).prop_map(|call| Act::Cancel { call }),
            1 => (0..20_u64).prop_map(|milliseconds| Act::Pass { milliseconds }),
            1 => (0..4_u32).prop_map(|session| Act::End { session }),
        ];
        proptest::collection::vec(act, 0..100)
    }

    fn key(slot: u32) -> SessionKey {
        SessionKey { shard: 0, slot, generation: 1 }
    }

    fn table(calls_max: usize, calls_per_device_max: usize) -> MethodTable<u64> {
        MethodTable::new(&CommandConfig {
            method_calls_max: calls_max,
            method_calls_per_device_max: calls_per_device_max,
            ..CommandConfig::default()
        })
    }

    /// Takes all calls out of the plain list that are of this kind.
    fn take(list: &mut Vec<(u64, u32, Instant)>, is_it: impl Fn(&(u64, u32, Instant)) -> bool) -> Vec<u64> {
        list.extract_if(.., |pending| is_it(pending)).map(|(call, ..)| call).collect()
    }

    proptest! {
        // The caller's token is the number that the call is expected to get.
        #[test]
        fn the_table_does_what_a_plain_list_does(acts in acts()) {
            let mut now = Instant::now();
            let (mut table, mut list) = (table(12, 5), Vec::new());
            let mut next = 1;
            for act in acts {
                match act {
                    Act::Begin { session, wait } => {
                        let of_session = list.iter().filter(|pending: &&(u64, u32, Instant)| pending.1 == session).count();
                        let deadline = now + Duration::from_millis(wait);
                        let begun = table.begin(key(session), deadline, next);
                        if list.len() >= 12 || of_session >= 5 {
                            prop_assert_eq!(begun, Err(MethodError::TooMany));
                        } else {
                            prop_assert_eq!(begun, Ok(next));
                            list.push((next, session, deadline));
                            next += 1;
                        }
                    }
                    Act::Answer { session, call } => {
                        let expected = take(&mut list, |pending| (pending.0, pending.1) == (call, session));
                        prop_assert_eq!(table.answered(key(session), call).into_iter().collect::<Vec<_>>(), expected);
                    }
                    Act::Cancel { call } => {
                        let expected = take(&mut list, |pending| pending.0 == call);
                        prop_assert_eq!(table.cancel(call).into_iter().collect::<Vec<_>>(), expected);
                    }
                    Act::Pass { milliseconds } => {
                        now += Duration::from_millis(milliseconds);
                        let mut found = table.expired(now);
                        found.sort_unstable();
                        prop_assert_eq!(found, take(&mut list, |pending| pending.2 <= now));
                    }
                    Act::End { session } => {
                        prop_assert_eq!(table.session_ended(key(session)), take(&mut list, |pending| pending.1 == session));
                    }
                }
                prop_assert_eq!(table.len(), list.len());
                prop_assert_eq!(table.deadlines.len(), list.len());
                prop_assert_eq!(table.sessions.values().map(Vec::len).sum::<usize>(), list.len());
                prop_assert!(table.sessions.values().all(|calls| !calls.is_empty()));
                prop_assert_eq!(table.next_deadline(), list.iter().map(|pending| pending.2).min());
            }
        }
    }

    #[test]
    fn only_the_session_that_was_asked_answers() {
        let (mut table, deadline) = (table(1, 1), Instant::now());
        let call = table.begin(key(1), deadline, 1).unwrap();
        let other = SessionKey { generation: 2, ..key(1) };
        assert_eq!(table.answered(other, call), None);
        assert_eq!(table.begin(key(2), deadline, 2), Err(MethodError::TooMany));
        assert_eq!(table.answered(key(1), call), Some(1));
        assert_eq!(table.answered(key(1), call), None);
        assert!(table.is_empty());
    }
}
