//! Bounds of the service API.

/// Identities in one `POST /devices`.
pub const BULK_IDENTITIES_MAX: usize = 100;

/// Largest request body of the REST API: 100 identities with keys, status and twins.
pub const REQUEST_BODY_BYTES_MAX: usize = 1024 * 1024;
