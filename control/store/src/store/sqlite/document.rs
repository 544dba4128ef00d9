//! Documents <-> rows of table `document`.
//! - Invariants: values are bound, never spliced into SQL.
//! - Errors: [`RegistryError::Corrupt`] when a row holds what was never written.

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::documents::{
    ApplyError, Batch, Collection, Document, DocumentKey, Documents, PendingDocuments, SCAN_DOCUMENTS_MAX, Scan,
};
use crate::error::RegistryError;
use crate::store::plan::Effect;
use crate::store::sqlite::SqliteStore;

pub(super) async fn version(
    connection: &mut SqliteConnection,
    key: &DocumentKey,
) -> Result<Option<i64>, RegistryError> {
    let row = sqlx::query("SELECT version FROM document WHERE collection = ? AND owner = ? AND name = ?")
        .bind(key.collection.number())
        .bind(&*key.owner)
        .bind(&*key.name)
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

pub(super) async fn write(
    connection: &mut SqliteConnection,
    key: &DocumentKey,
    effect: Effect<'_>,
) -> Result<(), RegistryError> {
    let query = match (effect.before, effect.after) {
        (None, Some((version, body))) => {
            sqlx::query("INSERT INTO document (version, body, collection, owner, name) VALUES (?, ?, ?, ?, ?)")
                .bind(version)
                .bind(body)
        }
        (Some(_), Some((version, body))) => {
            sqlx::query("UPDATE document SET version = ?, body = ? WHERE collection = ? AND owner = ? AND name = ?")
                .bind(version)
                .bind(body)
        }
        (_, None) => sqlx::query("DELETE FROM document WHERE collection = ? AND owner = ? AND name = ?"),
    };
    query.bind(key.collection.number()).bind(&*key.owner).bind(&*key.name).execute(connection).await?;
    Ok(())
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
            (Some(owner), None) => sqlx::query(
                "SELECT owner, name, version, body FROM document WHERE collection = ? AND owner = ? \
                 ORDER BY name LIMIT ?",
            )
            .bind(scan.collection.number())
            .bind(&**owner),
            (Some(owner), Some((after_owner, after_name))) => sqlx::query(
                "SELECT owner, name, version, body FROM document \
                 WHERE collection = ? AND owner = ? AND (owner, name) > (?, ?) ORDER BY name LIMIT ?",
            )
            .bind(scan.collection.number())
            .bind(&**owner)
            .bind(&**after_owner)
            .bind(&**after_name),
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
