//! Turns by name: whoever changes what belongs to an identity holds its turn meanwhile, so that changes of one identity, and what its
//! session is told of them, have one order.
//! - Shape: a fixed number of asynchronous locks, an identity is hashed to one. Two identities may share one, which costs time only.
//! - Invariants: nobody holds two turns of one kind at a time, so there is no deadlock.

use std::hash::{BuildHasher, Hash};

use hashbrown::DefaultHashBuilder;
use tokio::sync::{Mutex, MutexGuard};

use crate::limits::STRIPES;

pub(crate) struct Stripes {
    locks: Box<[Mutex<()>]>,
    hasher: DefaultHashBuilder,
}

impl Stripes {
    pub(crate) fn new() -> Self {
        Self { locks: (0..STRIPES).map(|_| Mutex::const_new(())).collect(), hasher: DefaultHashBuilder::default() }
    }

    /// Waits for the turn of `name`; it lasts until the guard is dropped. `None` never happens: there is a lock for every hash.
    pub(crate) async fn turn(&self, name: &(impl Hash + ?Sized)) -> Option<MutexGuard<'_, ()>> {
        let hash = self.hasher.hash_one(name);
        // Bits that fit every platform's index.
        let index = usize::from(u16::try_from(hash >> 48).unwrap_or_default()) & (STRIPES - 1);
        Some(self.locks.get(index)?.lock().await)
    }
}
