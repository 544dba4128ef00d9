//! Brings a file to the newest schema. The version stands in the file's `user_version`.
//! - Invariants: all steps in one transaction under the write lock, so that two programs may open a new file at once.

use sqlx::Row;
use sqlx::sqlite::SqlitePool;

use crate::error::RegistryError;

/// One script per version, in order: the first leads from an empty file to version 1.
const STEPS: [(&str, &str); 2] = [
    (include_str!("schema_1.sql"), "PRAGMA user_version = 1"),
    (include_str!("schema_2.sql"), "PRAGMA user_version = 2"),
];

pub(super) async fn migrate(writer: &SqlitePool) -> Result<(), RegistryError> {
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    let found: i64 = sqlx::query("PRAGMA user_version").fetch_one(&mut *transaction).await?.try_get(0)?;
    let done = usize::try_from(found).map_err(|_| RegistryError::Corrupt { what: "schema version" })?;
    if found > known {
        return Err(RegistryError::Newer { found, known });
    }
    for (script, version) in STEPS.into_iter().skip(done) {
        sqlx::raw_sql(script).execute(&mut *transaction).await?;
        sqlx::raw_sql(version).execute(&mut *transaction).await?;
    }
    Ok(transaction.commit().await?)
}
