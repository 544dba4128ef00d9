//! The description of this API, served as it stands.
//! - Invariants: a test compares it with the routes, so that neither lacks one.

use axum::response::Response;

use crate::answer::json_text;

/// OpenAPI 3.1.
pub(crate) const DOCUMENT: &str = include_str!("openapi.json");

pub(crate) async fn read() -> Response {
    json_text(DOCUMENT)
}
