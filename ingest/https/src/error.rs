//! A refusal as HTTP: status, the JSON body that all SDKs read, and the hub's headers.
//! - Source: Azure IoT Hub device API errors; `Retry-After` with 429 and 503.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use millrace_control_store::random;
use millrace_model::HubError;

use crate::events;
use crate::limits::RETRY_SECONDS;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) HubError);

impl From<HubError> for Refusal {
    fn from(error: HubError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let part = || random::salt().unwrap_or_default();
        let tracking_id = format!("{:04x}{:04x}{:04x}{:04x}", part(), part(), part(), part());
        events::refused(&tracking_id, error.code, &error.text);
        let body = error.body(&tracking_id, &format!("{:.0}", jiff::Timestamp::now()));
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"))];
        let mut response = (status, json, body).into_response();
        let headers = response.headers_mut();
        headers.insert(HeaderName::from_static("iothub-errorcode"), HeaderValue::from_static(error.name));
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
        }
        response
    }
}
