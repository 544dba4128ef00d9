//! How fast devices may send: first they are read later, and so acknowledged later; who stays over the limit is sent away.
//! - Shape: for each connection, and for the shard, the moment at which what it has sent is paid off at its rate. It may be so far ahead of
//!   now as the burst allows; beyond that it rests.
//! - Units: nanoseconds since the shard started.
//! - Hot path: nothing here runs for a message. A connection that was read costs a comparison and an addition, and nothing at all where no
//!   limit is set.
//! - Limits: what one turn reads may go over the limit; it is paid off by resting longer.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::config::QuotasConfig;
use crate::connection::ConnectionKey;

const SECOND: u64 = 1_000_000_000;

/// What to do with a connection that could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pacing {
    /// Read it.
    Read,
    /// Not before that moment.
    Rest(u64),
    /// It has been over its limit for too long.
    Violation,
}

/// A limit.
#[derive(Debug, Clone, Copy)]
struct Rate {
    /// What one message costs.
    each: u64,
    /// How far ahead one may be.
    burst: u64,
}

/// Where a connection stands.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    generation: u32,
    is_resting: bool,
    paid_at: u64,
    /// Since when it has been over its limit without having paid off everything; 0: it is not.
    over_since: u64,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Quotas {
    device: Option<Rate>,
    shard: Option<Rate>,
    violation: u64,
    shard_paid_at: u64,
    /// By slot.
    accounts: Vec<Account>,
    resting: BinaryHeap<Reverse<(u64, u32, u32)>>,
}

impl Quotas {
    pub(crate) fn new(config: &QuotasConfig, shards: u16) -> Self {
        let burst = u64::from(config.burst_seconds).saturating_mul(SECOND);
        let rate = |messages: u64| (messages > 0).then(|| Rate { each: (SECOND / messages).max(1), burst });
        let shards = u64::from(shards.max(1));
        Self {
            device: rate(config.device_messages_per_second.into()),
            shard: rate(u64::from(config.hub_messages_per_second).div_ceil(shards)),
            violation: u64::from(config.violation_seconds).saturating_mul(SECOND),
            shard_paid_at: 0,
            accounts: Vec::new(),
            resting: BinaryHeap::new(),
        }
    }

    /// Whether connections are looked at one by one.
    pub(crate) const fn is_on(&self) -> bool {
        self.device.is_some()
    }

    /// Whether a connection may be read. One that has to rest comes up in [`Self::due`].
    pub(crate) fn look(&mut self, key: ConnectionKey, now: u64) -> Pacing {
        let (Some(rate), violation) = (self.device, self.violation) else {
            return Pacing::Read;
        };
        let account = self.account(key);
        if account.paid_at <= now {
            account.over_since = 0;
        }
        if account.paid_at <= now.saturating_add(rate.burst) {
            return Pacing::Read;
        }
        if account.over_since == 0 {
            account.over_since = now.max(1);
        }
        if violation > 0 && now.saturating_sub(account.over_since) >= violation {
            return Pacing::Violation;
        }
        let until = account.paid_at.saturating_sub(rate.burst);
        if !std::mem::replace(&mut account.is_resting, true) {
            self.resting.push(Reverse((until, key.slot, key.generation)));
        }
        Pacing::Rest(until)
    }

    /// A connection was read and gave so many messages.
    pub(crate) fn charge(&mut self, key: ConnectionKey, messages: usize, now: u64) {
        if let (Some(rate), 1..) = (self.device, messages) {
            let account = self.account(key);
            account.paid_at = after(account.paid_at, messages, rate, now);
        }
    }

    /// The shard has taken so many messages in a turn.
    pub(crate) fn charge_shard(&mut self, messages: usize, now: u64) {
        if let Some(rate) = self.shard {
            self.shard_paid_at = after(self.shard_paid_at, messages, rate, now);
        }
    }

    /// Whether nobody is read for now.
    pub(crate) fn shard_rests(&self, now: u64) -> bool {
        self.shard.is_some_and(|rate| self.shard_paid_at > now.saturating_add(rate.burst))
    }

    /// A connection that has rested enough.
    pub(crate) fn due(&mut self, now: u64) -> Option<ConnectionKey> {
        self.resting.peek().filter(|Reverse((until, ..))| *until <= now)?;
        let Reverse((_, slot, generation)) = self.resting.pop()?;
        let key = ConnectionKey { slot, generation };
        let index = usize::try_from(slot).unwrap_or(usize::MAX);
        if let Some(account) = self.accounts.get_mut(index).filter(|account| account.generation == generation) {
            account.is_resting = false;
        }
        Some(key)
    }

    fn account(&mut self, key: ConnectionKey) -> &mut Account {
        let slot = usize::try_from(key.slot).unwrap_or(0);
        if self.accounts.len() <= slot {
            self.accounts.resize_with(slot + 1, Account::default);
        }
        let account = &mut self.accounts[slot];
        if account.generation != key.generation {
            *account = Account { generation: key.generation, ..Account::default() };
        }
        account
    }
}

