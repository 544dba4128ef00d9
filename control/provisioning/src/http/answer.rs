//! Answers and refusals as HTTP.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, ETAG, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use millrace_control_store::clock;
use millrace_model::HubError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Refused;
use crate::provisioner::Reply;
use crate::random;
use crate::registration::time_text;

/// A body, or why there is none.
pub(super) type Body = Result<Bytes, axum::extract::rejection::BytesRejection>;

/// Path parameters, or why they cannot be read.
pub(super) type Path<T> = Result<axum::extract::Path<T>, axum::extract::rejection::PathRejection>;

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self { error, retry_after } = self;
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = error.body(&random::tracking_id(), &time_text(clock::now().0));
        let mut response = (status, [(CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response();
        let headers = response.headers_mut();
        headers.insert(HeaderName::from_static("iothub-errorcode"), HeaderValue::from_static(error.name));
        put_retry_after(headers, retry_after);
        response
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.body)).into_response();
        put_retry_after(response.headers_mut(), self.retry_after);
        response
    }
}

/// A thing with its etag, also in the header.
pub(super) fn with_etag<T: Serialize>(thing: &T, etag: Option<&str>) -> Response {
    let mut response = Json(thing).into_response();
    let value = etag.and_then(|etag| HeaderValue::from_str(&format!("\"{etag}\"")).ok());
    if let Some(value) = value {
        response.headers_mut().insert(ETAG, value);
    }
    response
}

/// Bytes of a body.
pub(super) fn bytes(body: Body) -> Result<Bytes, Refused> {
    body.map_err(|rejection| match rejection.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => HubError::TOO_LARGE.into(),
        _ => HubError::FORMAT.because("the body did not arrive").into(),
    })
}

/// The JSON of a body.
pub(super) fn json<T: DeserializeOwned>(body: Body) -> Result<T, Refused> {
    let bytes = bytes(body)?;
    serde_json::from_slice(&bytes).map_err(|error| HubError::FORMAT.because(place_of(&error)).into())
}

/// Path parameters.
pub(super) fn path<T>(path: Path<T>) -> Result<T, Refused> {
    path.map(|axum::extract::Path(path)| path).map_err(|_| HubError::ARGUMENT.because("the path cannot be read").into())
}

/// Text of a header.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn put_retry_after(headers: &mut HeaderMap, seconds: Option<u32>) {
    if let Some(seconds) = seconds {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}

/// Where JSON breaks. What stands there is not repeated: it could be a key.
fn place_of(error: &serde_json::Error) -> String {
    format!("the body is not the JSON that belongs here: line {}, column {}", error.line(), error.column())
}
