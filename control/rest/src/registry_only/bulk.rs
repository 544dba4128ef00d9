//! `POST /devices`: up to 100 identities created, changed or deleted in one call.
//! - Source: Azure IoT Hub, ExportImportDevice with its import modes.
//! - Invariants: each identity succeeds or fails for itself; a row of creations is one transaction, because that is what
//!   an import consists of. Order is kept.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::Service;
use super::devices::{Body, WRITE, read_json, record_of, update_of};
use super::error::ServiceError;
use super::etag;
use super::shape::{BulkError, BulkIdentity, BulkResult, ImportMode};
use crate::limits::BULK_IDENTITIES_MAX;
use millrace_control_store::error::RegistryError;
use millrace_control_store::registry::{Expected, IdentityName, Record};

pub(super) async fn apply(
    State(service): State<Service>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ServiceError> {
    service.authorize(&headers, WRITE, &["devices"])?;
    let identities: Vec<BulkIdentity> = read_json(body)?;
    if identities.len() > BULK_IDENTITIES_MAX {
        return Err(ServiceError::TOO_MANY);
    }
    let mut errors = Vec::new();
    for row in identities.chunk_by(|one, next| one.is_device_creation() && next.is_device_creation()) {
        match row {
            [identity] => {
                if let Err(error) = service.apply_one(identity).await {
                    errors.push(identity.failed(error));
                }
            }
            creations => errors.extend(service.create_all(creations).await?),
        }
    }
    let is_successful = errors.is_empty();
    let status = if is_successful { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    Ok((status, Json(BulkResult { is_successful, errors, warnings: Vec::new() })).into_response())
}

impl Service {
    async fn apply_one(&self, identity: &BulkIdentity) -> Result<(), ServiceError> {
        let name = identity.name()?;
        match identity.import_mode {
            ImportMode::Create => Ok(self.store.create(&record_of(name, &identity.body)?).await?),
            ImportMode::Delete | ImportMode::DeleteIfMatch => Ok(self.store.delete(&name, identity.expected()).await?),
            ImportMode::Update | ImportMode::UpdateIfMatch => self.update(&name, identity).await,
            ImportMode::CreateOrUpdate | ImportMode::CreateOrUpdateIfMatch => {
                match self.update(&name, identity).await {
                    Err(error) if error.status == StatusCode::NOT_FOUND => {
                        Ok(self.store.create(&record_of(name, &identity.body)?).await?)
                    }
                    result => result,
                }
            }
        }
    }

    async fn update(&self, name: &IdentityName, identity: &BulkIdentity) -> Result<(), ServiceError> {
        self.store.update(name, identity.expected(), update_of(&identity.body)?).await?;
        Ok(())
    }

    async fn create_all(&self, identities: &[BulkIdentity]) -> Result<Vec<BulkError>, ServiceError> {
        let mut errors = Vec::new();
        let mut good: Vec<&BulkIdentity> = Vec::with_capacity(identities.len());
        let mut records: Vec<Record> = Vec::with_capacity(identities.len());
        for identity in identities {
            match identity.name().map_err(Into::into).and_then(|name| record_of(name, &identity.body)) {
                Ok(record) => {
                    good.push(identity);
                    records.push(record);
                }
                Err(error) => errors.push(identity.failed(error)),
            }
        }
        let mut import = self.store.begin_import().await?;
        let taken = import.add(&records).await?;
        import.commit().await?;
        let taken = taken.into_iter().filter_map(|position| good.get(position));
        errors.extend(taken.map(|identity| identity.failed(RegistryError::DeviceExists.into())));
        Ok(errors)
    }
}

impl BulkIdentity {
    fn is_device_creation(&self) -> bool {
        self.import_mode == ImportMode::Create && self.body.module_id.is_none()
    }

    fn name(&self) -> Result<IdentityName, RegistryError> {
        Ok(IdentityName::new(&self.id, self.body.module_id.as_deref())?)
    }

    fn expected(&self) -> Expected {
        match (self.import_mode, &self.if_match) {
            (ImportMode::CreateOrUpdateIfMatch | ImportMode::DeleteIfMatch | ImportMode::UpdateIfMatch, Some(text)) => {
                etag::parse(text)
            }
            _ => Expected::Any,
        }
    }

    fn failed(&self, error: ServiceError) -> BulkError {
        BulkError {
            device_id: self.id.clone(),
            module_id: self.body.module_id.clone(),
            error_code: error.code,
            error_status: error.name.to_owned(),
        }
    }
}
