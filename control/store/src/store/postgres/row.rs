//! Records <-> rows of table `identity`.
//! - Invariants: values are bound, never spliced into SQL. The empty module id stands for the device itself.
//! - Errors: [`RegistryError::Corrupt`] when a row holds what was never written.

use std::collections::HashSet;

use millrace_model::Timestamp;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use crate::error::RegistryError;
use crate::registry::{IdentityName, Record, Stamp, Status};
use crate::store::proof::{Proof, name, scopes, scopes_column};
use crate::store::{LoggedChange, LoggedKind};

/// Makes all other changes of identities wait until this transaction ends, as the log does anyway. Asked for before anything else
/// is locked, so that two writers cannot wait for each other.
pub(super) async fn lock_log(connection: &mut PgConnection) -> Result<(), RegistryError> {
    sqlx::query("SELECT newest FROM change_bounds FOR UPDATE").execute(connection).await?;
    Ok(())
}

pub(super) async fn find(connection: &mut PgConnection, name: &IdentityName) -> Result<Option<Record>, RegistryError> {
    let row = sqlx::query("SELECT * FROM identity WHERE device_id = $1 AND module_id = $2")
        .bind(name.device_id())
        .bind(name.module_id().unwrap_or_default())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(record).transpose()
}

/// Finds and locks against changes by hand; documents may be written meanwhile.
pub(super) async fn find_for_update(
    connection: &mut PgConnection,
    name: &IdentityName,
) -> Result<Option<Record>, RegistryError> {
    let row = sqlx::query("SELECT * FROM identity WHERE device_id = $1 AND module_id = $2 FOR NO KEY UPDATE")
        .bind(name.device_id())
        .bind(name.module_id().unwrap_or_default())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(record).transpose()
}

/// Whether the device is there, and how many modules it has.
pub(super) async fn device(connection: &mut PgConnection, device_id: &str) -> Result<Option<usize>, RegistryError> {
    let sql = "SELECT count(*) FILTER (WHERE module_id = ''), count(*) FILTER (WHERE module_id > '') \
               FROM identity WHERE device_id = $1";
    let row = sqlx::query(sql).bind(device_id).fetch_one(connection).await?;
    let (devices, modules): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let modules = usize::try_from(modules).map_err(|_| RegistryError::Corrupt { what: "count" })?;
    Ok((devices > 0).then_some(modules))
}

/// Inserts in one statement; returns the positions of records whose name was taken.
pub(super) async fn insert(connection: &mut PgConnection, records: &[Record]) -> Result<Vec<usize>, RegistryError> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let proofs: Vec<Proof<'_>> = records.iter().map(|record| Proof::from(&record.authentication)).collect();
    let rows = sqlx::query(
        "INSERT INTO identity (device_id, module_id, generation, etag, enabled, status_reason, authentication, \
         primary_key, secondary_key, primary_thumbprint, secondary_thumbprint, iot_edge, managed_by, device_scope, \
         parent_scopes, created_ms, updated_ms, status_updated_ms) \
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::boolean[], $6::text[], \
         $7::smallint[], $8::bytea[], $9::bytea[], $10::bytea[], $11::bytea[], $12::boolean[], $13::text[], \
         $14::text[], $15::text[], $16::bigint[], $17::bigint[], $18::bigint[]) \
         ON CONFLICT DO NOTHING RETURNING device_id, module_id",
    )
    .bind(column(records, |record| record.name.device_id()))
    .bind(column(records, |record| record.name.module_id().unwrap_or_default()))
    .bind(column(records, |record| record.generation.0))
    .bind(column(records, |record| record.etag.0))
    .bind(column(records, |record| record.status == Status::Enabled))
    .bind(column(records, |record| record.status_reason.as_deref()))
    .bind(column(&proofs, |proof| proof.kind))
    .bind(column(&proofs, |proof| proof.primary_key))
    .bind(column(&proofs, |proof| proof.secondary_key))
    .bind(column(&proofs, |proof| proof.primary_thumbprint))
    .bind(column(&proofs, |proof| proof.secondary_thumbprint))
    .bind(column(records, |record| record.capabilities_iot_edge))
    .bind(column(records, |record| record.managed_by.as_deref()))
    .bind(column(records, |record| record.device_scope.as_deref()))
    .bind(column(records, |record| scopes_column(&record.parent_scopes)))
    .bind(column(records, |record| record.created.0))
    .bind(column(records, |record| record.updated.0))
    .bind(column(records, |record| record.status_updated.0))
    .fetch_all(connection)
    .await?;
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

/// One column of many rows.
fn column<'a, T, V>(rows: &'a [T], value: impl FnMut(&'a T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

pub(super) async fn replace(connection: &mut PgConnection, record: &Record) -> Result<(), RegistryError> {
    let proof = Proof::from(&record.authentication);
    sqlx::query(
        "UPDATE identity SET etag = $1, enabled = $2, status_reason = $3, authentication = $4, primary_key = $5, \
         secondary_key = $6, primary_thumbprint = $7, secondary_thumbprint = $8, iot_edge = $9, managed_by = $10, \
         device_scope = $11, parent_scopes = $12, updated_ms = $13, status_updated_ms = $14 \
         WHERE device_id = $15 AND module_id = $16",
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
pub(super) async fn delete(connection: &mut PgConnection, name: &IdentityName) -> Result<(), RegistryError> {
    let query = match name.module_id() {
        Some(module_id) => sqlx::query("DELETE FROM identity WHERE device_id = $1 AND module_id = $2")
            .bind(name.device_id())
            .bind(module_id),
        None => sqlx::query("DELETE FROM identity WHERE device_id = $1").bind(name.device_id()),
    };
    query.execute(connection).await?;
    Ok(())
}

pub(super) fn record(row: &PgRow) -> Result<Record, RegistryError> {
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

pub(super) fn change(row: &PgRow) -> Result<LoggedChange, RegistryError> {
    let there: Option<&str> = row.try_get("device_id")?;
    Ok(LoggedChange {
        sequence: row.try_get("sequence")?,
        kind: LoggedKind::from_number(row.try_get("kind")?),
        name: name(row.try_get("changed_device_id")?, row.try_get("changed_module_id")?)?,
        now: there.map(|_| record(row)).transpose()?,
    })
}
