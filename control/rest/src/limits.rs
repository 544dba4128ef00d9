//! Bounds of the service API.

pub use millrace_control_jobs::limits::BULK_IDENTITIES_MAX;

/// Largest request body: 100 identities with keys, status and twins; a configuration; a model.
pub const REQUEST_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Largest cloud-to-device message. Its properties, which count too, come in headers.
pub const COMMAND_BODY_BYTES_MAX: usize = 64 * 1024;

/// Largest body of a method call: a payload, and what is around it.
pub const METHOD_BODY_BYTES_MAX: usize = 160 * 1024;

/// Rows of a page of a query, unless the caller says how many.
pub const QUERY_ROWS_USUAL: usize = 100;

/// Most rows of a page.
pub const QUERY_ROWS_MAX: usize = 1_000;

/// Largest query with what is around it.
pub const QUERY_BODY_BYTES_MAX: usize = 64 * 1024;

/// Largest certificate or revocation list with what is around it: as PEM in base64.
pub const CERTIFICATE_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
