//! A bounded map of what was used lately.
//! - Shape: two generations; what is used moves to the young one, and when that is full the old one goes.
//! - Invariants: never more than `max` entries; what was used among the last `max / 2` keys is there.

use std::collections::HashMap;
use std::hash::Hash;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Hash + Eq, V> Recent<K, V> {
    pub(crate) fn new(max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (max / 2).max(1) }
    }

    /// The value of a key, made if it is not there.
    pub(crate) fn entry(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if !self.young.contains_key(&key) && self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        let old = &mut self.old;
        match self.young.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let value = old.remove(entry.key()).unwrap_or_else(make);
                entry.insert(value)
            }
        }
    }

    /// The value of a key, if it is there.
    pub(crate) fn find(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Sets a value.
    pub(crate) fn put(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if !self.young.contains_key(&key) && self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let mut recent = Recent::new(8);
        for key in 0..1_000_u32 {
            *recent.entry(0, || 0) += 1;
            recent.put(key + 1, key);
            assert!(recent.young.len() + recent.old.len() <= 8);
        }
        assert_eq!(recent.find(&0), Some(&1_000), "what is used stays");
        assert_eq!((recent.find(&1), recent.find(&1_000)), (None, Some(&999)));
        recent.clear();
        assert!(recent.find(&0).is_none());
    }
}
