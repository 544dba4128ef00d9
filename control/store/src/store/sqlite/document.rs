//! Documents <-> rows of table `document`, many in each statement: a statement costs two changes of threads.
//! - Invariants: values are bound, never spliced into SQL. Only statements of one row, whose text is always the same, are kept prepared.
//! - Errors: [`RegistryError::Corrupt`] when a row holds what was never written.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row, Sqlite};

use crate::documents::{
    ApplyError, Batch, Collection, Document, DocumentKey, Documents, PendingDocuments, SCAN_DOCUMENTS_MAX, Scan,
};
use crate::error::RegistryError;
use crate::limits::STATEMENT_ROWS_MAX;
use crate::registry::IdentityName;
use crate::store::plan::Effect;
use crate::store::sqlite::SqliteStore;

/// Which of the identities are there.
pub(super) async fn identities<'a>(
    connection: &mut SqliteConnection,
    names: &[&'a IdentityName],
) -> Result<HashSet<&'a IdentityName>, RegistryError> {
    let mut found = HashSet::with_capacity(names.len());
    for names in names.chunks(STATEMENT_ROWS_MAX) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT position FROM (SELECT column1 AS position, column2 AS device, \
             column3 AS module FROM (",
        );
        query.push_values(names.iter().zip(0_i64..), |mut row, (name, position)| {
            row.push_bind(position).push_bind(name.device_id()).push_bind(name.module_id().unwrap_or_default());
        });
        query.push(")) CROSS JOIN identity ON device_id = device AND module_id = module");
        for row in query.build().persistent(names.len() == 1).fetch_all(&mut *connection).await? {
            found.insert(asked(&row, names)?);
        }
    }
    Ok(found)
}

/// Versions of those of the documents that are there.
pub(super) async fn versions<'a>(
    connection: &mut SqliteConnection,
    keys: &[&'a DocumentKey],
) -> Result<HashMap<&'a DocumentKey, i64>, RegistryError> {
    let mut found = HashMap::with_capacity(keys.len());
    for keys in keys.chunks(STATEMENT_ROWS_MAX) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT position, version FROM (SELECT column1 AS position, \
             column2 AS kind, column3 AS whose, column4 AS called FROM (",
        );
        query.push_values(keys.iter().zip(0_i64..), |mut row, (key, position)| {
            row.push_bind(position).push_bind(key.collection.number()).push_bind(&*key.owner).push_bind(&*key.name);
        });
        query.push(")) CROSS JOIN document ON collection = kind AND owner = whose AND name = called");
        for row in query.build().persistent(keys.len() == 1).fetch_all(&mut *connection).await? {
            found.insert(asked(&row, keys)?, row.try_get("version")?);
        }
    }
    Ok(found)
}

/// Writes what a plan asks for.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    effects: &BTreeMap<&DocumentKey, Effect<'_>>,
) -> Result<(), RegistryError> {
    let written: Vec<_> = effects.iter().filter_map(|(key, effect)| Some((*key, effect.after?))).collect();
    for rows in written.chunks(STATEMENT_ROWS_MAX) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO document (collection, owner, name, version, body) ");
        query.push_values(rows, |mut row, (key, (version, body))| {
            row.push_bind(key.collection.number())
                .push_bind(&*key.owner)
                .push_bind(&*key.name)
                .push_bind(*version)
                .push_bind(*body);
        });
        query.push(
            " ON CONFLICT (collection, owner, name) DO UPDATE SET version = excluded.version, body = excluded.body",
        );
        query.build().persistent(rows.len() == 1).execute(&mut *connection).await?;
    }
    let gone: Vec<_> = effects.iter().filter(|(_, effect)| effect.after.is_none()).map(|(key, _)| *key).collect();
    for keys in gone.chunks(STATEMENT_ROWS_MAX) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "DELETE FROM document WHERE rowid IN (SELECT document.rowid FROM (SELECT column1 AS kind, column2 AS whose, \
             column3 AS called FROM (",
        );
        query.push_values(keys, |mut row, key| {
            row.push_bind(key.collection.number()).push_bind(&*key.owner).push_bind(&*key.name);
        });
        query.push(")) CROSS JOIN document ON collection = kind AND owner = whose AND name = called)");
        query.build().persistent(keys.len() == 1).execute(&mut *connection).await?;
    }
    Ok(())
}

