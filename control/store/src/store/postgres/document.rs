//! Documents <-> rows of table `document`, many in each statement.
//! - Invariants: values are bound, never spliced into SQL. What a plan is made from is locked until the transaction ends; what is
//!   not there cannot be locked, so an insertion that finds a row is an error ([`sqlx::Error::RowNotFound`]) and the group is tried again.
//! - Errors: [`RegistryError::Corrupt`] when a row holds what was never written.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use crate::documents::{
    ApplyError, Batch, Collection, Document, DocumentKey, Documents, Notices, PendingDocuments, SCAN_DOCUMENTS_MAX,
    Scan,
};
use crate::error::RegistryError;
use crate::registry::IdentityName;
use crate::store::plan::Effect;
use crate::store::postgres::{PostgresStore, in_time};

/// Which of the identities are there; they stay until the transaction ends.
pub(super) async fn lock_identities<'a>(
    connection: &mut PgConnection,
    names: &[&'a IdentityName],
) -> Result<HashSet<&'a IdentityName>, RegistryError> {
    if names.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = sqlx::query(
        "SELECT asked.position FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS asked (device, module, position) \
         JOIN identity ON device_id = asked.device AND module_id = asked.module \
         ORDER BY device_id, module_id FOR KEY SHARE OF identity",
    )
    .bind(names.iter().map(|name| name.device_id()).collect::<Vec<_>>())
    .bind(names.iter().map(|name| name.module_id().unwrap_or_default()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| asked(row, names)).collect()
}

/// Versions of those of the documents that are there; they stay as they are until the transaction ends.
pub(super) async fn lock<'a>(
    connection: &mut PgConnection,
    keys: &[&'a DocumentKey],
) -> Result<HashMap<&'a DocumentKey, i64>, RegistryError> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let (collections, owners, names) = columns(keys.iter().copied());
    let rows = sqlx::query(
        "SELECT asked.position, version FROM unnest($1::smallint[], $2::bytea[], $3::bytea[]) WITH ORDINALITY \
         AS asked (kind, whose, called, position) \
         JOIN document ON collection = asked.kind AND owner = asked.whose AND name = asked.called \
         ORDER BY collection, owner, name FOR UPDATE OF document",
    )
    .bind(collections)
    .bind(owners)
    .bind(names)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((asked(row, keys)?, row.try_get("version")?))).collect()
}

/// Writes what a plan asks for.
pub(super) async fn write(
    connection: &mut PgConnection,
    effects: &BTreeMap<&DocumentKey, Effect<'_>>,
) -> Result<(), RegistryError> {
    let written = |is_there: bool| -> Vec<(&DocumentKey, i64, &[u8])> {
        let those = effects.iter().filter(|(_, effect)| effect.before.is_some() == is_there);
        those.filter_map(|(key, effect)| effect.after.map(|(version, body)| (*key, version, body))).collect()
    };
    insert(connection, &written(false)).await?;
    update(connection, &written(true)).await?;
    let gone = effects.iter().filter(|(_, effect)| effect.after.is_none()).map(|(key, _)| *key);
    delete(connection, &gone.collect::<Vec<_>>()).await
}

async fn insert(connection: &mut PgConnection, rows: &[(&DocumentKey, i64, &[u8])]) -> Result<(), RegistryError> {
    let sql = "INSERT INTO document (collection, owner, name, version, body) \
               SELECT * FROM unnest($1::smallint[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bytea[]) \
               ON CONFLICT DO NOTHING";
    put(connection, sql, rows).await
}

async fn update(connection: &mut PgConnection, rows: &[(&DocumentKey, i64, &[u8])]) -> Result<(), RegistryError> {
    let sql = "UPDATE document SET version = put.version, body = put.body \
               FROM unnest($1::smallint[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bytea[]) \
               AS put (kind, whose, called, version, body) \
               WHERE collection = put.kind AND owner = put.whose AND name = put.called";
    put(connection, sql, rows).await
}

