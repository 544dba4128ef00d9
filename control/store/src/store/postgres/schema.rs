//! Brings a database to the newest schema. The version stands in table `millrace_schema`.
//! - Invariants: all steps in one transaction under an advisory lock, so that several nodes may start on a new database at once.

use sqlx::Row;
use sqlx::postgres::PgPool;

use crate::error::RegistryError;

/// One script per version, in order: the first leads from an empty database to version 1.
const STEPS: [&str; 1] = [include_str!("schema_1.sql")];

/// "millrace" as a number, for the advisory lock.
const LOCK: i64 = i64::from_be_bytes(*b"millrace");

pub(super) async fn migrate(writer: &PgPool) -> Result<(), RegistryError> {
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let mut transaction = writer.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS millrace_schema (version bigint NOT NULL)")
        .execute(&mut *transaction)
        .await?;
    let found: i64 = sqlx::query("SELECT coalesce(max(version), 0) FROM millrace_schema")
        .fetch_one(&mut *transaction)
        .await?
        .try_get(0)?;
    let done = usize::try_from(found).map_err(|_| RegistryError::Corrupt { what: "schema version" })?;
    if found > known {
        return Err(RegistryError::Newer { found, known });
    }
    for (script, version) in STEPS.into_iter().zip(1_i64..).skip(done) {
        sqlx::raw_sql(script).execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO millrace_schema (version) VALUES ($1)")
            .bind(version)
            .execute(&mut *transaction)
            .await?;
    }
    Ok(transaction.commit().await?)
}
