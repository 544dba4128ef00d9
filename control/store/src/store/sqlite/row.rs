//! Records <-> rows of table `identity`.
//! - Invariants: values are bound, never spliced into SQL. The empty module id stands for the device itself.
//! - Errors: [`RegistryError::Corrupt`] when a row holds what was never written.

use std::collections::HashSet;

use millrace_model::Timestamp;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row, Sqlite};

use crate::error::RegistryError;
use crate::registry::{IdentityName, Record, Stamp, Status};
use crate::store::proof::{Proof, name, scopes, scopes_column};
use crate::store::{LoggedChange, LoggedKind};

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

pub(super) async fn is_there(connection: &mut SqliteConnection, name: &IdentityName) -> Result<bool, RegistryError> {
    let row = sqlx::query("SELECT 1 FROM identity WHERE device_id = ? AND module_id = ?")
        .bind(name.device_id())
        .bind(name.module_id().unwrap_or_default())
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

/// How many modules a device has.
pub(super) async fn modules(connection: &mut SqliteConnection, device_id: &str) -> Result<usize, RegistryError> {
    let row = sqlx::query("SELECT count(*) FROM identity WHERE device_id = ? AND module_id > ''")
        .bind(device_id)
        .fetch_one(connection)
        .await?;
    usize::try_from(row.try_get::<i64, _>(0)?).map_err(|_| RegistryError::Corrupt { what: "count" })
}

/// Inserts in one statement; returns the positions of records whose name was taken.
pub(super) async fn insert(connection: &mut SqliteConnection, records: &[Record]) -> Result<Vec<usize>, RegistryError> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO identity (device_id, module_id, generation, etag, enabled, status_reason, authentication, \
         primary_key, secondary_key, primary_thumbprint, secondary_thumbprint, iot_edge, managed_by, device_scope, \
         parent_scopes, created_ms, updated_ms, status_updated_ms) ",
    );
    query.push_values(records, |mut row, record| {
        let proof = Proof::from(&record.authentication);
        row.push_bind(record.name.device_id())
            .push_bind(record.name.module_id().unwrap_or_default())
            .push_bind(record.generation.0)
            .push_bind(record.etag.0)
            .push_bind(record.status == Status::Enabled)
            .push_bind(record.status_reason.as_deref())
            .push_bind(proof.kind)
            .push_bind(proof.primary_key)
            .push_bind(proof.secondary_key)
            .push_bind(proof.primary_thumbprint)
            .push_bind(proof.secondary_thumbprint)
            .push_bind(record.capabilities_iot_edge)
            .push_bind(record.managed_by.as_deref())
            .push_bind(record.device_scope.as_deref())
            .push_bind(scopes_column(&record.parent_scopes))
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
    let proof = Proof::from(&record.authentication);
    sqlx::query(
        "UPDATE identity SET etag = ?, enabled = ?, status_reason = ?, authentication = ?, primary_key = ?, \
         secondary_key = ?, primary_thumbprint = ?, secondary_thumbprint = ?, iot_edge = ?, managed_by = ?, \
         device_scope = ?, parent_scopes = ?, updated_ms = ?, status_updated_ms = ? \
         WHERE device_id = ? AND module_id = ?",
    )
    .bind(record.etag.0)
    .bind(record.status == Status::Enabled)
    .bind(record.status_reason.as_deref())
    .bind(proof.kind)
    .bind(proof.primary_key)
    .bind(proof.secondary_key)
    .bind(proof.primary_thumbprint)
    .bind(proof.secondary_thumbprint)
    .bind(record.capabilities_iot_edge)
    .bind(record.managed_by.as_deref())
    .bind(record.device_scope.as_deref())
    .bind(scopes_column(&record.parent_scopes))
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
    let proof = Proof {
        kind: row.try_get("authentication")?,
        primary_key: row.try_get("primary_key")?,
        secondary_key: row.try_get("secondary_key")?,
        primary_thumbprint: row.try_get("primary_thumbprint")?,
        secondary_thumbprint: row.try_get("secondary_thumbprint")?,
    };
    Ok(Record {
        name: name(row.try_get("device_id")?, row.try_get("module_id")?)?,
        generation: Stamp(row.try_get("generation")?),
        etag: Stamp(row.try_get("etag")?),
        status: if row.try_get("enabled")? { Status::Enabled } else { Status::Disabled },
        status_reason: row.try_get("status_reason")?,
        authentication: proof.read()?,
        capabilities_iot_edge: row.try_get("iot_edge")?,
        managed_by: row.try_get("managed_by")?,
        device_scope: row.try_get("device_scope")?,
        parent_scopes: scopes(row.try_get("parent_scopes")?),
        created: Timestamp(row.try_get("created_ms")?),
        updated: Timestamp(row.try_get("updated_ms")?),
        status_updated: Timestamp(row.try_get("status_updated_ms")?),
    })
}

pub(super) fn change(row: &SqliteRow) -> Result<LoggedChange, RegistryError> {
    let there: Option<&str> = row.try_get("device_id")?;
    Ok(LoggedChange {
        sequence: row.try_get("sequence")?,
        kind: LoggedKind::from_number(row.try_get("kind")?),
        name: name(row.try_get("changed_device_id")?, row.try_get("changed_module_id")?)?,
        now: there.map(|_| record(row)).transpose()?,
    })
}
