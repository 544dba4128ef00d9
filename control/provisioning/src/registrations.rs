//! Registrations in the store.
//! - Shape: a document for each; its owner is the group's id, or empty for an individual enrollment.
//! - Invariants: a write names the version that it saw: of several that begin or end an assignment at the same time, one does.

use std::sync::Arc;

use millrace_control_store::documents::{
    ApplyError, Batch, Collection, DocumentKey, Documents, Precondition, SCAN_DOCUMENTS_MAX, Scan, Write,
};
use millrace_model::HubError;

use crate::error::{store_failed, write_failed};
use crate::registration::Registration;

/// Registrations in a store.
#[derive(Clone)]
pub struct Registrations {
    documents: Arc<dyn Documents>,
}

/// A registration as it was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Whose it is: a group's id, or empty.
    pub owner: String,
    /// How often it was written.
    pub version: i64,
    /// What stands there.
    pub registration: Registration,
}

impl Registrations {
    /// Those of a store.
    #[must_use]
    pub fn new(documents: Arc<dyn Documents>) -> Self {
        Self { documents }
    }

    /// Reads one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn read(&self, owner: &str, id: &str) -> Result<Option<Found>, HubError> {
        Ok(self.find(&[owner], id).await?.into_iter().next())
    }

    /// Those of this id that have one of these owners. A device that moved from one enrollment to another may have several.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find(&self, owners: &[&str], id: &str) -> Result<Vec<Found>, HubError> {
        let keys: Vec<_> = owners.iter().map(|owner| DocumentKey::new(Collection::Registration, owner, id)).collect();
        let documents = self.documents.read_many(&keys).await.map_err(|error| store_failed(&error))?;
        documents.into_iter().map(found).collect()
    }

    /// A page of one owner's behind an id, in the order of ids.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn page(&self, owner: &str, after: Option<&str>, count: usize) -> Result<Vec<Found>, HubError> {
        let after = after.map(|name| (owner.into(), name.into()));
        let count = count.min(SCAN_DOCUMENTS_MAX);
        let scan = Scan { collection: Collection::Registration, owner: Some(owner.into()), after, count };
        let documents = self.documents.scan(&scan).await.map_err(|error| store_failed(&error))?;
        documents.into_iter().map(found).collect()
    }

    /// Writes one in place of what was found, which may have another owner. Answers its version; `None` when somebody else was first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put(&self, owner: &str, before: Option<&Found>, new: &Registration) -> Result<Option<i64>, HubError> {
        let body = new.encode().map_err(|_| HubError::SERVER)?;
        let key = |owner| DocumentKey::new(Collection::Registration, owner, &new.registration_id);
        let same = before.filter(|before| before.owner == owner);
        let precondition = same.map_or(Precondition::Absent, |before| Precondition::Version(before.version));
        let mut writes = vec![Write::put(key(owner), precondition, body)];
        if let Some(other) = before.filter(|before| before.owner != owner) {
            writes.push(Write::remove(key(&other.owner), Precondition::Version(other.version)));
        }
        match self.documents.apply(Batch { identity: None, writes }).await {
            Ok(versions) => Ok(versions.first().copied()),
            Err(ApplyError::Conflict { .. }) => Ok(None),
            Err(error) => Err(write_failed(&error)),
        }
    }

    /// Deletes one.
    ///
    /// # Errors
    /// When it has changed meanwhile or the store fails.
    pub async fn delete(&self, found: &Found) -> Result<(), HubError> {
        let key = DocumentKey::new(Collection::Registration, &found.owner, &found.registration.registration_id);
        let writes = vec![Write::remove(key, Precondition::Version(found.version))];
        self.documents.apply(Batch { identity: None, writes }).await.map_err(|error| write_failed(&error))?;
        Ok(())
    }
}

impl std::fmt::Debug for Registrations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registrations(..)")
    }
}

fn found(document: millrace_control_store::documents::Document) -> Result<Found, HubError> {
    let registration = Registration::decode(&document.body)
        .map_err(|_| HubError::SERVER.because("a stored registration cannot be read"))?;
    Ok(Found { owner: document.key.owner.into(), version: document.version, registration })
}
