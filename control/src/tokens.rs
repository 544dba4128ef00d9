//! Numbers that nobody can guess: salts of locks, correlation ids.
//! - Invariants: the secret is drawn once from the system; after that there is nothing that can fail. No number comes twice in a row of
//!   2^64; not for keys, which come from `control/store`.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) struct Tokens {
    secret: RandomState,
    next: AtomicU64,
}

impl Tokens {
    pub(crate) fn new() -> Self {
        Self { secret: RandomState::new(), next: AtomicU64::new(0) }
    }

    pub(crate) fn small(&self) -> u32 {
        u32::try_from(self.next() >> 32).unwrap_or_default()
    }

    pub(crate) fn large(&self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }

    pub(crate) fn next(&self) -> u64 {
        self.secret.hash_one(self.next.fetch_add(1, Ordering::Relaxed))
    }
}
