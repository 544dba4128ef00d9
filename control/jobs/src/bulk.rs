//! Many identities created, changed or deleted in one call: `POST /devices`, and the lines of an import.
//! - Source: Azure IoT Hub, ExportImportDevice with its import modes.
//! - Invariants: each identity succeeds or fails for itself. What is about one device, modules included, is done in order. A row of creations is one transaction of the store, because
//!   that is what an import consists of. What was done before an identity's step failed stays: an identity may be there without the
//!   twin that was given with it, and the error says so.
//! - Errors: of one identity in the answer; of the store, which concern all, as `Err`.

use std::collections::HashSet;

use futures_util::future::join_all;
use millrace_control::Control;
use millrace_control::hub_error;
use millrace_control_store::registry::{Expected, IdentityName, Record};
use millrace_model::HubError;
use serde_json::{Map, Value, json};

use crate::limits::APPLIED_AT_ONCE;
use crate::shape::{BulkError, BulkIdentity, ImportMode, parse_etag, record_of, update_of};

/// Applies them in order; answers what failed.
///
/// # Errors
/// When the store failed.
pub async fn apply(control: &Control, identities: &[BulkIdentity]) -> Result<Vec<BulkError>, HubError> {
    let mut errors = Vec::new();
    for row in identities.chunk_by(|one, next| one.is_device_creation() == next.is_device_creation()) {
        match row {
            [first, _, ..] if first.is_device_creation() => errors.extend(create_all(control, row).await?),
            _ => {
                for row in unrelated(row) {
                    errors.extend(apply_all(control, row).await);
                }
            }
        }
    }
    Ok(errors)
}

/// Cuts where a device comes again, so that in each piece the order means nothing.
fn unrelated(identities: &[BulkIdentity]) -> Vec<&[BulkIdentity]> {
    let mut pieces = Vec::new();
    let mut rest = identities;
    while !rest.is_empty() {
        let mut seen = HashSet::new();
        let length = rest.iter().take_while(|identity| seen.insert(identity.id.as_str())).count();
        let (piece, later) = rest.split_at(length.max(1));
        pieces.push(piece);
        rest = later;
    }
    pieces
}

/// Applies what is unrelated, so that the store has many writes for one commit.
async fn apply_all(control: &Control, identities: &[BulkIdentity]) -> Vec<BulkError> {
    let mut errors = Vec::new();
    for some in identities.chunks(APPLIED_AT_ONCE) {
        errors.extend(join_all(some.iter().map(|identity| applied(control, identity))).await.into_iter().flatten());
    }
    errors
}

async fn applied(control: &Control, identity: &BulkIdentity) -> Option<BulkError> {
    apply_one(control, identity).await.err().map(|error| identity.failed(&error))
}

async fn apply_one(control: &Control, identity: &BulkIdentity) -> Result<(), HubError> {
    let name = identity.name()?;
    match identity.import_mode {
        ImportMode::Create => create(control, name, identity).await,
        ImportMode::Delete | ImportMode::DeleteIfMatch => control.delete(&name, identity.expected()).await,
        ImportMode::Update | ImportMode::UpdateIfMatch => update(control, &name, identity).await,
        ImportMode::UpdateTwin | ImportMode::UpdateTwinIfMatch => write_twin(control, &name, identity).await,
        ImportMode::CreateOrUpdate | ImportMode::CreateOrUpdateIfMatch => {
            match update(control, &name, identity).await {
                Err(error) if is_missing(&error, &name) => create(control, name, identity).await,
                result => result,
            }
        }
    }
}

/// Whether it is this identity that is not there, not the device of a module.
fn is_missing(error: &HubError, name: &IdentityName) -> bool {
    let code = if name.module_id().is_some() { HubError::MODULE_NOT_FOUND } else { HubError::DEVICE_NOT_FOUND }.code;
    error.code == code
}

async fn create(control: &Control, name: IdentityName, identity: &BulkIdentity) -> Result<(), HubError> {
    let record = record_of(name, &identity.body)?;
    control.create(&record).await?;
    write_twin(control, &record.name, identity).await
}

async fn update(control: &Control, name: &IdentityName, identity: &BulkIdentity) -> Result<(), HubError> {
    control.update(name, identity.expected(), update_of(&identity.body)?).await?;
    write_twin(control, name, identity).await
}

/// Merges the twin that is given with an identity, if one is.
async fn write_twin(control: &Control, name: &IdentityName, identity: &BulkIdentity) -> Result<(), HubError> {
    let Some(patch) = identity.twin() else { return Ok(()) };
    let if_match = match identity.import_mode {
        ImportMode::UpdateTwinIfMatch => identity.twin_if_match.as_deref(),
        _ => None,
    };
    control.patch_twin(name, if_match, &patch).await.map(drop)
}

