//! Operations on one enrollment, individual or group: read, write, delete, and its keys.
//! - Invariants: keys are answered by `attestationmechanism` only, and to whoever creates or changes them.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use millrace_control::policies::Permissions;
use millrace_control_store::documents::Collection;
use millrace_model::HubError;
use serde_json::Value;

use super::ProvisioningApi;
use super::answer::{Body, Path, header as header_text, json, path, with_etag};
use crate::enrollment::Mechanism;
use crate::enrollments::{Enrolled, Expected};
use crate::error::{ENROLLMENT_NOT_FOUND, Refused};
use crate::registration_id::RegistrationId;

pub(super) async fn read<E: Enrolled>(
    State(api): State<ProvisioningApi>,
    place: Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let id = path(place)?;
    api.authorize(&headers, Permissions::ENROLLMENT_READ, &[segment::<E>(), &id])?;
    let (found, _) = api.provisioner.enrollments().read::<E>(&id).await?.ok_or(ENROLLMENT_NOT_FOUND)?;
    let etag = found.terms().etag.clone();
    Ok(with_etag(&shown(&api, found).await?, etag.as_deref()))
}

pub(super) async fn write<E: Enrolled>(
    State(api): State<ProvisioningApi>,
    place: Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let id = path(place)?;
    api.authorize(&headers, Permissions::ENROLLMENT_WRITE, &[segment::<E>(), &id])?;
    let new: E = json(body)?;
    let is_same = RegistrationId::new(new.id()).is_ok_and(|own| own.as_str().eq_ignore_ascii_case(&id));
    if !is_same {
        return Err(HubError::ARGUMENT
            .because("the id in the body is not a valid one, or not the one in the path")
            .into());
    }
    let expected = Expected::from_header(header_text(&headers, header::IF_MATCH.as_str()));
    let written = api.provisioner.enrollments().put(new, &expected).await?;
    api.provisioner.changed();
    let etag = written.terms().etag.clone();
    Ok(with_etag(&written, etag.as_deref()))
}

pub(super) async fn delete<E: Enrolled>(
    State(api): State<ProvisioningApi>,
    place: Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refused> {
    let id = path(place)?;
    api.authorize(&headers, Permissions::ENROLLMENT_WRITE, &[segment::<E>(), &id])?;
    let expected = match Expected::from_header(header_text(&headers, header::IF_MATCH.as_str())) {
        Expected::Absent => Expected::Any,
        expected => expected,
    };
    api.provisioner.enrollments().delete::<E>(&id, &expected).await?;
    api.provisioner.changed();
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn mechanism<E: Enrolled>(
    State(api): State<ProvisioningApi>,
    place: Path<String>,
    headers: HeaderMap,
) -> Result<Json<Mechanism>, Refused> {
    let id = path(place)?;
    // Who sees keys can act as the device: reading is not enough.
    let wanted = Permissions::ENROLLMENT_READ | Permissions::ENROLLMENT_WRITE;
    api.authorize(&headers, wanted, &[segment::<E>(), &id, "attestationmechanism"])?;
    let (mut found, _) = api.provisioner.enrollments().read::<E>(&id).await?.ok_or(ENROLLMENT_NOT_FOUND)?;
    Ok(Json(std::mem::take(found.mechanism_mut())))
}

/// First segment of the path.
pub(super) fn segment<E: Enrolled>() -> &'static str {
    if E::COLLECTION == Collection::Enrollment { "enrollments" } else { "enrollmentGroups" }
}

/// An enrollment as it is shown: without keys, an individual one with what became of its device.
pub(super) async fn shown<E: Enrolled>(api: &ProvisioningApi, mut enrollment: E) -> Result<Value, Refused> {
    let mechanism = enrollment.mechanism_mut();
    *mechanism = mechanism.without_keys();
    let mut shown = serde_json::to_value(&enrollment).map_err(|_| HubError::SERVER)?;
    if E::COLLECTION == Collection::Enrollment
        && let Some(found) = api.provisioner.registrations().read("", enrollment.id()).await?
        && let Some(members) = shown.as_object_mut()
    {
        members.insert("registrationState".to_owned(), found.registration.state());
    }
    Ok(shown)
}