async fn put(
    connection: &mut PgConnection,
    sql: &'static str,
    rows: &[(&DocumentKey, i64, &[u8])],
) -> Result<(), RegistryError> {
    if rows.is_empty() {
        return Ok(());
    }
    let (collections, owners, names) = columns(rows.iter().map(|(key, _, _)| *key));
    let result = sqlx::query(sql)
        .bind(collections)
        .bind(owners)
        .bind(names)
        .bind(rows.iter().map(|(_, version, _)| *version).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, _, body)| *body).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    all(result.rows_affected(), rows.len())
}

async fn delete(connection: &mut PgConnection, keys: &[&DocumentKey]) -> Result<(), RegistryError> {
    if keys.is_empty() {
        return Ok(());
    }
    let (collections, owners, names) = columns(keys.iter().copied());
    let result = sqlx::query(
        "DELETE FROM document USING unnest($1::smallint[], $2::bytea[], $3::bytea[]) AS gone (kind, whose, called) \
         WHERE collection = gone.kind AND owner = gone.whose AND name = gone.called",
    )
    .bind(collections)
    .bind(owners)
    .bind(names)
    .execute(connection)
    .await?;
    all(result.rows_affected(), keys.len())
}

fn all(rows: u64, wanted: usize) -> Result<(), RegistryError> {
    if usize::try_from(rows) == Ok(wanted) { Ok(()) } else { Err(sqlx::Error::RowNotFound.into()) }
}

/// The keys, column by column.
fn columns<'a>(keys: impl Iterator<Item = &'a DocumentKey>) -> (Vec<i16>, Vec<&'a [u8]>, Vec<&'a [u8]>) {
    let (mut collections, mut owners, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for key in keys {
        collections.push(number(key.collection));
        owners.push(key.owner.as_bytes());
        names.push(key.name.as_bytes());
    }
    (collections, owners, names)
}

/// What a row answers: the member of `list` whose position it names, counted from one.
fn asked<T: Copy>(row: &PgRow, list: &[T]) -> Result<T, RegistryError> {
    let position: i64 = row.try_get("position")?;
    let index = usize::try_from(position).ok().and_then(|position| position.checked_sub(1));
    index.and_then(|index| list.get(index)).copied().ok_or(RegistryError::Corrupt { what: "position" })
}

fn number(collection: Collection) -> i16 {
    i16::from(collection.number())
}

fn text<'a>(row: &'a PgRow, column: &str) -> Result<&'a str, RegistryError> {
    std::str::from_utf8(row.try_get(column)?).map_err(|_| RegistryError::Corrupt { what: "name" })
}

impl PostgresStore {
    async fn read(&self, key: &DocumentKey) -> Result<Option<Document>, RegistryError> {
        let row = sqlx::query("SELECT version, body FROM document WHERE collection = $1 AND owner = $2 AND name = $3")
            .bind(number(key.collection))
            .bind(key.owner.as_bytes())
            .bind(key.name.as_bytes())
            .fetch_optional(&self.readers)
            .await?;
        let document = |row: PgRow| {
            Ok(Document { key: key.clone(), version: row.try_get("version")?, body: row.try_get("body")? })
        };
        row.map(document).transpose()
    }

    async fn read_many(&self, keys: &[DocumentKey]) -> Result<Vec<Document>, RegistryError> {
        let keys: Vec<&DocumentKey> = keys.iter().take(SCAN_DOCUMENTS_MAX).collect();
        let (collections, owners, names) = columns(keys.iter().copied());
        let rows = sqlx::query(
            "SELECT asked.position, version, body FROM unnest($1::smallint[], $2::bytea[], $3::bytea[]) \
             WITH ORDINALITY AS asked (kind, whose, called, position) \
             JOIN document ON collection = asked.kind AND owner = asked.whose AND name = asked.called \
             ORDER BY asked.position",
        )
        .bind(collections)
        .bind(owners)
        .bind(names)
        .fetch_all(&self.readers)
        .await?;
        let document = |row: &PgRow| {
            let key = asked(row, &keys)?.clone();
            Ok(Document { key, version: row.try_get("version")?, body: row.try_get("body")? })
        };
        rows.iter().map(document).collect()
    }