/// What a row answers: the member of `list` whose position it names.
fn asked<T: Copy>(row: &SqliteRow, list: &[T]) -> Result<T, RegistryError> {
    let index = usize::try_from(row.try_get::<i64, _>("position")?).ok();
    index.and_then(|index| list.get(index)).copied().ok_or(RegistryError::Corrupt { what: "position" })
}

async fn find(connection: &mut SqliteConnection, key: &DocumentKey) -> Result<Option<Document>, RegistryError> {
    let row = sqlx::query("SELECT version, body FROM document WHERE collection = ? AND owner = ? AND name = ?")
        .bind(key.collection.number())
        .bind(&*key.owner)
        .bind(&*key.name)
        .fetch_optional(connection)
        .await?;
    let document = |row: SqliteRow| {
        Ok(Document { key: key.clone(), version: row.try_get("version")?, body: row.try_get("body")? })
    };
    row.map(document).transpose()
}

impl SqliteStore {
    async fn read(&self, key: &DocumentKey) -> Result<Option<Document>, RegistryError> {
        let mut connection = self.readers.acquire().await?;
        find(&mut connection, key).await
    }

    async fn read_many(&self, keys: &[DocumentKey]) -> Result<Vec<Document>, RegistryError> {
        let mut transaction = self.readers.begin().await?;
        let mut documents = Vec::with_capacity(keys.len().min(SCAN_DOCUMENTS_MAX));
        for key in keys.iter().take(SCAN_DOCUMENTS_MAX) {
            documents.extend(find(&mut transaction, key).await?);
        }
        Ok(documents)
    }

    async fn scan(&self, scan: &Scan) -> Result<Vec<Document>, RegistryError> {
        let query = match (&scan.owner, &scan.after) {
            (None, None) => sqlx::query(
                "SELECT owner, name, version, body FROM document WHERE collection = ? \
                 ORDER BY owner, name LIMIT ?",
            )
            .bind(scan.collection.number()),
            (None, Some((owner, name))) => sqlx::query(
                "SELECT owner, name, version, body FROM document WHERE collection = ? AND (owner, name) > (?, ?) \
                 ORDER BY owner, name LIMIT ?",
            )
            .bind(scan.collection.number())
            .bind(&**owner)
            .bind(&**name),
            (Some(owner), Some((after, _))) if after > owner => return Ok(Vec::new()),
            (Some(owner), Some((after, name))) if after == owner => sqlx::query(
                "SELECT owner, name, version, body FROM document WHERE collection = ? AND owner = ? AND name > ? \
                 ORDER BY name LIMIT ?",
            )
            .bind(scan.collection.number())
            .bind(&**owner)
            .bind(&**name),
            (Some(owner), _) => sqlx::query(
                "SELECT owner, name, version, body FROM document WHERE collection = ? AND owner = ? \
                 ORDER BY name LIMIT ?",
            )
            .bind(scan.collection.number())
            .bind(&**owner),
        };
        let rows = query.bind(scan.limit()).fetch_all(&self.scanners).await?;
        let document = |row: &SqliteRow| {
            let key = DocumentKey::new(scan.collection, row.try_get("owner")?, row.try_get("name")?);
            Ok(Document { key, version: row.try_get("version")?, body: row.try_get("body")? })
        };
        rows.iter().map(document).collect()
    }

    async fn count_documents(&self, collection: Collection, owner: Option<&str>) -> Result<u64, RegistryError> {
        let query = match owner {
            None => sqlx::query("SELECT count(*) FROM document WHERE collection = ?").bind(collection.number()),
            Some(owner) => sqlx::query("SELECT count(*) FROM document WHERE collection = ? AND owner = ?")
                .bind(collection.number())
                .bind(owner),
        };
        let count: i64 = query.fetch_one(&self.scanners).await?.try_get(0)?;
        u64::try_from(count).map_err(|_| RegistryError::Corrupt { what: "count" })
    }

    async fn revision(&self, collection: Collection) -> Result<i64, RegistryError> {
        let row = sqlx::query("SELECT revision FROM collection_revision WHERE collection = ?")
            .bind(collection.number())
            .fetch_optional(&self.readers)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
    }
}

impl Documents for SqliteStore {
    fn read<'a>(&'a self, key: &'a DocumentKey) -> PendingDocuments<'a, Option<Document>> {
        Box::pin(self.read(key))
    }

    fn read_many<'a>(&'a self, keys: &'a [DocumentKey]) -> PendingDocuments<'a, Vec<Document>> {
        Box::pin(self.read_many(keys))
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
        Box::pin(self.revision(collection))
    }
}
