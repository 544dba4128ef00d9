//! Where identities are kept: the trait, and the stores that implement it.
//! - Invariants: what a returned future has answered with `Ok` is durable. Every change is noted in a log with growing
//!   sequence numbers, whichever process made it, so that a running hub can follow.
//! - Limits: a page has at most `PAGE_IDENTITIES_MAX` records, the log `CHANGES_KEPT` entries.
//! - Errors: [`RegistryError`].

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use crate::documents::Documents;
use crate::error::RegistryError;
use crate::limits::PAGE_IDENTITIES_MAX;
use crate::registry::{Expected, IdentityName, Record, Update};

#[cfg(test)]
mod document_model;
#[cfg(test)]
mod document_suite;
#[cfg(test)]
mod follow;
mod group;
mod plan;
mod postgres;
mod proof;
mod sqlite;
#[cfg(test)]
pub(crate) mod suite;

pub use postgres::PostgresStore;
pub use sqlite::SqliteStore;

/// What a store's methods return; boxed, so that stores can be chosen at run time.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, RegistryError>> + Send + 'a>>;

/// An identity registry.
pub trait Store: Send + Sync {
    /// Adds an identity. A module needs its device, which has at most `DEVICE_MODULES_MAX`.
    fn create<'a>(&'a self, record: &'a Record) -> Pending<'a, ()>;

    /// Reads an identity.
    fn get<'a>(&'a self, name: &'a IdentityName) -> Pending<'a, Option<Record>>;

    /// Reads several, at most `PAGE_IDENTITIES_MAX`; those that are not there are left out. In the order of the names asked for.
    fn find_many<'a>(&'a self, names: &'a [IdentityName]) -> Pending<'a, Vec<Record>>;

    /// Devices in the order of their ids, from the first one behind `after`; at most `count`.
    fn devices<'a>(&'a self, after: Option<&'a str>, count: usize) -> Pending<'a, Vec<Record>>;

    /// Modules of a device, in the order of their ids.
    fn modules<'a>(&'a self, device_id: &'a str) -> Pending<'a, Vec<Record>>;

    /// Devices and modules in the order of their names, from the first one behind `after`; at most `count`.
    fn identities<'a>(&'a self, after: Option<&'a IdentityName>, count: usize) -> Pending<'a, Vec<Record>>;

    /// How many devices there are.
    fn count(&self) -> Pending<'_, DeviceCounts>;

    /// Changes an identity if it is in the expected state.
    fn update<'a>(&'a self, name: &'a IdentityName, expected: Expected, update: Update) -> Pending<'a, Record>;

    /// Removes an identity if it is in the expected state; with a device go its modules.
    fn delete<'a>(&'a self, name: &'a IdentityName, expected: Expected) -> Pending<'a, ()>;

    /// Starts to add many identities at once: all of them or, if the import is dropped before its commit, none.
    fn begin_import(&self) -> Pending<'_, Box<dyn Import>>;

    /// Sequence number of the newest change; 0 when there was none.
    fn newest_change(&self) -> Pending<'_, i64>;

    /// Changes behind `sequence`, oldest first, at most `count`; `None` when the log no longer goes back that far.
    fn changes_since(&self, sequence: i64, count: usize) -> Pending<'_, Option<Vec<LoggedChange>>>;
}

/// A store of everything.
pub trait Database: Store + Documents {}

impl<T: Store + Documents> Database for T {}

/// Opens the database at `url` (`postgres://...`) or, without one, the SQLite file in `data_dir`, which is made if it is not there.
///
/// # Errors
/// When it cannot be opened, or was written by a newer version.
pub async fn open(url: Option<&str>, data_dir: &Path) -> Result<Arc<dyn Database>, RegistryError> {
    Ok(match url {
        Some(url) => Arc::new(PostgresStore::open(url).await?),
        None => Arc::new(SqliteStore::open(data_dir).await?),
    })
}

/// An unfinished import.
pub trait Import: Send {
    /// Adds identities; returns the positions in `records` of those that are there already, which are left out.
    fn add<'a>(&'a mut self, records: &'a [Record]) -> Pending<'a, Vec<usize>>;

    /// Makes everything added durable and visible.
    fn commit(self: Box<Self>) -> Pending<'static, ()>;
}

/// An entry of the change log, with what the identity is like now.
#[derive(Debug, Clone)]
pub struct LoggedChange {
    /// Position in the log.
    pub sequence: i64,
    /// What was done.
    pub kind: LoggedKind,
    /// Which identity.
    pub name: IdentityName,
    /// The identity as it is now (not as it was at this entry); `None` when it is gone.
    pub now: Option<Record>,
}

/// What an entry of the change log notes. The numbers are in the stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoggedKind {
    /// It was created.
    Created,
    /// It was changed.
    Changed,
    /// It was deleted.
    Deleted,
}

impl LoggedKind {
    /// From the number that stores keep.
    pub(crate) const fn from_number(number: i64) -> Self {
        match number {
            0 => Self::Created,
            2 => Self::Deleted,
            _ => Self::Changed,
        }
    }
}

/// How many devices there are, modules not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceCounts {
    /// All.
    pub total: u64,
    /// Those that may not connect.
    pub disabled: u64,
}

/// `count` within its bound, as databases take it.
fn page(count: usize) -> i64 {
    i64::try_from(count.min(PAGE_IDENTITIES_MAX)).unwrap_or(i64::MAX)
}