    async fn scan(&self, scan: &Scan) -> Result<Vec<Document>, RegistryError> {
        let query = match (&scan.owner, &scan.after) {
            (None, None) => sqlx::query(
                "SELECT owner, name, version, body FROM document WHERE collection = $1 \
                 ORDER BY owner, name LIMIT $2",
            )
            .bind(number(scan.collection))
            .bind(scan.limit()),
            (None, Some((owner, name))) => sqlx::query(
                "SELECT owner, name, version, body FROM document WHERE collection = $1 AND (owner, name) > ($3, $4) \
                 ORDER BY owner, name LIMIT $2",
            )
            .bind(number(scan.collection))
            .bind(scan.limit())
            .bind(owner.as_bytes())
            .bind(name.as_bytes()),
            (Some(owner), Some((after, _))) if after > owner => return Ok(Vec::new()),
            (Some(owner), Some((after, name))) if after == owner => sqlx::query(
                "SELECT owner, name, version, body FROM document WHERE collection = $1 AND owner = $3 AND name > $4 \
                 ORDER BY name LIMIT $2",
            )
            .bind(number(scan.collection))
            .bind(scan.limit())
            .bind(owner.as_bytes())
            .bind(name.as_bytes()),
            (Some(owner), _) => sqlx::query(
                "SELECT owner, name, version, body FROM document WHERE collection = $1 AND owner = $3 \
                 ORDER BY name LIMIT $2",
            )
            .bind(number(scan.collection))
            .bind(scan.limit())
            .bind(owner.as_bytes()),
        };
        let rows = query.fetch_all(&self.scanners).await?;
        let document = |row: &PgRow| {
            let key = DocumentKey::new(scan.collection, text(row, "owner")?, text(row, "name")?);
            Ok(Document { key, version: row.try_get("version")?, body: row.try_get("body")? })
        };
        rows.iter().map(document).collect()
    }

    async fn count_documents(&self, collection: Collection, owner: Option<&str>) -> Result<u64, RegistryError> {
        let query = match owner {
            None => sqlx::query("SELECT count(*) FROM document WHERE collection = $1").bind(number(collection)),
            Some(owner) => sqlx::query("SELECT count(*) FROM document WHERE collection = $1 AND owner = $2")
                .bind(number(collection))
                .bind(owner.as_bytes()),
        };
        let count: i64 = query.fetch_one(&self.scanners).await?.try_get(0)?;
        u64::try_from(count).map_err(|_| RegistryError::Corrupt { what: "count" })
    }

    async fn revision(&self, collection: Collection) -> Result<i64, RegistryError> {
        let row = sqlx::query("SELECT revision FROM collection_revision WHERE collection = $1")
            .bind(number(collection))
            .fetch_optional(&self.readers)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
    }
}

impl Documents for PostgresStore {
    fn read<'a>(&'a self, key: &'a DocumentKey) -> PendingDocuments<'a, Option<Document>> {
        Box::pin(in_time(self.read(key)))
    }

    fn read_many<'a>(&'a self, keys: &'a [DocumentKey]) -> PendingDocuments<'a, Vec<Document>> {
        Box::pin(in_time(self.read_many(keys)))
    }

    fn scan<'a>(&'a self, scan: &'a Scan) -> PendingDocuments<'a, Vec<Document>> {
        Box::pin(self.scan(scan))
    }

    fn count_documents<'a>(&'a self, collection: Collection, owner: Option<&'a str>) -> PendingDocuments<'a, u64> {
        Box::pin(self.count_documents(collection, owner))
    }

    fn apply(&self, batch: Batch) -> PendingDocuments<'_, Vec<i64>, ApplyError> {
        Box::pin(self.group.apply(batch))
    }

    fn revision(&self, collection: Collection) -> PendingDocuments<'_, i64> {
        Box::pin(in_time(self.revision(collection)))
    }

    fn listen(&self) -> PendingDocuments<'_, Option<Box<dyn Notices>>> {
        Box::pin(async {
            let notices: Box<dyn Notices> = Box::new(self.listen().await?);
            Ok(Some(notices))
        })
    }
}
