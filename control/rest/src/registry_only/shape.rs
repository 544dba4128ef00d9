//! JSON of the REST API: identities, and what bulk calls take and give.
//! - Source: Azure IoT Hub service REST API, Device, Module, ExportImportDevice, BulkRegistryOperationResult.
//! - Invariants: members that are not known are skipped. Keys are wiped when a body goes and shown by no `Debug`.
//! - Units: times are ISO 8601 in UTC; one that never was is `0001-01-01T00:00:00Z`.

use millrace_model::Timestamp;
use millrace_protocols_identity::Key;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::ServiceError;
use super::etag;
use millrace_control_store::error::RegistryError;
use millrace_control_store::random;
use millrace_control_store::registry::{Authentication, Record, Status};

mod bulk;

pub use bulk::{BulkError, BulkIdentity, BulkResult, ImportMode};

const NEVER: &str = "0001-01-01T00:00:00Z";

/// A device or module, in requests and answers. The client of this API reads the same members.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IdentityBody {
    pub device_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_updated_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_state_updated_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_activity_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud_to_device_message_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<AuthenticationBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusText {
    #[serde(alias = "Enabled")]
    Enabled,
    #[serde(alias = "Disabled")]
    Disabled,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Capabilities {
    pub iot_edge: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthenticationBody {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    pub symmetric_key: Option<SymmetricKeyBody>,
    #[serde(rename = "x509Thumbprint")]
    pub x509_thumbprint: Option<ThumbprintBody>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SymmetricKeyBody {
    pub primary_key: Option<KeyText>,
    pub secondary_key: Option<KeyText>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ThumbprintBody {
    pub primary_thumbprint: Option<String>,
    pub secondary_thumbprint: Option<String>,
}

/// Base64 text of a key.
pub struct KeyText(pub Zeroizing<String>);

impl std::fmt::Debug for KeyText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyText(..)")
    }
}

impl Serialize for KeyText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for KeyText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl From<StatusText> for Status {
    fn from(text: StatusText) -> Self {
        match text {
            StatusText::Enabled => Self::Enabled,
            StatusText::Disabled => Self::Disabled,
        }
    }
}

impl From<Status> for StatusText {
    fn from(status: Status) -> Self {
        match status {
            Status::Enabled => Self::Enabled,
            Status::Disabled => Self::Disabled,
        }
    }
}

impl From<&Record> for IdentityBody {
    fn from(record: &Record) -> Self {
        let of_device = record.name.module_id().is_none();
        Self {
            device_id: record.name.device_id().to_owned(),
            module_id: record.name.module_id().map(str::to_owned),
            generation_id: Some(record.generation.to_string()),
            etag: Some(etag::text(record.etag)),
            status: of_device.then_some(record.status.into()),
            status_reason: record.status_reason.clone(),
            status_updated_time: of_device.then(|| time_text(record.status_updated)),
            connection_state: Some("Disconnected".to_owned()),
            connection_state_updated_time: Some(NEVER.to_owned()),
            last_activity_time: Some(NEVER.to_owned()),
            cloud_to_device_message_count: Some(0),
            authentication: Some((&record.authentication).into()),
            capabilities: of_device.then(Capabilities::default),
        }
    }
}

impl From<&Authentication> for AuthenticationBody {
    fn from(authentication: &Authentication) -> Self {
        let text = |key: &Key| Some(KeyText(key.to_base64()));
        let (kind, primary_key, secondary_key) = match authentication {
            Authentication::None => ("none", None, None),
            Authentication::Sas { primary, secondary } => ("sas", text(primary), text(secondary)),
            Authentication::SelfSigned { .. } => ("selfSigned", None, None),
            Authentication::CertificateAuthority => ("certificateAuthority", None, None),
        };
        Self {
            kind: Some(kind.to_owned()),
            symmetric_key: Some(SymmetricKeyBody { primary_key, secondary_key }),
            x509_thumbprint: Some(ThumbprintBody::default()),
        }
    }
}

impl AuthenticationBody {
    /// What is asked for; `None` when keys are wanted and none are given.
    pub fn read(&self) -> Result<Option<Authentication>, ServiceError> {
        match self.kind.as_deref() {
            Some("none") => return Ok(Some(Authentication::None)),
            None | Some("sas") => {}
            Some(_) => return Err(ServiceError::argument("authentication type: this hub knows sas and none")),
        }
        let keys = self.symmetric_key.as_ref();
        let key = |text: Option<&KeyText>| -> Result<Option<Key>, ServiceError> {
            let text = text.filter(|text| !text.0.is_empty());
            text.map(|text| Key::from_base64(&text.0)).transpose().map_err(|error| RegistryError::Key(error).into())
        };
        let primary = key(keys.and_then(|keys| keys.primary_key.as_ref()))?;
        let secondary = key(keys.and_then(|keys| keys.secondary_key.as_ref()))?;
        if primary.is_none() && secondary.is_none() {
            return Ok(None);
        }
        let or_new = |key: Option<Key>| key.map_or_else(random::key, Ok);
        Ok(Some(Authentication::Sas { primary: or_new(primary)?, secondary: or_new(secondary)? }))
    }
}

/// Keys that nobody knows yet.
pub fn new_keys() -> Result<Authentication, RegistryError> {
    Ok(Authentication::Sas { primary: random::key()?, secondary: random::key()? })
}

/// A time as the SDKs read it.
pub fn time_text(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.0).map_or_else(|_| NEVER.to_owned(), |time| time.to_string())
}
