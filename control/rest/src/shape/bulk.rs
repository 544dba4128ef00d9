//! JSON of bulk calls.
//! - Source: Azure IoT Hub, ExportImportDevice and BulkRegistryOperationResult.

use serde::{Deserialize, Serialize};

use crate::shape::IdentityBody;

/// One identity of a bulk call.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct BulkIdentity {
    pub(crate) id: String,
    #[serde(rename = "eTag", alias = "etag", skip_serializing_if = "Option::is_none")]
    pub(crate) if_match: Option<String>,
    pub(crate) import_mode: ImportMode,
    #[serde(flatten)]
    pub(crate) body: IdentityBody,
}

/// What to do with an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ImportMode {
    Create,
    #[default]
    CreateOrUpdate,
    #[serde(rename = "createOrUpdateIfMatchETag")]
    CreateOrUpdateIfMatch,
    Delete,
    #[serde(rename = "deleteIfMatchETag")]
    DeleteIfMatch,
    Update,
    #[serde(rename = "updateIfMatchETag")]
    UpdateIfMatch,
}

/// The answer to a bulk call.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BulkResult {
    pub(crate) is_successful: bool,
    pub(crate) errors: Vec<BulkError>,
    pub(crate) warnings: Vec<serde_json::Value>,
}

/// What failed about one identity.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BulkError {
    pub(crate) device_id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) module_id: Option<String>,
    pub(crate) error_code: u32,
    pub(crate) error_status: String,
}