/// The day's messages of all shards, where they have a limit.
#[derive(Debug)]
pub(crate) struct DayCount {
    limit: u64,
    day: AtomicI64,
    messages: AtomicU64,
}

impl DayCount {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, day: AtomicI64::new(0), messages: AtomicU64::new(0) }
    }

    /// Counts a turn's messages; whether the day's are used up. What shards take in the same instant may go over the limit.
    pub(crate) fn add(&self, day: i64, messages: usize) -> bool {
        if self.limit == 0 {
            return false;
        }
        if self.day.swap(day, Ordering::Relaxed) != day {
            self.messages.store(0, Ordering::Relaxed);
        }
        let messages = u64::try_from(messages).unwrap_or(u64::MAX);
        self.messages.fetch_add(messages, Ordering::Relaxed).saturating_add(messages) >= self.limit
    }

    pub(crate) fn is_used_up(&self, day: i64) -> bool {
        self.limit > 0 && self.day.load(Ordering::Relaxed) == day && self.messages.load(Ordering::Relaxed) >= self.limit
    }
}

fn after(paid_at: u64, messages: usize, rate: Rate, now: u64) -> u64 {
    let cost = rate.each.saturating_mul(u64::try_from(messages).unwrap_or(u64::MAX));
    paid_at.max(now).saturating_add(cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: ConnectionKey = ConnectionKey { slot: 3, generation: 9 };

    fn quotas(device: u32, hub: u32, violation_seconds: u32) -> Quotas {
        let config = QuotasConfig {
            device_messages_per_second: device,
            hub_messages_per_second: hub,
            burst_seconds: 1,
            violation_seconds,
            ..QuotasConfig::default()
        };
        Quotas::new(&config, 2)
    }

    #[test]
    fn nothing_is_limited_unless_it_is_said() {
        let mut quotas = quotas(0, 0, 1);
        quotas.charge(KEY, 1_000_000, 5);
        quotas.charge_shard(1_000_000, 5);
        assert!(!quotas.is_on() && !quotas.shard_rests(5));
        assert_eq!(quotas.look(KEY, 5), Pacing::Read);
    }

    #[test]
    fn a_device_over_its_rate_rests_until_it_is_paid_off() {
        let mut quotas = quotas(10, 0, 0);
        quotas.charge(KEY, 10, SECOND);
        assert_eq!(quotas.look(KEY, SECOND), Pacing::Read, "a burst is what a second allows");
        quotas.charge(KEY, 20, SECOND);
        assert_eq!(quotas.look(KEY, SECOND), Pacing::Rest(3 * SECOND));
        assert_eq!(quotas.look(ConnectionKey { slot: 0, ..KEY }, SECOND), Pacing::Read, "others do not wait");
        assert_eq!(quotas.due(3 * SECOND - 1), None);
        assert_eq!(quotas.due(3 * SECOND), Some(KEY));
        assert_eq!(quotas.look(KEY, 3 * SECOND), Pacing::Read);
        let next = ConnectionKey { generation: 10, ..KEY };
        quotas.charge(KEY, 1000, 3 * SECOND);
        assert_eq!(quotas.look(next, 3 * SECOND), Pacing::Read, "the next one in the slot begins anew");
    }

    #[test]
    fn who_stays_over_the_limit_violates_it() {
        let mut quotas = quotas(10, 0, 5);
        let mut now = SECOND;
        let mut verdicts = Vec::new();
        for _ in 0..40 {
            let verdict = quotas.look(KEY, now);
            match verdict {
                Pacing::Read => quotas.charge(KEY, 15, now),
                Pacing::Rest(until) => now = until,
                Pacing::Violation => {}
            }
            verdicts.push(verdict);
            while quotas.due(now).is_some() {}
        }
        assert!(verdicts.contains(&Pacing::Violation));
        let rested = now + 100 * SECOND;
        assert_eq!(quotas.look(KEY, rested), Pacing::Read, "who has paid off everything begins anew");
    }

    #[test]
    fn a_day_counts_its_own_messages() {
        let count = DayCount::new(10);
        assert!(!count.add(1, 9) && !count.is_used_up(1));
        assert!(count.add(1, 1) && count.is_used_up(1));
        assert!(!count.is_used_up(2));
        assert!(!count.add(2, 1) && !count.is_used_up(2));
        assert!(!DayCount::new(0).add(1, usize::MAX));
    }

    #[test]
    fn shards_share_the_hubs_rate() {
        let mut quotas = quotas(0, 100, 0);
        quotas.charge_shard(50, SECOND);
        assert!(!quotas.shard_rests(SECOND));
        quotas.charge_shard(50, SECOND);
        assert!(quotas.shard_rests(SECOND));
        assert!(!quotas.shard_rests(2 * SECOND));
    }
}
