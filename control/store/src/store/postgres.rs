//! Identities and documents in a PostgreSQL database that several nodes share.
//! - Shape: the tables of the SQLite file, with triggers that do the same. Changes go through `group`, only imports do not: every
//!   node has one writing connection for all its callers, and the server sees few, large transactions.
//! - Invariants: changes become visible in the order of their numbers in the log, whichever node makes them, so a follower misses none.
//!   Read committed is enough: what a decision is made from is locked first.
//! - Limits: at most [`WRITERS`] + [`READERS`] + [`SCANNERS`] connections a node, and one that listens. A statement waits 15 s for a lock, a caller
//!   [`WAIT_SECONDS`] for a connection and [`ANSWER_SECONDS_MAX`] for what it reads by key, then the answer is [`RegistryError::Busy`]. A node that vanishes in the middle of a transaction
//!   loses its locks within a minute.
//! - Errors: [`RegistryError`]; never with the password of the address.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Executor, Row};
use tokio::time::timeout;

use crate::error::RegistryError;
use crate::limits::PAGE_IDENTITIES_MAX;
use crate::registry::{Expected, IdentityName, Record, Update};
use crate::store::group::{GroupCommit, Order};
use crate::store::{DeviceCounts, Import, LoggedChange, Pending, Store, page};

mod document;
mod import;
mod notices;
mod row;
mod schema;
mod writer;

use import::PostgresImport;
use notices::{Node, PostgresNotices};
use writer::PostgresWriter;

/// Connections that write: the group's, and imports.
const WRITERS: u32 = 3;
/// Connections that read single rows, or a few by name.
const READERS: u32 = 4;
/// Connections that read pages and count. Apart, so that slow scans never keep a look-up waiting.
const SCANNERS: u32 = 3;
/// How long a caller waits for a connection.
const WAIT_SECONDS: u64 = 5;
/// How long a server may be silent that was asked for single rows. One whose machine has vanished says nothing for as long as TCP tries.
const ANSWER_SECONDS_MAX: u64 = if cfg!(test) { 5 } else { 15 };
/// What each connection is told first. The third line: every join of ours is a look-up by key, but a plan that the server made and kept
/// while the tables were empty would read them whole; compiling such plans would cost more than it
/// saves. The last makes it notice a node that vanished, and free what it held.
const SETTINGS: &str = "SET default_transaction_isolation = 'read committed'; SET lock_timeout = '15s'; \
     SET idle_in_transaction_session_timeout = '60s'; \
     SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; \
     SET tcp_keepalives_idle = 20; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";

/// A registry in a PostgreSQL database.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    writer: PgPool,
    readers: PgPool,
    scanners: PgPool,
    group: GroupCommit,
    node: Node,
}

impl PostgresStore {
    /// Opens the database at `postgres://USER:PASSWORD@HOST/DATABASE?sslmode=...` and brings it to the newest schema.
    ///
    /// # Errors
    /// When it cannot be reached, or was written by a newer version.
    pub async fn open(url: &str) -> Result<Self, RegistryError> {
        // The parser's own error may repeat parts of the address.
        let options = PgConnectOptions::from_str(url).map_err(|_| RegistryError::Url)?.application_name("millrace");
        let writer = pool(&options, WRITERS);
        schema::migrate(&writer).await?;
        let node = Node::new()?;
        let group = GroupCommit::start(PostgresWriter { pool: writer.clone(), node });
        Ok(Self { readers: pool(&options, READERS), scanners: pool(&options, SCANNERS), writer, group, node })
    }

    /// Listens to what other nodes note with their writes.
    async fn listen(&self) -> Result<PostgresNotices, RegistryError> {
        PostgresNotices::open(self.readers.connect_options(), self.node).await
    }

