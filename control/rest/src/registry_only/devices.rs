//! Operations on one identity, and the list.
//! - Invariants: PUT without `If-Match` creates, with it updates. An update leaves out what its body leaves out.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Service;
use super::error::ServiceError;
use super::etag;
use super::shape::{AuthenticationBody, IdentityBody, new_keys};
use millrace_control::policies::Permissions;
use millrace_control_store::clock;
use millrace_control_store::limits::PAGE_IDENTITIES_MAX;
use millrace_control_store::random;
use millrace_control_store::registry::{Expected, IdentityName, Record, Update, checked_reason};

/// Header that carries on a list: in an answer when there is more, in a request to get it.
pub(crate) const CONTINUATION: &str = "x-ms-continuation";

/// A body, or why there is none.
pub(super) type Body = Result<Bytes, BytesRejection>;

#[derive(Debug, Deserialize)]
pub(super) struct ListQuery {
    top: Option<usize>,
}

pub(super) async fn list(
    State(service): State<Service>,
    headers: HeaderMap,
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, ServiceError> {
    service.authorize(&headers, Permissions::REGISTRY_READ, &["devices"])?;
    let Query(query) = query.map_err(|_| ServiceError::argument("top is not a number"))?;
    let count = query.top.unwrap_or(PAGE_IDENTITIES_MAX);
    if !(1..=PAGE_IDENTITIES_MAX).contains(&count) {
        return Err(ServiceError::argument("top is 1 to 1000"));
    }
    let after = headers.get(CONTINUATION).and_then(|value| value.to_str().ok());
    let records = service.store.devices(after, count).await?;
    let mut response = Json(records.iter().map(IdentityBody::from).collect::<Vec<_>>()).into_response();
    if let Some(last) = records.last().filter(|_| records.len() == count) {
        // Ids are printable ASCII, so they are good header values.
        if let Ok(value) = HeaderValue::from_str(last.name.device_id()) {
            response.headers_mut().insert(HeaderName::from_static(CONTINUATION), value);
        }
    }
    Ok(response)
}

pub(super) async fn modules(
    State(service): State<Service>,
    headers: HeaderMap,
    Path(device): Path<String>,
) -> Result<Json<Vec<IdentityBody>>, ServiceError> {
    service.authorize(&headers, Permissions::REGISTRY_READ, &["devices", &device, "modules"])?;
    let name = IdentityName::new(&device, None)?;
    service.store.get(&name).await?.ok_or_else(|| millrace_control_store::registry::not_found(&name))?;
    Ok(Json(service.store.modules(&device).await?.iter().map(IdentityBody::from).collect()))
}

pub(super) async fn statistics(
    State(service): State<Service>,
    headers: HeaderMap,
) -> Result<Json<Value>, ServiceError> {
    service.authorize(&headers, Permissions::REGISTRY_READ, &["statistics", "devices"])?;
    let counts = service.store.count().await?;
    Ok(Json(json!({
        "totalDeviceCount": counts.total,
        "enabledDeviceCount": counts.total.saturating_sub(counts.disabled),
        "disabledDeviceCount": counts.disabled,
    })))
}

pub(super) async fn read(
    State(service): State<Service>,
    headers: HeaderMap,
    Path(device): Path<String>,
) -> Result<Response, ServiceError> {
    service.read(&headers, &device, None).await
}

pub(super) async fn read_module(
    State(service): State<Service>,
    headers: HeaderMap,
    Path((device, module)): Path<(String, String)>,
) -> Result<Response, ServiceError> {
    service.read(&headers, &device, Some(&module)).await
}

pub(super) async fn write(
    State(service): State<Service>,
    headers: HeaderMap,
    Path(device): Path<String>,
    body: Body,
) -> Result<Response, ServiceError> {
    service.write(&headers, &device, None, body).await
}

pub(super) async fn write_module(
    State(service): State<Service>,
    headers: HeaderMap,
    Path((device, module)): Path<(String, String)>,
    body: Body,
) -> Result<Response, ServiceError> {
    service.write(&headers, &device, Some(&module), body).await
}

pub(super) async fn delete(
    State(service): State<Service>,
    headers: HeaderMap,
    Path(device): Path<String>,
) -> Result<StatusCode, ServiceError> {
    service.delete(&headers, &device, None).await
}

pub(super) async fn delete_module(
    State(service): State<Service>,
    headers: HeaderMap,
    Path((device, module)): Path<(String, String)>,
) -> Result<StatusCode, ServiceError> {
    service.delete(&headers, &device, Some(&module)).await
}

impl Service {
    async fn read(&self, headers: &HeaderMap, device: &str, module: Option<&str>) -> Result<Response, ServiceError> {
        self.authorize_identity(headers, Permissions::REGISTRY_READ, device, module)?;
        let name = IdentityName::new(device, module)?;
        let record = self.store.get(&name).await?.ok_or_else(|| millrace_control_store::registry::not_found(&name))?;
        Ok(answer(&record))
    }

    async fn write(
        &self,
        headers: &HeaderMap,
        device: &str,
        module: Option<&str>,
        body: Body,
    ) -> Result<Response, ServiceError> {
        self.authorize_identity(headers, WRITE, device, module)?;
        let name = IdentityName::new(device, module)?;
        let body: IdentityBody = read_json(body)?;
        if body.device_id != device || body.module_id.as_deref() != module {
            return Err(ServiceError::argument("the ids in path and body differ"));
        }
        let record = match etag::if_match(headers)? {
            Some(expected) => self.store.update(&name, expected, update_of(&body)?).await?,
            None => {
                let record = record_of(name, &body)?;
                self.store.create(&record).await?;
                record
            }
        };
        Ok(answer(&record))
    }

    async fn delete(
        &self,
        headers: &HeaderMap,
        device: &str,
        module: Option<&str>,
    ) -> Result<StatusCode, ServiceError> {
        self.authorize_identity(headers, WRITE, device, module)?;
        let expected = etag::if_match(headers)?.unwrap_or(Expected::Any);
        self.store.delete(&IdentityName::new(device, module)?, expected).await?;
        // The Python SDK takes nothing else for a success.
        Ok(StatusCode::NO_CONTENT)
    }

    fn authorize_identity(
        &self,
        headers: &HeaderMap,
        wanted: Permissions,
        device: &str,
        module: Option<&str>,
    ) -> Result<(), ServiceError> {
        match module {
            Some(module) => self.authorize(headers, wanted, &["devices", device, "modules", module]),
            None => self.authorize(headers, wanted, &["devices", device]),
        }
    }
}

/// What changing the registry needs.
pub(super) const WRITE: Permissions = Permissions::REGISTRY_WRITE;

pub(super) fn read_json<T: serde::de::DeserializeOwned>(body: Body) -> Result<T, ServiceError> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ServiceError::TOO_LARGE,
        _ => ServiceError::FORMAT,
    })?;
    serde_json::from_slice(&body).map_err(|_| ServiceError::FORMAT)
}

/// The new identity that a body describes.
pub(super) fn record_of(name: IdentityName, body: &IdentityBody) -> Result<Record, ServiceError> {
    let authentication = body.authentication.as_ref().map(AuthenticationBody::read).transpose()?.flatten();
    let authentication = authentication.map_or_else(new_keys, Ok)?;
    let mut record = Record::new(name, authentication, clock::now(), random::salt()?);
    record.status = body.status.map(Into::into).unwrap_or_default();
    record.status_reason = body.status_reason.clone().map(checked_reason).transpose()?;
    Ok(record)
}

/// The change that a body describes.
pub(super) fn update_of(body: &IdentityBody) -> Result<Update, ServiceError> {
    Ok(Update {
        status: body.status.map(Into::into),
        status_reason: body.status_reason.clone().map(|reason| Some(reason).filter(|reason| !reason.is_empty())),
        authentication: body.authentication.as_ref().map(AuthenticationBody::read).transpose()?.flatten(),
        ..Update::default()
    })
}

fn answer(record: &Record) -> Response {
    let mut response = Json(IdentityBody::from(record)).into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("\"{}\"", etag::text(record.etag))) {
        response.headers_mut().insert(axum::http::header::ETAG, value);
    }
    response
}
