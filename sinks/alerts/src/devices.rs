//! The devices that have state: a table of bounded size.
//! - Shape: slots in a vector, found through a hash table of slot numbers. A slot is never freed, only given to another device.
//! - Invariants: a device with a firing alert keeps its slot. `dirty` lists each changed slot once.
//! - Limits: `devices_max` slots. When full, the longest idle of the next [`EVICTION_SAMPLE`] slots without a firing alert makes
//!   room; when all of them fire, the new device is refused until one clears. 88 bytes a device, its id, and 32 bytes a rule.
//! - Hot path: [`Devices::admit`] of a known device: one hash, one comparison, no allocation.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use millrace_model::{IdentityRef, Offset, ShardId, Timestamp};

use crate::event::Cause;
use crate::limits::EVICTION_SAMPLE;
use crate::rule::RuleState;

/// One device or module.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Device {
    /// Device id; for a module, device id, line feed, module id (ids hold no line feed).
    pub(crate) key: Box<str>,
    /// Its newest message.
    pub(crate) last: Cause,
    /// From when on silence is counted: time of the newest message, moved on by the time in which the hub was down.
    pub(crate) quiet_since: i64,
    /// One per rule.
    pub(crate) states: Box<[RuleState]>,
    /// Whether it changed since the last frame.
    pub(crate) dirty: bool,
    /// Whether a frame holds it.
    pub(crate) recorded: bool,
}

/// Splits a key into device and module.
pub(crate) fn split_key(key: &str) -> (&str, Option<&str>) {
    key.split_once('\n').map_or((key, None), |(device, module)| (device, Some(module)))
}

/// The table.
#[derive(Debug)]
pub(crate) struct Devices {
    slots: Vec<Device>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    devices_max: usize,
    rules: usize,
    /// Where the next search for a slot to evict starts.
    hand: usize,
    dirty: Vec<u32>,
    /// Recorded keys that lost their slot since the last frame; at most as many as the state file holds.
    removed: Vec<Box<str>>,
    /// How many lost their slot, ever.
    pub(crate) evicted: u64,
    /// How many messages were not looked at because the table was full of firing alerts.
    pub(crate) refused: u64,
}

