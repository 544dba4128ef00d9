//! Answers: errors in the hub's form, bodies with their etag, pages with their continuation.
//! - Invariants: an error's tracking id is random; it also stands in the log when the hub itself is at fault.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use millrace_control_store::{clock, random};
use millrace_control_twin::time_text;
use millrace_model::HubError;
use serde::Serialize;

use crate::events;
use crate::request::CONTINUATION;

/// Seconds after which to try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

const ERROR_CODE: HeaderName = HeaderName::from_static("iothub-errorcode");
const ITEM_TYPE: HeaderName = HeaderName::from_static("x-ms-item-type");
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// An error as an answer.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) HubError);

/// What handlers return.
pub(crate) type Answer = Result<Response, Refusal>;

impl<E: Into<HubError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let part = || random::salt().unwrap_or_default();
        let tracking_id = format!("{:04x}{:04x}{:04x}{:04x}", part(), part(), part(), part());
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            events::failed(&error, &tracking_id);
        }
        let body = error.body(&tracking_id, &time_text(clock::now()));
        let mut response = (status, [(header::CONTENT_TYPE, JSON)], body).into_response();
        let headers = response.headers_mut();
        headers.insert(ERROR_CODE, HeaderValue::from_static(error.name));
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

/// JSON.
pub(crate) fn json(body: &impl Serialize) -> Response {
    Json(body).into_response()
}

/// JSON that is text already.
pub(crate) fn json_text(body: impl Into<axum::body::Body>) -> Response {
    ([(header::CONTENT_TYPE, JSON)], body.into()).into_response()
}

/// Puts an etag into the header, in quotes. What cannot stand there is left out.
pub(crate) fn with_etag(mut response: Response, etag: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{etag}\"")) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

/// Puts in how to ask for the next page, if there is one.
pub(crate) fn with_continuation(mut response: Response, continuation: Option<&str>) -> Response {
    if let Some(Ok(value)) = continuation.map(HeaderValue::from_str) {
        response.headers_mut().insert(HeaderName::from_static(CONTINUATION), value);
    }
    response
}

/// Says what the rows of a page are.
pub(crate) fn with_item_type(mut response: Response, item_type: &'static str) -> Response {
    response.headers_mut().insert(ITEM_TYPE, HeaderValue::from_static(item_type));
    response
}
