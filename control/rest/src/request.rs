//! Requests taken apart: paths, queries, headers, bodies.
//! - Invariants: ids are percent-decoded once, by the path; what is no UTF-8 names nothing. JSON is bounded before it is built.
//! - Errors: in the hub's form, whatever is wrong.

use axum::body::{Bytes, HttpBody as _};
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use millrace_control_twin::json::{self, Bounds, JsonError};
use millrace_model::{HubError, IdentityName};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::answer::Refusal;
use crate::limits::{QUERY_ROWS_MAX, QUERY_ROWS_USUAL};

/// Header that carries on a list: in an answer when there is more, in a request to get it.
pub const CONTINUATION: &str = "x-ms-continuation";

/// Header that says how many rows a page has at most.
const MAX_ITEM_COUNT: &str = "x-ms-max-item-count";

/// What stands in the path.
pub(crate) struct Path<T>(pub(crate) T);

/// What stands behind the question mark.
pub(crate) struct Query<T>(pub(crate) T);

/// A body as bytes.
pub(crate) struct Body(pub(crate) Bytes);

/// Largest body of a route, for requests that say beforehand how large theirs is.
#[derive(Clone, Copy)]
pub(crate) struct BytesMax(pub(crate) usize);

/// A body as JSON.
pub(crate) struct Json(pub(crate) Value);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        let refused = |_| HubError::ARGUMENT.because("the path is not percent-encoded UTF-8");
        Ok(Self(path.map_err(refused)?.0))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        let refused = |_| HubError::ARGUMENT.because("a parameter behind the question mark is not what belongs there");
        Ok(Self(query.map_err(refused)?.0))
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let claimed = usize::try_from(request.body().size_hint().lower()).unwrap_or(usize::MAX);
        // What claims to be too large is not waited for.
        if request.extensions().get::<BytesMax>().is_some_and(|most| claimed > most.0) {
            return Err(HubError::TOO_LARGE.into());
        }
        let bytes = Bytes::from_request(request, state).await;
        let refused = |rejection: BytesRejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => HubError::TOO_LARGE,
            _ => HubError::FORMAT,
        };
        Ok(Self(bytes.map_err(refused)?))
    }
}

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let Body(bytes) = Body::from_request(request, state).await?;
        Ok(Self(bounded_json(&bytes)?))
    }
}

/// JSON that is not too large, too deep or too much.
pub(crate) fn bounded_json(bytes: &[u8]) -> Result<Value, HubError> {
    json::parse(bytes, Bounds::SERVICE).map_err(|error| match error {
        JsonError::TooLong(_) => HubError::TOO_LARGE,
        JsonError::Malformed(_) => HubError::FORMAT.because(error.to_string()),
        _ => HubError::ARGUMENT.because(error.to_string()),
    })
}

/// A body of a known shape; members that are not known are skipped.
pub(crate) fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, HubError> {
    serde_json::from_slice(bytes)
        .map_err(|error| HubError::FORMAT.because(format!("the body is not what belongs here: {error}")))
}

/// An identity that a path names.
pub(crate) fn identity(device: &str, module: Option<&str>) -> Result<IdentityName, HubError> {
    IdentityName::new(device, module).map_err(|error| HubError::ARGUMENT.because(error.to_string()))
}

/// What `If-Match` says, quoted or not; `None` without that header.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<&str>, HubError> {
    text(headers, header::IF_MATCH.as_str())
}

/// A header that is text; `None` without it.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, HubError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    // Header values may be any bytes; those of this API are text.
    let text = std::str::from_utf8(value.as_bytes());
    text.map(Some).map_err(|_| HubError::ARGUMENT.because(format!("the header {name} is not UTF-8")))
}

/// How many rows the caller wants, and where its page begins.
pub(crate) fn page(headers: &HeaderMap) -> Result<(usize, Option<&str>), HubError> {
    let count = match text(headers, MAX_ITEM_COUNT)? {
        None => QUERY_ROWS_USUAL,
        Some(text) => {
            let count = text.trim().parse().ok().filter(|count| (1..=QUERY_ROWS_MAX).contains(count));
            count.ok_or_else(|| HubError::ARGUMENT.because("x-ms-max-item-count is 1 to 1000"))?
        }
    };
    Ok((count, text(headers, CONTINUATION)?.filter(|text| !text.is_empty())))
}