/// Creates devices in one transaction.
async fn create_all(control: &Control, identities: &[BulkIdentity]) -> Result<Vec<BulkError>, HubError> {
    let mut errors = Vec::new();
    let mut good: Vec<&BulkIdentity> = Vec::with_capacity(identities.len());
    let mut records: Vec<Record> = Vec::with_capacity(identities.len());
    for identity in identities {
        match identity.name().and_then(|name| record_of(name, &identity.body)) {
            Ok(record) => {
                good.push(identity);
                records.push(record);
            }
            Err(error) => errors.push(identity.failed(&error)),
        }
    }
    let mut import = control.store().begin_import().await.map_err(|error| hub_error(&error))?;
    let taken = import.add(&records).await.map_err(|error| hub_error(&error))?;
    import.commit().await.map_err(|error| hub_error(&error))?;
    control.refresh().await;
    let taken: HashSet<usize> = taken.into_iter().collect();
    let (refused, created): (Vec<_>, Vec<_>) =
        good.iter().zip(&records).enumerate().partition(|(position, _)| taken.contains(position));
    errors.extend(refused.iter().map(|(_, (identity, _))| identity.failed(&HubError::DEVICE_EXISTS)));
    for some in created.chunks(APPLIED_AT_ONCE) {
        let twins = some.iter().map(|(_, (identity, record))| completed(control, identity, record));
        errors.extend(join_all(twins).await.into_iter().flatten());
    }
    Ok(errors)
}

/// Gives a created device the twin that was given with it.
async fn completed(control: &Control, identity: &BulkIdentity, record: &Record) -> Option<BulkError> {
    write_twin(control, &record.name, identity).await.err().map(|error| identity.failed(&error))
}

impl BulkIdentity {
    /// Who is meant.
    ///
    /// # Errors
    /// When the ids cannot be ids.
    pub fn name(&self) -> Result<IdentityName, HubError> {
        let name = IdentityName::new(&self.id, self.body.module_id.as_deref());
        name.map_err(|error| HubError::ARGUMENT.because(error.to_string()))
    }

    fn is_device_creation(&self) -> bool {
        self.import_mode == ImportMode::Create && self.body.module_id.is_none()
    }

    fn expected(&self) -> Expected {
        match (self.import_mode, &self.if_match) {
            (ImportMode::CreateOrUpdateIfMatch | ImportMode::DeleteIfMatch | ImportMode::UpdateIfMatch, Some(text)) => {
                parse_etag(text)
            }
            _ => Expected::Any,
        }
    }

    /// The patch of the twin that is given with it. `None`: none is, or only empty sections, as exports have them.
    fn twin(&self) -> Option<Value> {
        let is_given = |section: &&Value| section.as_object().is_none_or(|members| !members.is_empty());
        let mut patch = Map::new();
        if let Some(tags) = self.tags.as_ref().filter(is_given).filter(|tags| !tags.is_null()) {
            patch.insert("tags".to_owned(), tags.clone());
        }
        let desired = self.properties.as_ref().and_then(|properties| properties.desired.as_ref());
        if let Some(desired) = desired.filter(|desired| !desired.is_null() && has_values(desired)) {
            patch.insert("properties".to_owned(), json!({ "desired": desired }));
        }
        (!patch.is_empty()).then_some(Value::Object(patch))
    }

    /// What is told of it when it fails.
    #[must_use]
    pub fn failed(&self, error: &HubError) -> BulkError {
        BulkError {
            device_id: self.id.clone(),
            module_id: self.body.module_id.clone(),
            error_code: error.code,
            error_status: error.name.to_owned(),
            operation: Some(self.import_mode),
        }
    }
}

/// Whether there is more than the version and metadata that exports carry.
fn has_values(desired: &Value) -> bool {
    desired
        .as_object()
        .is_none_or(|members| members.keys().any(|name| !matches!(name.as_str(), "$version" | "$metadata")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(body: Value) -> BulkIdentity {
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn lines_are_read_as_tools_write_them() {
        let line = identity(json!({"id": "d", "eTag": "AAAA", "importMode": "updateIfMatchETag", "status": "enabled",
            "authentication": {"symmetricKey": {"primaryKey": null}}, "twinETag": "AAE=", "tags": {"a": 1},
            "properties": {"desired": {"x": 1, "$version": 4, "$metadata": {}}, "reported": {"y": 2}}, "capabilities": {"iotEdge": false}}));
        assert_eq!((line.import_mode, line.if_match.as_deref()), (ImportMode::UpdateIfMatch, Some("AAAA")));
        let desired = json!({"x": 1, "$version": 4, "$metadata": {}});
        assert_eq!(line.twin(), Some(json!({"tags": {"a": 1}, "properties": {"desired": desired}})));
        assert!(line.expected() != Expected::Any);
    }

    #[test]
    fn empty_sections_are_no_twin() {
        let exported =
            json!({"id": "d", "tags": {}, "properties": {"desired": {"$version": 1, "$metadata": {}}, "reported": {}}});
        assert_eq!(identity(exported).twin(), None);
        assert_eq!(identity(json!({"id": "d"})).import_mode, ImportMode::CreateOrUpdate);
        assert_eq!(identity(json!({"id": "d", "tags": [1]})).twin(), Some(json!({"tags": [1]})), "refused by the twin");
    }

    #[test]
    fn what_is_about_one_device_is_kept_in_order() {
        let all: Vec<BulkIdentity> = ["a", "b", "a", "c", "b", "b"].map(|id| identity(json!({"id": id}))).into();
        let ids = |piece: &[BulkIdentity]| piece.iter().map(|one| one.id.clone()).collect::<String>();
        assert_eq!(unrelated(&all).into_iter().map(ids).collect::<Vec<_>>(), ["ab", "acb", "b"]);
        assert!(unrelated(&[]).is_empty());
    }

    #[test]
    fn only_a_missing_identity_is_created_instead() {
        let module = IdentityName::new("d", Some("m")).unwrap();
        assert!(is_missing(&HubError::MODULE_NOT_FOUND, &module) && !is_missing(&HubError::DEVICE_NOT_FOUND, &module));
    }
}
