//! Identities and documents in one SQLite file: one writing connection, a few reading ones, WAL.
//! - Shape: `DIR/registry.sqlite` (mode 0600, directory 0700) with tables `identity`, `change` and `document`; triggers fill the log
//!   and remove a deleted identity's documents, so that a change counts whoever made it. Changes go through `group`, only imports do not.
//! - Invariants: writers take the write lock when they begin, so a transaction never fails half-way for another writer's sake.
//! - Limits: a writer waits [`BUSY_TIMEOUT`] for another process, then answers [`RegistryError::Busy`].
//! - Errors: [`RegistryError`]; a file of a newer version is refused.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, Sqlite, Transaction};

use crate::error::RegistryError;
use crate::limits::PAGE_IDENTITIES_MAX;
use crate::registry::{Expected, IdentityName, Record, Update};
use crate::store::group::{GroupCommit, Order};
use crate::store::{DeviceCounts, Import, LoggedChange, Pending, Store, page};

mod document;
mod file;
mod import;
mod row;
mod schema;
mod writer;

use import::SqliteImport;
use writer::SqliteWriter;

/// How long a writer waits for another one. An import of 100,000 rows holds the lock for about two seconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(15);
/// Connections that read single rows, or a few by name.
const READERS: u32 = 4;
/// Connections that read pages and count. Apart, so that slow scans never keep a look-up waiting.
const SCANNERS: u32 = 3;

/// A registry in a SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    scanners: SqlitePool,
    group: GroupCommit,
}

impl SqliteStore {
    /// Name of the file in the data directory.
    pub const FILE_NAME: &str = "registry.sqlite";

    /// Opens the registry in `data_dir`, creating both if need be.
    ///
    /// # Errors
    /// When the file cannot be opened, or was written by a newer version.
    pub async fn open(data_dir: &Path) -> Result<Self, RegistryError> {
        let path = data_dir.join(Self::FILE_NAME);
        file::prepare(data_dir, &path)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        let wait = BUSY_TIMEOUT + Duration::from_secs(1);
        let writer = SqlitePoolOptions::new().max_connections(1).acquire_timeout(wait);
        let writer = writer.connect_with(options.clone()).await?;
        schema::migrate(&writer).await?;
        let pool = |connections| {
            let pool = SqlitePoolOptions::new().max_connections(connections).acquire_timeout(wait);
            pool.connect_lazy_with(options.clone().read_only(true))
        };
        let group = GroupCommit::start(SqliteWriter(writer.clone()));
        Ok(Self { readers: pool(READERS), scanners: pool(SCANNERS), writer, group })
    }

