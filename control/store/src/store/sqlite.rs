//! The registry in one SQLite file: one writer connection, a few readers, WAL.
//! - Shape: `DIR/registry.sqlite` (mode 0600, directory 0700) with tables `identity` and `change`; triggers fill the log, so that
//!   a change counts whoever made it.
//! - Invariants: writers take the write lock when they begin, so a transaction never fails half-way for another writer's sake.
//! - Limits: a writer waits [`BUSY_TIMEOUT`] for another process, then answers [`RegistryError::Busy`].
//! - Errors: [`RegistryError`]; a file of a newer version is refused.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, Sqlite, Transaction};

use crate::clock;
use crate::error::RegistryError;
use crate::limits::PAGE_IDENTITIES_MAX;
use crate::random;
use crate::registry::{self, Expected, IdentityName, Record, Update};
use crate::store::{DeviceCounts, Import, LoggedChange, Pending, Store};

mod file;
mod import;
mod row;
mod schema;

use import::SqliteImport;

/// How long a writer waits for another one. An import of 100,000 rows holds the lock for about two seconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(15);
/// Readers: the follower, and requests of the REST API.
const READERS: u32 = 3;

/// A registry in a SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
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
        let readers = SqlitePoolOptions::new().max_connections(READERS).acquire_timeout(wait);
        let readers = readers.connect_lazy_with(options.read_only(true));
        Ok(Self { writer, readers })
    }

    /// Finishes what is under way and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Empties the change log, as if it had been trimmed.
    #[cfg(test)]
    pub(crate) async fn forget_changes(&self) {
        sqlx::raw_sql("DELETE FROM change").execute(&self.writer).await.unwrap();
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, RegistryError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    async fn create(&self, record: &Record) -> Result<(), RegistryError> {
        let mut transaction = self.begin().await?;
        if record.name.module_id().is_some() {
            let device = IdentityName::new(record.name.device_id(), None)?;
            row::find(&mut transaction, &device).await?.ok_or(RegistryError::DeviceNotFound)?;
        }
        if row::insert(&mut transaction, std::slice::from_ref(record)).await?.is_empty() {
            Ok(transaction.commit().await?)
        } else {
            Err(registry::exists(&record.name))
        }
    }

    async fn get(&self, name: &IdentityName) -> Result<Option<Record>, RegistryError> {
        let mut connection = self.readers.acquire().await?;
        row::find(&mut connection, name).await
    }

    async fn devices(&self, after: Option<&str>, count: usize) -> Result<Vec<Record>, RegistryError> {
        let rows =
            sqlx::query("SELECT * FROM identity WHERE module_id = '' AND device_id > ? ORDER BY device_id LIMIT ?")
                .bind(after.unwrap_or_default())
                .bind(page(count))
                .fetch_all(&self.readers)
                .await?;
        rows.iter().map(row::record).collect()
    }

    async fn modules(&self, device_id: &str) -> Result<Vec<Record>, RegistryError> {
        let rows =
            sqlx::query("SELECT * FROM identity WHERE device_id = ? AND module_id > '' ORDER BY module_id LIMIT ?")
                .bind(device_id)
                .bind(page(PAGE_IDENTITIES_MAX))
                .fetch_all(&self.readers)
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
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(row::record).collect()
    }

    async fn count(&self) -> Result<DeviceCounts, RegistryError> {
        let row =
            sqlx::query("SELECT count(*), count(*) FILTER (WHERE enabled = 0) FROM identity WHERE module_id = ''")
                .fetch_one(&self.readers)
                .await?;
        let number = |index: usize| -> Result<u64, RegistryError> {
            u64::try_from(row.try_get::<i64, _>(index)?).map_err(|_| RegistryError::Corrupt { what: "count" })
        };
        Ok(DeviceCounts { total: number(0)?, disabled: number(1)? })
    }

    async fn update(&self, name: &IdentityName, expected: Expected, update: Update) -> Result<Record, RegistryError> {
        let mut transaction = self.begin().await?;
        let found = row::find(&mut transaction, name).await?.ok_or_else(|| registry::not_found(name))?;
        expected.check(found.etag)?;
        let record = found.updated(update, clock::now(), random::salt()?)?;
        row::replace(&mut transaction, &record).await?;
        transaction.commit().await?;
        Ok(record)
    }

    async fn delete(&self, name: &IdentityName, expected: Expected) -> Result<(), RegistryError> {
        let mut transaction = self.begin().await?;
        let found = row::find(&mut transaction, name).await?.ok_or_else(|| registry::not_found(name))?;
        expected.check(found.etag)?;
        row::delete(&mut transaction, name).await?;
        Ok(transaction.commit().await?)
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
            "SELECT c.sequence AS sequence, c.device_id AS changed_device_id, c.module_id AS changed_module_id, i.* \
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
        Box::pin(self.create(record))
    }

    fn get<'a>(&'a self, name: &'a IdentityName) -> Pending<'a, Option<Record>> {
        Box::pin(self.get(name))
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
        Box::pin(self.update(name, expected, update))
    }

    fn delete<'a>(&'a self, name: &'a IdentityName, expected: Expected) -> Pending<'a, ()> {
        Box::pin(self.delete(name, expected))
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

fn page(count: usize) -> i64 {
    i64::try_from(count.min(PAGE_IDENTITIES_MAX)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
