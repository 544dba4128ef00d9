//! JSON of bulk calls.
//! - Source: Azure IoT Hub, ExportImportDevice and BulkRegistryOperationResult.

use serde::{Deserialize, Serialize};

use super::IdentityBody;

/// One identity of a bulk call.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BulkIdentity {
    pub id: String,
    #[serde(rename = "eTag", alias = "etag", skip_serializing_if = "Option::is_none")]
    pub if_match: Option<String>,
    pub import_mode: ImportMode,
    #[serde(flatten)]
    pub body: IdentityBody,
}

/// What to do with an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImportMode {
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
pub struct BulkResult {
    pub is_successful: bool,
    pub errors: Vec<BulkError>,
    pub warnings: Vec<serde_json::Value>,
}

/// What failed about one identity.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkError {
    pub device_id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module_id: Option<String>,
    pub error_code: u32,
    pub error_status: String,
}
