//! Several enrollments at once. Each is carried out by itself; the answer names those that failed.
//! - Source: Azure DPS service API, bulkOperation.
//! - Limits: [`BULK_ENROLLMENTS_MAX`] in one call.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use millrace_control::policies::Permissions;
use millrace_control_store::documents::Collection;
use millrace_model::HubError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ProvisioningApi;
use super::answer::{Body, json as read};
use super::enrollments::segment;
use crate::enrollments::{Enrolled, Expected};
use crate::error::Refused;
use crate::limits::BULK_ENROLLMENTS_MAX;

/// What a call asks for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bulk<E> {
    mode: Mode,
    #[serde(default = "Vec::new", alias = "enrollmentGroups")]
    enrollments: Vec<E>,
}

/// What to do with each.
#[derive(Clone, Copy, Deserialize)]
enum Mode {
    #[serde(rename = "create")]
    Create,
    #[serde(rename = "delete")]
    Delete,
    #[serde(rename = "update")]
    Update,
    #[serde(rename = "updateIfMatchETag")]
    UpdateIfMatch,
}

pub(super) async fn apply<E: Enrolled>(
    State(api): State<ProvisioningApi>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refused> {
    api.authorize(&headers, Permissions::ENROLLMENT_WRITE, &[segment::<E>()])?;
    let bulk: Bulk<E> = read(body)?;
    if bulk.enrollments.is_empty() || bulk.enrollments.len() > BULK_ENROLLMENTS_MAX {
        return Err(HubError::ARGUMENT.because(format!("1 to {BULK_ENROLLMENTS_MAX} enrollments are needed")).into());
    }
    let id_name = if E::COLLECTION == Collection::Enrollment { "registrationId" } else { "enrollmentGroupId" };
    let mut errors = Vec::new();
    for enrollment in bulk.enrollments {
        let id = enrollment.id().to_owned();
        if let Err(error) = apply_one(&api, bulk.mode, enrollment).await {
            errors.push(json!({id_name: id, "errorCode": error.code, "errorStatus": error.text}));
        }
    }
    api.provisioner.changed();
    Ok(Json(json!({"isSuccessful": errors.is_empty(), "errors": errors})))
}

async fn apply_one<E: Enrolled>(api: &ProvisioningApi, mode: Mode, enrollment: E) -> Result<(), HubError> {
    let enrollments = api.provisioner.enrollments();
    let etag = enrollment.terms().etag.clone();
    match mode {
        Mode::Create => enrollments.put(enrollment, &Expected::Absent).await.map(drop),
        Mode::Update => enrollments.put(enrollment, &Expected::Any).await.map(drop),
        Mode::UpdateIfMatch => {
            let etag = etag.ok_or_else(|| HubError::ARGUMENT_NULL.because("updateIfMatchETag needs an etag"))?;
            enrollments.put(enrollment, &Expected::from_header(Some(&etag))).await.map(drop)
        }
        Mode::Delete => {
            let expected = etag.map_or(Expected::Any, |etag| Expected::from_header(Some(&etag)));
            enrollments.delete::<E>(enrollment.id(), &expected).await
        }
    }
}