    /// Finishes what is under way and closes the connections.
    pub async fn close(&self) {
        self.group.close().await;
        self.scanners.close().await;
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn get(&self, name: &IdentityName) -> Result<Option<Record>, RegistryError> {
        let mut connection = self.readers.acquire().await?;
        row::find(&mut connection, name).await
    }

    async fn find_many(&self, names: &[IdentityName]) -> Result<Vec<Record>, RegistryError> {
        let names = names.get(..PAGE_IDENTITIES_MAX).unwrap_or(names);
        let rows = sqlx::query(
            "SELECT identity.* FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS asked (device, module, position) \
             JOIN identity ON device_id = asked.device AND module_id = asked.module ORDER BY asked.position",
        )
        .bind(names.iter().map(IdentityName::device_id).collect::<Vec<_>>())
        .bind(names.iter().map(|name| name.module_id().unwrap_or_default()).collect::<Vec<_>>())
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(row::record).collect()
    }

    async fn devices(&self, after: Option<&str>, count: usize) -> Result<Vec<Record>, RegistryError> {
        let rows =
            sqlx::query("SELECT * FROM identity WHERE module_id = '' AND device_id > $1 ORDER BY device_id LIMIT $2")
                .bind(after.unwrap_or_default())
                .bind(page(count))
                .fetch_all(&self.scanners)
                .await?;
        rows.iter().map(row::record).collect()
    }

    async fn modules(&self, device_id: &str) -> Result<Vec<Record>, RegistryError> {
        let rows =
            sqlx::query("SELECT * FROM identity WHERE device_id = $1 AND module_id > '' ORDER BY module_id LIMIT $2")
                .bind(device_id)
                .bind(page(PAGE_IDENTITIES_MAX))
                .fetch_all(&self.scanners)
                .await?;
        rows.iter().map(row::record).collect()
    }

    async fn identities(&self, after: Option<&IdentityName>, count: usize) -> Result<Vec<Record>, RegistryError> {
        let rows = sqlx::query(
            "SELECT * FROM identity WHERE (device_id, module_id) > ($1, $2) ORDER BY device_id, module_id LIMIT $3",
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
            sqlx::query("SELECT count(*), count(*) FILTER (WHERE NOT enabled) FROM identity WHERE module_id = ''")
                .fetch_one(&self.scanners)
                .await?;
        let number = |index: usize| -> Result<u64, RegistryError> {
            u64::try_from(row.try_get::<i64, _>(index)?).map_err(|_| RegistryError::Corrupt { what: "count" })
        };
        Ok(DeviceCounts { total: number(0)?, disabled: number(1)? })
    }

    async fn begin_import(&self) -> Result<PostgresImport, RegistryError> {
        let mut transaction = self.writer.begin().await?;
        row::lock_log(&mut transaction).await?;
        Ok(PostgresImport(transaction))
    }

    async fn newest_change(&self) -> Result<i64, RegistryError> {
        Ok(sqlx::query("SELECT newest FROM change_bounds").fetch_one(&self.readers).await?.try_get(0)?)
    }

    async fn changes_since(&self, sequence: i64, count: usize) -> Result<Option<Vec<LoggedChange>>, RegistryError> {
        // One snapshot, so that bounds, log and identities belong together.
        let mut transaction = self.readers.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        let bounds = sqlx::query("SELECT oldest, newest FROM change_bounds").fetch_one(&mut *transaction).await?;
        let (oldest, newest): (i64, i64) = (bounds.try_get(0)?, bounds.try_get(1)?);
        // A newest number below ours: somebody has put an older backup in its place.
        if sequence < oldest.saturating_sub(1) || sequence > newest {
            return Ok(None);
        }
        let rows = sqlx::query(
            "SELECT c.sequence AS sequence, c.kind AS kind, c.device_id AS changed_device_id, c.module_id AS changed_module_id, i.* \
             FROM (SELECT * FROM change WHERE sequence > $1 ORDER BY sequence LIMIT $2) c \
             LEFT JOIN identity i ON i.device_id = c.device_id AND i.module_id = c.module_id ORDER BY c.sequence",
        )
        .bind(sequence)
        .bind(i64::try_from(count).unwrap_or(i64::MAX))
        .fetch_all(&mut *transaction)
        .await?;
        rows.iter().map(row::change).collect::<Result<_, _>>().map(Some)
    }
}

/// What `reading` answers in time.
async fn in_time<T>(reading: impl Future<Output = Result<T, RegistryError>>) -> Result<T, RegistryError> {
    let answered = timeout(Duration::from_secs(ANSWER_SECONDS_MAX), reading).await;
    answered.unwrap_or(Err(RegistryError::Busy))
}

/// Connections, opened when they are needed.
fn pool(options: &PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(WAIT_SECONDS))
        .after_connect(|connection, _| Box::pin(async { connection.execute(SETTINGS).await.map(drop) }))
        .connect_lazy_with(options.clone())
}

impl Store for PostgresStore {
    fn create<'a>(&'a self, record: &'a Record) -> Pending<'a, ()> {
        Box::pin(async { self.group.order(Order::Create(record.clone())).await.map(drop) })
    }

    fn get<'a>(&'a self, name: &'a IdentityName) -> Pending<'a, Option<Record>> {
        Box::pin(in_time(self.get(name)))
    }

    fn find_many<'a>(&'a self, names: &'a [IdentityName]) -> Pending<'a, Vec<Record>> {
        Box::pin(in_time(self.find_many(names)))
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
            let import: Box<dyn Import> = Box::new(self.begin_import().await?);
            Ok(import)
        })
    }

    fn newest_change(&self) -> Pending<'_, i64> {
        Box::pin(in_time(self.newest_change()))
    }

    fn changes_since(&self, sequence: i64, count: usize) -> Pending<'_, Option<Vec<LoggedChange>>> {
        Box::pin(in_time(self.changes_since(sequence, count)))
    }
}

#[cfg(test)]
pub(crate) mod server;
#[cfg(test)]
mod tests;
