//! JSON of bulk calls, and of the lines of imports and exports.
//! - Source: Azure IoT Hub, ExportImportDevice and BulkRegistryOperationResult.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::identity::IdentityBody;

/// One identity of a bulk call, or one line of an import or export.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BulkIdentity {
    /// Device id.
    pub id: String,
    /// State of the identity that is meant.
    #[serde(rename = "eTag", alias = "etag", skip_serializing_if = "Option::is_none")]
    pub if_match: Option<String>,
    /// What to do.
    pub import_mode: ImportMode,
    /// State of the twin that is meant.
    #[serde(rename = "twinETag", alias = "twinEtag", skip_serializing_if = "Option::is_none")]
    pub twin_if_match: Option<String>,
    /// Tags of the twin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Value>,
    /// Properties of the twin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<PropertiesBody>,
    /// The rest.
    #[serde(flatten)]
    pub body: IdentityBody,
}

/// Properties of a twin.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PropertiesBody {
    /// What the service wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired: Option<Value>,
    /// What the device says; exported, never imported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported: Option<Value>,
}

/// What to do with an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImportMode {
    /// Add it.
    Create,
    /// Add it or, if it is there, change it.
    #[default]
    CreateOrUpdate,
    /// Likewise, if it has the etag.
    #[serde(rename = "createOrUpdateIfMatchETag")]
    CreateOrUpdateIfMatch,
    /// Remove it.
    Delete,
    /// Remove it, if it has the etag.
    #[serde(rename = "deleteIfMatchETag")]
    DeleteIfMatch,
    /// Change it.
    Update,
    /// Change it, if it has the etag.
    #[serde(rename = "updateIfMatchETag")]
    UpdateIfMatch,
    /// Change its twin.
    UpdateTwin,
    /// Change its twin, if that has the etag.
    #[serde(rename = "updateTwinIfMatchETag")]
    UpdateTwinIfMatch,
}

/// The answer to a bulk call.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkResult {
    /// Whether all of it succeeded.
    pub is_successful: bool,
    /// What failed.
    pub errors: Vec<BulkError>,
    /// What is worth knowing of the rest.
    pub warnings: Vec<BulkWarning>,
}

/// What failed about one identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkError {
    /// Which.
    pub device_id: String,
    /// Its module, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub module_id: Option<String>,
    /// The hub's number for it.
    pub error_code: u32,
    /// The same for people.
    pub error_status: String,
    /// What was tried.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operation: Option<ImportMode>,
}

/// What is worth knowing of an identity although it succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkWarning {
    /// Which.
    pub device_id: String,
    /// A name for it.
    pub warning_code: String,
    /// The same for people.
    pub warning_status: String,
}
