//! One timer wheel per shard, a slot for each second. Deadlines move without touching it: an entry that comes up early is put
//! back, so activity on a connection costs one store.
//! - Invariants: a connection has one valid entry, the one whose second it remembers; others are stale and fall out when they come up.

use crate::connection::ConnectionKey;
use crate::limits::WHEEL_SECONDS;

/// See the module's documentation.
pub(crate) struct Wheel {
    slots: Vec<Vec<ConnectionKey>>,
    /// The next second to be looked at.
    next: u32,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self { slots: (0..WHEEL_SECONDS).map(|_| Vec::new()).collect(), next: 0 }
    }

    /// Enters `key` for `second` or as late as the wheel reaches; answers the second it will come up in.
    pub(crate) fn schedule(&mut self, key: ConnectionKey, second: u32) -> u32 {
        let last = self.next.saturating_add(WHEEL_SECONDS - 1);
        let second = second.clamp(self.next, last);
        if let Some(slot) = self.slots.get_mut(slot(second)) {
            slot.push(key);
        }
        second
    }

    /// Takes one second's entries, if `now` has passed it.
    pub(crate) fn expire(&mut self, now: u32) -> Option<(u32, Vec<ConnectionKey>)> {
        if self.next > now {
            return None;
        }
        let second = self.next;
        self.next = second.saturating_add(1);
        self.slots.get_mut(slot(second)).map(|slot| (second, std::mem::take(slot)))
    }
}

fn slot(second: u32) -> usize {
    usize::try_from(second % WHEEL_SECONDS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(slot: u32) -> ConnectionKey {
        ConnectionKey { slot, generation: 0 }
    }

    #[test]
    fn entries_come_up_in_their_second() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.schedule(key(1), 3), 3);
        assert_eq!(wheel.schedule(key(2), 0), 0);
        assert_eq!(wheel.schedule(key(3), 1_000_000), 2047);
        let mut seen = Vec::new();
        while let Some((second, keys)) = wheel.expire(3000) {
            seen.extend(keys.into_iter().map(|key| (second, key.slot)));
        }
        assert_eq!(seen, [(0, 2), (3, 1), (2047, 3)]);
        assert!(wheel.expire(3000).is_none());
        assert_eq!(wheel.schedule(key(4), 5), 3001, "a past second comes up at once");
    }
}
