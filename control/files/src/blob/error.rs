//! Refusals of the blob endpoint, in the form that the storage libraries read.
//! - Source: Azure Storage error codes. Libraries try again at 500, 502, 503 and 504 only.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use millrace_model::HubError;

use crate::events;
use crate::limits::RETRY_SECONDS;

/// A refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlobError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: &'static str,
}

macro_rules! errors {
    ($($constant:ident = $status:ident, $code:literal, $message:literal;)*) => {
        impl BlobError {
            $(pub(crate) const $constant: Self =
                Self { status: StatusCode::$status, code: $code, message: $message };)*
        }
    };
}

errors! {
    AUTHENTICATION = FORBIDDEN, "AuthenticationFailed", "The signature is not valid for this blob, or no longer.";
    BLOB_EXISTS = CONFLICT, "BlobAlreadyExists", "The blob exists already.";
    BLOB_TYPE = BAD_REQUEST, "InvalidHeaderValue", "x-ms-blob-type has to be BlockBlob.";
    BROKEN_OFF = BAD_REQUEST, "IncompleteBody", "The body broke off or came too slowly.";
    BUSY = SERVICE_UNAVAILABLE, "ServerBusy", "Too much is being written, try again later.";
    CHECKSUM = BAD_REQUEST, "Md5Mismatch", "The checksum in the request is not that of the body.";
    CONDITION = PRECONDITION_FAILED, "ConditionNotMet", "The blob is not in the state that the request asks for.";
    HEADER = BAD_REQUEST, "InvalidHeaderValue", "A header has a value that it cannot have.";
    INTERNAL = INTERNAL_SERVER_ERROR, "InternalError", "The store failed, try again.";
    INVALID_BLOCK_ID = BAD_REQUEST, "InvalidQueryParameterValue", "A block id is base64 of 1 to 64 bytes.";
    INVALID_BLOCK_LIST = BAD_REQUEST, "InvalidBlockList", "The list names a block that is not there.";
    INVALID_NAME = BAD_REQUEST, "InvalidResourceName", "The name of the blob cannot be one.";
    INVALID_QUERY = BAD_REQUEST, "InvalidQueryParameterValue", "A parameter of the query is missing or wrong.";
    INVALID_RANGE = RANGE_NOT_SATISFIABLE, "InvalidRange", "The blob has no such bytes.";
    INVALID_XML = BAD_REQUEST, "InvalidXmlDocument", "The block list is not the XML that belongs there.";
    NOT_FOUND = NOT_FOUND, "BlobNotFound", "There is no such blob.";
    TOO_LARGE = PAYLOAD_TOO_LARGE, "RequestBodyTooLarge", "The file or the block is larger than it may be.";
    TOO_MANY_BLOCKS = CONFLICT, "BlockCountExceedsLimit", "The file has more blocks than it may have.";
    UNSUPPORTED = NOT_IMPLEMENTED, "UnsupportedOperation", "Only reading and writing of one block blob is done here.";
}

impl From<object_store::Error> for BlobError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::NOT_FOUND,
            error => {
                events::store_failed(&error);
                Self::INTERNAL
            }
        }
    }
}

impl From<std::io::Error> for BlobError {
    fn from(error: std::io::Error) -> Self {
        events::store_failed(&error);
        Self::INTERNAL
    }
}

impl From<HubError> for BlobError {
    fn from(error: HubError) -> Self {
        if error.status >= 500 { Self::INTERNAL } else { Self::AUTHENTICATION }
    }
}

impl IntoResponse for BlobError {
    fn into_response(self) -> Response {
        events::refused(self.code);
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{}</Code><Message>{}</Message></Error>",
            self.code, self.message
        );
        let mut response = (self.status, Body::from(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        headers.insert(HeaderName::from_static("x-ms-error-code"), HeaderValue::from_static(self.code));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
        }
        // What is left of the body is not worth reading to keep the connection.
        if matches!(self.status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::FORBIDDEN) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