impl Devices {
    pub(crate) fn new(devices_max: usize, rules: usize) -> Self {
        Self {
            slots: Vec::new(),
            table: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            devices_max: devices_max.min(usize::try_from(u32::MAX).unwrap_or(usize::MAX)),
            rules,
            hand: 0,
            dirty: Vec::new(),
            removed: Vec::new(),
            evicted: 0,
            refused: 0,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn slot(&self, number: u32) -> Option<&Device> {
        self.slots.get(index(number))
    }

    pub(crate) fn slot_mut(&mut self, number: u32) -> Option<&mut Device> {
        self.slots.get_mut(index(number))
    }

    /// Marks a slot as changed.
    pub(crate) fn touch(&mut self, number: u32) {
        if let Some(device) = self.slots.get_mut(index(number))
            && !device.dirty
        {
            device.dirty = true;
            self.dirty.push(number);
        }
    }

    /// The slot of a sender, given one if it has none; `None` when there is no room.
    pub(crate) fn admit(&mut self, identity: &IdentityRef<'_>) -> Option<u32> {
        let wanted = (identity.device_id, identity.module_id);
        let hash = self.hasher.hash_one(wanted);
        let slots = &self.slots;
        let is_it = |&number: &u32| slots.get(index(number)).is_some_and(|device| split_key(&device.key) == wanted);
        if let Some(&number) = self.table.find(hash, is_it) {
            return Some(number);
        }
        let key = match identity.module_id {
            Some(module) => format!("{}\n{module}", identity.device_id),
            None => identity.device_id.to_owned(),
        };
        self.insert(key.into_boxed_str())
    }

    /// Puts back a device that was read from the state file; beyond `devices_max` it is left out.
    pub(crate) fn restore(&mut self, device: Device) -> Option<u32> {
        if self.slots.len() >= self.devices_max {
            self.evicted += 1;
            return None;
        }
        let number = self.insert(device.key.clone())?;
        *self.slot_mut(number)? = Device { dirty: false, recorded: true, ..device };
        Some(number)
    }

    fn insert(&mut self, key: Box<str>) -> Option<u32> {
        let hash = self.hasher.hash_one(split_key(&key));
        let number = if self.slots.len() < self.devices_max {
            let number = u32::try_from(self.slots.len()).ok()?;
            self.slots.push(self.blank(key));
            number
        } else {
            self.evict(key)?
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.table.insert_unique(hash, number, |&number| hash_of(slots, hasher, number));
        Some(number)
    }

    fn blank(&self, key: Box<str>) -> Device {
        Device {
            key,
            last: Cause { shard: ShardId(0), offset: Offset(0), at: Timestamp(i64::MIN) },
            quiet_since: i64::MIN,
            states: vec![RuleState::default(); self.rules].into_boxed_slice(),
            dirty: false,
            recorded: false,
        }
    }

    /// Gives the slot of a long idle device to `key`. Timetable entries of the slot stay valid: they only
    /// ask for a look at it.
    fn evict(&mut self, key: Box<str>) -> Option<u32> {
        let count = self.slots.len();
        let sample = (0..EVICTION_SAMPLE.min(count)).map(|step| (self.hand + step) % count);
        let idle = |slot: &usize| self.slots.get(*slot).is_some_and(|d| d.states.iter().all(|s| s.firing.is_none()));
        let chosen = sample.filter(idle).min_by_key(|&slot| self.slots.get(slot).map(|device| device.last.at));
        self.hand = (self.hand + EVICTION_SAMPLE) % count.max(1);
        let Some(chosen) = chosen else {
            self.refused += 1;
            return None;
        };
        let number = u32::try_from(chosen).ok()?;
        let hash = hash_of(&self.slots, &self.hasher, number);
        if let Ok(entry) = self.table.find_entry(hash, |&other| other == number) {
            entry.remove();
        }
        let mut fresh = self.blank(key);
        let old = self.slots.get_mut(chosen)?;
        fresh.dirty = old.dirty;
        for (state, before) in fresh.states.iter_mut().zip(&old.states) {
            state.armed = before.armed;
        }
        let old = std::mem::replace(old, fresh);
        if old.recorded {
            self.removed.push(old.key);
        }
        self.evicted += 1;
        Some(number)
    }

    /// The keys that lost their slot since the last call.
    pub(crate) fn take_removed(&mut self) -> Vec<Box<str>> {
        std::mem::take(&mut self.removed)
    }

    /// The slots that changed since the last call; they count as unchanged from now on.
    pub(crate) fn take_dirty(&mut self) -> Vec<u32> {
        let dirty = std::mem::take(&mut self.dirty);
        for &number in &dirty {
            if let Some(device) = self.slots.get_mut(index(number)) {
                device.dirty = false;
                device.recorded = true;
            }
        }
        dirty
    }

    /// Whether something changed since the last frame.
    pub(crate) const fn has_changed(&self) -> bool {
        !self.dirty.is_empty() || !self.removed.is_empty()
    }
}

fn hash_of(slots: &[Device], hasher: &DefaultHashBuilder, number: u32) -> u64 {
    slots.get(index(number)).map_or(0, |device| hasher.hash_one(split_key(&device.key)))
}

#[expect(clippy::as_conversions, reason = "usize has at least 32 bits on every supported target")]
const fn index(number: u32) -> usize {
    number as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Firing;

    fn identity<'a>(device_id: &'a str, module_id: Option<&'a str>) -> IdentityRef<'a> {
        IdentityRef { device_id, module_id, ..IdentityRef::default() }
    }

    #[test]
    fn the_longest_idle_device_makes_room_and_a_firing_one_stays() {
        let mut devices = Devices::new(3, 1);
        let admit = |devices: &mut Devices, id: &str, at: i64| {
            let number = devices.admit(&identity(id, None))?;
            devices.slot_mut(number).unwrap().last.at = Timestamp(at);
            devices.touch(number);
            Some(number)
        };
        let first = admit(&mut devices, "a", 1).unwrap();
        admit(&mut devices, "b", 2);
        admit(&mut devices, "c", 3);
        assert_eq!(admit(&mut devices, "a", 1), Some(first));
        let cause = devices.slot(first).unwrap().last;
        devices.slot_mut(first).unwrap().states[0].firing =
            Some(Box::new(Firing { cause, at: Timestamp(1), value: 1.0 }));
        assert_eq!(devices.take_dirty(), vec![0, 1, 2]);
        assert_eq!(admit(&mut devices, "d", 4), Some(1), "b was idle longest");
        assert_eq!(devices.take_removed(), vec![Box::from("b")]);
        assert_eq!(devices.take_dirty(), vec![1]);
        assert_eq!((devices.evicted, devices.len()), (1, 3));
        for number in [1, 2] {
            devices.slot_mut(number).unwrap().states[0].firing =
                Some(Box::new(Firing { cause, at: Timestamp(1), value: 1.0 }));
        }
        assert_eq!(admit(&mut devices, "e", 5), None);
        assert_eq!(devices.refused, 1);
    }

    #[test]
    fn a_module_is_not_its_device() {
        let mut devices = Devices::new(10, 0);
        let device = devices.admit(&identity("d", None));
        let module = devices.admit(&identity("d", Some("m")));
        assert_ne!(device, module);
        assert_eq!(devices.admit(&identity("d", Some("m"))), module);
        assert_eq!(split_key(&devices.slot(module.unwrap()).unwrap().key), ("d", Some("m")));
    }
}
