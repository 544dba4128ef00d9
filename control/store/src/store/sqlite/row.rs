//! Records <-> rows of table `identity`.
//! - Invariants: values are bound, never spliced into SQL. The empty module id stands for the device itself.
//! - Errors: [`RegistryError::Corrupt`] when a row holds what was never written.

use std::collections::HashSet;

use millrace_model::Timestamp;
use millrace_protocols_identity::Key;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row, Sqlite};

use crate::error::RegistryError;
use crate::registry::{Authentication, IdentityName, Record, Stamp, Status};
use crate::store::LoggedChange;

pub(super) async fn find(
    connection: &mut SqliteConnection,
    name: &IdentityName,
) -> Result<Option<Record>, RegistryError> {
    let row = sqlx::query("SELECT * FROM identity WHERE device_id = ? AND module_id = ?")
        .bind(name.device_id())
        .bind(name.module_id().unwrap_or_default())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(record).transpose()
}

/// Inserts in one statement; returns the positions of records whose name was taken.
pub(super) async fn insert(connection: &mut SqliteConnection, records: &[Record]) -> Result<Vec<usize>, RegistryError> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO identity (device_id, module_id, generation, etag, enabled, status_reason, \
         primary_key, secondary_key, created_ms, updated_ms, status_updated_ms) ",
    );
    query.push_values(records, |mut row, record| {
        let (primary, secondary) = keys(&record.authentication);
        row.push_bind(record.name.device_id())
            .push_bind(record.name.module_id().unwrap_or_default())
            .push_bind(record.generation.0)
            .push_bind(record.etag.0)
            .push_bind(record.status == Status::Enabled)
            .push_bind(record.status_reason.as_deref())
            .push_bind(primary)
            .push_bind(secondary)
            .push_bind(record.created.0)
            .push_bind(record.updated.0)
            .push_bind(record.status_updated.0);
    });
    query.push(" ON CONFLICT DO NOTHING RETURNING device_id, module_id");
    let rows = query.build().fetch_all(connection).await?;
    if rows.len() == records.len() {
        return Ok(Vec::new());
    }
    let inserted = rows.iter().map(|row| Ok((row.try_get("device_id")?, row.try_get("module_id")?)));
    let mut inserted = inserted.collect::<Result<HashSet<(&str, &str)>, sqlx::Error>>()?;
    let mut taken = Vec::new();
    for (position, record) in records.iter().enumerate() {
        // Of equal names in one statement the first is the one that went in.
        if !inserted.remove(&(record.name.device_id(), record.name.module_id().unwrap_or_default())) {
            taken.push(position);
        }
    }
    Ok(taken)
}

pub(super) async fn replace(connection: &mut SqliteConnection, record: &Record) -> Result<(), RegistryError> {
    let (primary, secondary) = keys(&record.authentication);
    sqlx::query(
        "UPDATE identity SET etag = ?, enabled = ?, status_reason = ?, primary_key = ?, secondary_key = ?, \
         updated_ms = ?, status_updated_ms = ? WHERE device_id = ? AND module_id = ?",
    )
    .bind(record.etag.0)
    .bind(record.status == Status::Enabled)
    .bind(record.status_reason.as_deref())
    .bind(primary)
    .bind(secondary)
    .bind(record.updated.0)
    .bind(record.status_updated.0)
    .bind(record.name.device_id())
    .bind(record.name.module_id().unwrap_or_default())
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes a module, or a device with its modules.
pub(super) async fn delete(connection: &mut SqliteConnection, name: &IdentityName) -> Result<(), RegistryError> {
    let query = match name.module_id() {
        Some(module_id) => sqlx::query("DELETE FROM identity WHERE device_id = ? AND module_id = ?")
            .bind(name.device_id())
            .bind(module_id),
        None => sqlx::query("DELETE FROM identity WHERE device_id = ?").bind(name.device_id()),
    };
    query.execute(connection).await?;
    Ok(())
}

pub(super) fn record(row: &SqliteRow) -> Result<Record, RegistryError> {
    let keys: (Option<&[u8]>, Option<&[u8]>) = (row.try_get("primary_key")?, row.try_get("secondary_key")?);
    Ok(Record {
        name: name(row.try_get("device_id")?, row.try_get("module_id")?)?,
        generation: Stamp(row.try_get("generation")?),
        etag: Stamp(row.try_get("etag")?),
        status: if row.try_get("enabled")? { Status::Enabled } else { Status::Disabled },
        status_reason: row.try_get("status_reason")?,
        authentication: match keys {
            (Some(primary), Some(secondary)) => {
                Authentication::Sas { primary: key(primary)?, secondary: key(secondary)? }
            }
            (None, None) => Authentication::None,
            _ => return Err(RegistryError::Corrupt { what: "single key" }),
        },
        created: Timestamp(row.try_get("created_ms")?),
        updated: Timestamp(row.try_get("updated_ms")?),
        status_updated: Timestamp(row.try_get("status_updated_ms")?),
    })
}

pub(super) fn change(row: &SqliteRow) -> Result<LoggedChange, RegistryError> {
    let there: Option<&str> = row.try_get("device_id")?;
    Ok(LoggedChange {
        sequence: row.try_get("sequence")?,
        name: name(row.try_get("changed_device_id")?, row.try_get("changed_module_id")?)?,
        now: there.map(|_| record(row)).transpose()?,
    })
}

fn name(device_id: &str, module_id: &str) -> Result<IdentityName, RegistryError> {
    IdentityName::new(device_id, (!module_id.is_empty()).then_some(module_id))
        .map_err(|_| RegistryError::Corrupt { what: "name" })
}

fn key(bytes: &[u8]) -> Result<Key, RegistryError> {
    Key::from_bytes(bytes).map_err(|_| RegistryError::Corrupt { what: "key" })
}

fn keys(authentication: &Authentication) -> (Option<&[u8]>, Option<&[u8]>) {
    match authentication {
        Authentication::None => (None, None),
        Authentication::Sas { primary, secondary } => (Some(primary.as_bytes()), Some(secondary.as_bytes())),
    }
}
