//! The registry as the data path sees it: in memory, looked up at CONNECT.
//! - Shape: 64 hash tables under a lock each; an entry is one packed allocation:
//!   device length u8 | module length u8 | flags u8 | generation i64 | first proof length u8 | second proof length u8 | ids | proofs
//! - Invariants: a lock is held for one look-up or one insertion, never over I/O. Keys are wiped when an entry goes. A module
//!   may connect only while its device may: modules have no status of their own.
//! - Limits: `identities_max`; what comes after it is refused and counted. About 160 B per identity with two 32-byte keys
//!   (`examples/registry_load.rs` measures it).
//! - Not here: how it is kept up to date (`follower`).

use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::{DefaultHashBuilder, HashTable};
use millrace_ingest::{Directory, Found, PolicyKeys};
use millrace_protocols_identity::x509::Authorities;

use crate::limits::DIRECTORY_PARTS;
use crate::policies::{Permissions, Policies};
use millrace_control_store::registry::{ChangeKind, IdentityName, Record};

mod entry;

use entry::Entry;

/// What the hub knows of all identities.
pub struct RegistryDirectory {
    parts: Box<[RwLock<HashTable<Entry>>]>,
    hasher: DefaultHashBuilder,
    part_identities_max: usize,
    policies: Arc<Policies>,
    authorities: RwLock<Arc<Authorities>>,
}

/// What became of a record that was put into the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Nothing a session would notice.
    Same,
    /// Something a session may notice.
    Changed(ChangeKind),
    /// The directory is full, so this identity cannot connect.
    Full,
}

impl RegistryDirectory {
    /// An empty directory for at most about `identities_max` identities, and the hub's policies.
    #[must_use]
    pub fn new(identities_max: usize, policies: Arc<Policies>) -> Self {
        Self {
            parts: (0..DIRECTORY_PARTS).map(|_| RwLock::default()).collect(),
            hasher: DefaultHashBuilder::default(),
            part_identities_max: identities_max.div_ceil(DIRECTORY_PARTS),
            policies,
            authorities: RwLock::default(),
        }
    }

    /// The hub's policies.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Says who may vouch for certificates from now on.
    pub fn set_authorities(&self, authorities: Authorities) {
        *self.authorities.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(authorities);
    }

    /// How many identities are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| read(part).len()).sum()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a record over and says what that means for a session.
    pub(crate) fn put(&self, record: &Record) -> Stored {
        let (device_id, module_id) = (record.name.device_id(), record.name.module_id());
        let hash = self.hash(device_id, module_id);
        let (Some(part), Some(entry)) = (self.part(hash), Entry::new(record)) else { return Stored::Full };
        let mut table = write(part);
        if let Some(old) = table.find_mut(hash, |entry| entry.is_named(device_id, module_id)) {
            let stored = entry.difference(old).map_or(Stored::Same, Stored::Changed);
            *old = entry;
            return stored;
        }
        if table.len() >= self.part_identities_max {
            return Stored::Full;
        }
        table.insert_unique(hash, entry, |entry| self.hash(entry.device_id(), entry.module_id()));
        Stored::Changed(ChangeKind::Created)
    }

    /// Forgets an identity; whether it was known.
    pub(crate) fn remove(&self, name: &IdentityName) -> bool {
        let hash = self.hash(name.device_id(), name.module_id());
        let Some(part) = self.part(hash) else { return false };
        let mut table = write(part);
        let found = table.find_entry(hash, |entry| entry.is_named(name.device_id(), name.module_id()));
        found.map(|entry| drop(entry.remove())).is_ok()
    }

    /// Forgets all identities that `keep` does not want; returns their names.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&str, Option<&str>) -> bool) -> Vec<IdentityName> {
        let mut gone = Vec::new();
        for part in &self.parts {
            write(part).retain(|entry| {
                let kept = keep(entry.device_id(), entry.module_id());
                if !kept {
                    gone.extend(IdentityName::new(entry.device_id(), entry.module_id()));
                }
                kept
            });
        }
        gone
    }

    fn find_own(&self, device_id: &str, module_id: Option<&str>) -> Option<Found> {
        let hash = self.hash(device_id, module_id);
        let table = read(self.part(hash)?);
        table.find(hash, |entry| entry.is_named(device_id, module_id)).and_then(Entry::found)
    }

    fn is_enabled(&self, device_id: &str) -> bool {
        let hash = self.hash(device_id, None);
        let Some(part) = self.part(hash) else { return false };
        read(part).find(hash, |entry| entry.is_named(device_id, None)).is_some_and(Entry::is_enabled)
    }

    fn hash(&self, device_id: &str, module_id: Option<&str>) -> u64 {
        self.hasher.hash_one((device_id, module_id))
    }

    fn part(&self, hash: u64) -> Option<&RwLock<HashTable<Entry>>> {
        // The table itself uses the top seven bits and the low ones: take others.
        let index = usize::try_from((hash >> 40) & 0xffff).unwrap_or_default() & (DIRECTORY_PARTS - 1);
        self.parts.get(index)
    }
}

impl Directory for RegistryDirectory {
    fn find(&self, device_id: &str, module_id: Option<&str>) -> Option<Found> {
        let mut found = self.find_own(device_id, module_id)?;
        // Two locks one after the other: whoever disables the device in between also ends the sessions of its modules.
        found.enabled &= module_id.is_none() || self.is_enabled(device_id);
        Some(found)
    }

    fn policy(&self, name: &str) -> Option<PolicyKeys> {
        let policy = self.policies.find(name)?;
        let device_connect = policy.permissions.contain(Permissions::DEVICE_CONNECT);
        Some(PolicyKeys { keys: Arc::clone(&policy.keys), device_connect })
    }

    fn authorities(&self) -> Arc<Authorities> {
        Arc::clone(&self.authorities.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for RegistryDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryDirectory").field("identities", &self.len()).finish_non_exhaustive()
    }
}

// No code runs under these locks that could leave a table half changed, so a poisoned one is as good as new.
fn read(part: &RwLock<HashTable<Entry>>) -> RwLockReadGuard<'_, HashTable<Entry>> {
    part.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(part: &RwLock<HashTable<Entry>>) -> RwLockWriteGuard<'_, HashTable<Entry>> {
    part.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
