//! JSON of identities: what the REST API, bulk calls, imports and exports have in common.
//! - Source: Azure IoT Hub service REST API: Device, Module, ExportImportDevice, BulkRegistryOperationResult.
//! - Invariants: members that are not known are skipped. Keys are wiped when a body goes and shown by no `Debug`.
//! - Units: times are ISO 8601 in UTC; one that never was is `0001-01-01T00:00:00Z`.
//! - Not here: what is done with them (`bulk`, `control/rest`).

mod authentication;
mod bulk;
mod identity;

pub use authentication::{AuthenticationBody, KeyText, SymmetricKeyBody, ThumbprintBody, new_keys};
pub use bulk::{BulkError, BulkIdentity, BulkResult, BulkWarning, ImportMode, PropertiesBody};
pub use identity::{Capabilities, IdentityBody, StatusText, etag_text, parse_etag, record_of, time_text, update_of};