    /// Finishes what is under way and closes the file.
    pub async fn close(&self) {
        self.group.close().await;
        self.scanners.close().await;
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Empties the change log, as if it had been trimmed. For tests of what follows it.
    ///
    /// # Errors
    /// When the file cannot be written.
    #[doc(hidden)]
    pub async fn forget_changes(&self) -> Result<(), RegistryError> {
        sqlx::raw_sql("DELETE FROM change").execute(&self.writer).await?;
        Ok(())
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, RegistryError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    async fn get(&self, name: &IdentityName) -> Result<Option<Record>, RegistryError> {
        let mut connection = self.readers.acquire().await?;
        row::find(&mut connection, name).await
    }

    async fn find_many(&self, names: &[IdentityName]) -> Result<Vec<Record>, RegistryError> {
        let mut transaction = self.readers.begin().await?;
        let mut records = Vec::with_capacity(names.len().min(PAGE_IDENTITIES_MAX));
        for name in names.iter().take(PAGE_IDENTITIES_MAX) {
            records.extend(row::find(&mut transaction, name).await?);
        }
        Ok(records)
    }

    async fn devices(&self, after: Option<&str>, count: usize) -> Result<Vec<Record>, RegistryError> {
        let rows =
            sqlx::query("SELECT * FROM identity WHERE module_id = '' AND device_id > ? ORDER BY device_id LIMIT ?")
                .bind(after.unwrap_or_default())
                .bind(page(count))
                .fetch_all(&self.scanners)
                .await?;
        rows.iter().map(row::record).collect()
    }

    async fn modules(&self, device_id: &str) -> Result<Vec<Record>, RegistryError> {
        let rows =
            sqlx::query("SELECT * FROM identity WHERE device_id = ? AND module_id > '' ORDER BY module_id LIMIT ?")
                .bind(device_id)
                .bind(page(PAGE_IDENTITIES_MAX))
                .fetch_all(&self.scanners)
                .await?;
        rows.iter().map(row::record).collect()
    }

    async fn identities(&self, after: Option<&IdentityName>, count: usize) -> Result<Vec<Record>, RegistryError> {
        let rows = sqlx::query(
            "SELECT * FROM identity WHERE (device_id, module_id) > (?, ?) ORDER BY device_id, module_id LIMIT ?",
        )
        .bind(after.map_or("", IdentityName::device_id))
        .bind(after.and_then(IdentityName::module_id).unwrap_or_default())
        .bind(page(count))
        .fetch_all(&self.scanners)
        .await?;
        rows.iter().map(row::record).collect()
    }

    async fn count(&self) -> Result<DeviceCounts, RegistryError> {
        let row =
            sqlx::query("SELECT count(*), count(*) FILTER (WHERE enabled = 0) FROM identity WHERE module_id = ''")
                .fetch_one(&self.scanners)
                .await?;
        let number = |index: usize| -> Result<u64, RegistryError> {
            u64::try_from(row.try_get::<i64, _>(index)?).map_err(|_| RegistryError::Corrupt { what: "count" })
        };
        Ok(DeviceCounts { total: number(0)?, disabled: number(1)? })
    }

    async fn newest_change(&self) -> Result<i64, RegistryError> {
        let row = sqlx::query("SELECT coalesce(max(sequence), 0) FROM change").fetch_one(&self.readers).await?;
        Ok(row.try_get(0)?)
    }

    async fn changes_since(&self, sequence: i64, count: usize) -> Result<Option<Vec<LoggedChange>>, RegistryError> {
        // One read transaction, so that bounds, log and identities belong together.
        let mut transaction = self.readers.begin().await?;
        let bounds = sqlx::query("SELECT coalesce(min(sequence), 1), coalesce(max(sequence), 0) FROM change")
            .fetch_one(&mut *transaction)
            .await?;
        let (oldest, newest): (i64, i64) = (bounds.try_get(0)?, bounds.try_get(1)?);
        // A newest number below ours: somebody has put an older file in its place.
        if sequence < oldest.saturating_sub(1) || sequence > newest {
            return Ok(None);
        }
        let rows = sqlx::query(
            "SELECT c.sequence AS sequence, c.kind AS kind, c.device_id AS changed_device_id, c.module_id AS changed_module_id, i.* \
             FROM change c LEFT JOIN identity i ON i.device_id = c.device_id AND i.module_id = c.module_id \
             WHERE c.sequence > ? ORDER BY c.sequence LIMIT ?",
        )
        .bind(sequence)
        .bind(i64::try_from(count).unwrap_or(i64::MAX))
        .fetch_all(&mut *transaction)
        .await?;
        rows.iter().map(row::change).collect::<Result<_, _>>().map(Some)
    }
}

impl Store for SqliteStore {
    fn create<'a>(&'a self, record: &'a Record) -> Pending<'a, ()> {
        Box::pin(async { self.group.order(Order::Create(record.clone())).await.map(drop) })
    }

    fn get<'a>(&'a self, name: &'a IdentityName) -> Pending<'a, Option<Record>> {
        Box::pin(self.get(name))
    }

    fn find_many<'a>(&'a self, names: &'a [IdentityName]) -> Pending<'a, Vec<Record>> {
        Box::pin(self.find_many(names))
    }

    fn devices<'a>(&'a self, after: Option<&'a str>, count: usize) -> Pending<'a, Vec<Record>> {
        Box::pin(self.devices(after, count))
    }

    fn modules<'a>(&'a self, device_id: &'a str) -> Pending<'a, Vec<Record>> {
        Box::pin(self.modules(device_id))
    }

    fn identities<'a>(&'a self, after: Option<&'a IdentityName>, count: usize) -> Pending<'a, Vec<Record>> {
        Box::pin(self.identities(after, count))
    }

    fn count(&self) -> Pending<'_, DeviceCounts> {
        Box::pin(self.count())
    }

    fn update<'a>(&'a self, name: &'a IdentityName, expected: Expected, update: Update) -> Pending<'a, Record> {
        Box::pin(self.group.order(Order::Update(name.clone(), expected, update)))
    }

    fn delete<'a>(&'a self, name: &'a IdentityName, expected: Expected) -> Pending<'a, ()> {
        Box::pin(async move { self.group.order(Order::Delete(name.clone(), expected)).await.map(drop) })
    }

    fn begin_import(&self) -> Pending<'_, Box<dyn Import>> {
        Box::pin(async {
            let import: Box<dyn Import> = Box::new(SqliteImport(self.begin().await?));
            Ok(import)
        })
    }

    fn newest_change(&self) -> Pending<'_, i64> {
        Box::pin(self.newest_change())
    }

    fn changes_since(&self, sequence: i64, count: usize) -> Pending<'_, Option<Vec<LoggedChange>>> {
        Box::pin(self.changes_since(sequence, count))
    }
}

#[cfg(test)]
mod tests;
