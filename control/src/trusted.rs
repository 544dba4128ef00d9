//! The authorities that operators have added and verified, by name, for parts that look them up while they work.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::control::Control;

/// What certificates are judged by.
#[derive(Debug, Clone, Default)]
pub struct Trusted {
    /// Verified authorities: DER by name.
    pub certificates: HashMap<String, Vec<u8>>,
    /// Revocation lists: DER.
    pub revocation_lists: Vec<Vec<u8>>,
    /// Grows with every change.
    pub revision: u64,
}

/// The newest of them.
#[derive(Debug, Default)]
pub(crate) struct Newest(RwLock<Arc<Trusted>>);

impl Newest {
    pub(crate) fn set(&self, certificates: HashMap<String, Vec<u8>>, revocation_lists: Vec<Vec<u8>>) {
        let mut newest = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let revision = newest.revision.saturating_add(1);
        *newest = Arc::new(Trusted { certificates, revocation_lists, revision });
    }

    fn get(&self) -> Arc<Trusted> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Control {
    /// What certificates are judged by now.
    #[must_use]
    pub fn trusted(&self) -> Arc<Trusted> {
        self.shared.trusted.get()
    }
}
