//! What became of devices, for operators.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use millrace_control::policies::Permissions;
use millrace_model::HubError;

use super::ProvisioningApi;
use super::answer::{Path, header as header_text, path, with_etag};
use crate::enrollments::Expected;
use crate::error::{REGISTRATION_NOT_FOUND, Refused};
use crate::registration_id::RegistrationId;
use crate::registrations::Found;

pub(super) async fn read(
    State(api): State<ProvisioningApi>,
    place: Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let id = path(place)?;
    api.authorize(&headers, Permissions::REGISTRATION_STATUS_READ, &["registrations", &id])?;
    let found = find(&api, &id).await?;
    Ok(with_etag(&found.registration.state(), Some(&found.registration.etag)))
}

/// The device may register anew then, as if it had never been there.
pub(super) async fn delete(
    State(api): State<ProvisioningApi>,
    place: Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refused> {
    let id = path(place)?;
    api.authorize(&headers, Permissions::REGISTRATION_STATUS_WRITE, &["registrations", &id])?;
    let found = find(&api, &id).await?;
    match Expected::from_header(header_text(&headers, header::IF_MATCH.as_str())) {
        Expected::Etag(etag) if etag != found.registration.etag => return Err(HubError::PRECONDITION.into()),
        _ => api.provisioner.registrations().delete(&found).await?,
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn find(api: &ProvisioningApi, id: &str) -> Result<Found, Refused> {
    let id = RegistrationId::new(id).map_err(|_| REGISTRATION_NOT_FOUND)?;
    let found = api.provisioner.find_registration(id.as_str()).await?;
    Ok(found.ok_or(REGISTRATION_NOT_FOUND)?)
}
