//! Errors of the REST API: one body for all SDKs.
//! - Source: Node reads `Message` (`ErrorCode:{Name};{text}`), C# the number `errorCode`, Python only the status.
//! - Invariants: a failure of the store is logged here and told outside without its cause.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::shape::time_text;
use crate::events;
use millrace_control_store::clock;
use millrace_control_store::error::RegistryError;
use millrace_control_store::random;
use millrace_model::NameError;

/// A refused or failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServiceError {
    pub(crate) status: StatusCode,
    pub(crate) code: u32,
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
}

impl ServiceError {
    pub(crate) const UNAUTHORIZED: Self = Self {
        status: StatusCode::UNAUTHORIZED,
        code: 401_002,
        name: "IotHubUnauthorizedAccess",
        text: "a valid token of a policy with the needed permission is required",
    };
    pub(crate) const FORMAT: Self = Self {
        status: StatusCode::BAD_REQUEST,
        code: 400_006,
        name: "IotHubFormatError",
        text: "the body is not the JSON that belongs here",
    };
    pub(crate) const TOO_LARGE: Self = Self {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        code: 413_001,
        name: "MessageTooLarge",
        text: "the body is too large",
    };
    pub(crate) const TOO_MANY: Self = Self {
        status: StatusCode::BAD_REQUEST,
        code: 400_013,
        name: "BulkRegistryOperationFailure",
        text: "a bulk call names at most 100 identities",
    };

    pub(crate) const fn argument(text: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: 400_004, name: "ArgumentInvalid", text }
    }

    const fn of(status: StatusCode, code: u32, name: &'static str, text: &'static str) -> Self {
        Self { status, code, name, text }
    }
}

impl From<NameError> for ServiceError {
    fn from(error: NameError) -> Self {
        RegistryError::from(error).into()
    }
}

impl From<RegistryError> for ServiceError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Name(NameError::Device) => Self::argument("the device id is not valid"),
            RegistryError::Name(NameError::Module) => Self::argument("the module id is not valid"),
            RegistryError::StatusReason => Self::argument("the status reason is not valid"),
            RegistryError::Key(_) => Self::argument("a key must be base64 of 16 to 64 bytes"),
            RegistryError::DeviceNotFound => {
                Self::of(StatusCode::NOT_FOUND, 404_001, "DeviceNotFound", "no such device")
            }
            RegistryError::ModuleNotFound => {
                Self::of(StatusCode::NOT_FOUND, 404_010, "ModuleNotFound", "no such module")
            }
            RegistryError::DeviceExists => {
                Self::of(StatusCode::CONFLICT, 409_001, "DeviceAlreadyExists", "the device exists already")
            }
            RegistryError::ModuleExists => {
                Self::of(StatusCode::CONFLICT, 409_301, "ModuleAlreadyExistsOnDevice", "the module exists already")
            }
            RegistryError::EtagMismatch => {
                let text = "the identity has changed since it was read";
                Self::of(StatusCode::PRECONDITION_FAILED, 412_001, "PreconditionFailed", text)
            }
            RegistryError::Busy => {
                Self::of(StatusCode::SERVICE_UNAVAILABLE, 503_001, "ServiceUnavailable", "the registry is busy")
            }
            error => {
                events::service_failed(&error);
                Self::of(StatusCode::INTERNAL_SERVER_ERROR, 500_001, "ServerError", "the registry failed")
            }
        }
    }
}

impl IntoResponse for ServiceError {
    fn into_response(self) -> Response {
        let now = time_text(clock::now());
        let part = || random::salt().unwrap_or_default();
        let tracking_id = format!("{:04x}{:04x}{:04x}{:04x}", part(), part(), part(), part());
        let body = json!({
            "Message": format!("ErrorCode:{};{}", self.name, self.text),
            "ExceptionMessage": format!("Tracking ID:{tracking_id}-TimeStamp:{now}"),
            "message": self.text,
            "errorCode": self.code,
            "trackingId": tracking_id,
            "timestampUtc": now,
        });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(HeaderName::from_static("iothub-errorcode"), HeaderValue::from_static(self.name));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(axum::http::header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
