//! Identities as operators see them, and who looks after them.

use std::future::Future;
use std::pin::Pin;

use millrace_control_jobs::shape::{AuthenticationBody, IdentityBody, KeyText, StatusText, SymmetricKeyBody};
use millrace_control_store::registry::{IdentityName, Status};
use millrace_protocols_identity::connection_string::Credential;
use millrace_protocols_identity::{ConnectionString, Key};
use serde::Serialize;
use serde_json::Value;

use crate::error::OperatorError;
use crate::import::{ImportReport, ImportRows};
use crate::table::{Cell, Columns};

/// What an operator's methods return.
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, OperatorError>> + 'a>>;

/// Somebody who looks after identities.
pub trait Operator {
    /// Creates the identity that `body` describes.
    fn create<'a>(&'a self, name: &'a IdentityName, body: IdentityBody) -> Work<'a, Device>;

    /// Devices in the order of their ids, from the first one behind `after`; at most `count`, at most 1,000.
    fn list<'a>(&'a self, after: Option<&'a str>, count: usize) -> Work<'a, Vec<Device>>;

    /// Modules of a device, in the order of their ids.
    fn modules<'a>(&'a self, device_id: &'a IdentityName) -> Work<'a, Vec<Device>>;

    /// Reads an identity.
    fn show<'a>(&'a self, name: &'a IdentityName) -> Work<'a, Device>;

    /// Enables or disables an identity.
    fn set_status<'a>(&'a self, name: &'a IdentityName, status: Status, reason: Option<String>) -> Work<'a, Device>;

    /// Deletes an identity; with a device go its modules.
    fn delete<'a>(&'a self, name: &'a IdentityName) -> Work<'a, ()>;

    /// Creates all devices of a file: all or none of them, or with `skip_bad` those that are good.
    /// `progress` is told the number of lines read.
    fn import<'a>(
        &'a self,
        rows: ImportRows<'a>,
        skip_bad: bool,
        progress: &'a mut dyn FnMut(u64),
    ) -> Work<'a, ImportReport>;
}

/// Columns of lists of devices.
pub(crate) const DEVICE_COLUMNS: Columns = Columns::Fixed(&[
    ("DEVICE", Cell::At("/deviceId")),
    ("STATUS", Cell::Flag("/enabled", "enabled", "disabled")),
    ("AUTHENTICATION", Cell::At("/authentication")),
    ("REASON", Cell::At("/statusReason")),
]);

/// Columns of lists of modules.
pub(crate) const MODULE_COLUMNS: Columns = Columns::Fixed(&[
    ("DEVICE", Cell::At("/deviceId")),
    ("MODULE", Cell::At("/moduleId")),
    ("AUTHENTICATION", Cell::At("/authentication")),
    ("MANAGED BY", Cell::At("/managedBy")),
]);

/// An identity as operators see it. Serialized and shown without its key.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Device id.
    pub device_id: String,
    /// Module id, for a module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module_id: Option<String>,
    /// What manages it; of modules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
    /// Whether it may connect.
    pub enabled: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// Changes when the identity is deleted and created again.
    pub generation_id: String,
    /// When its status last changed.
    pub status_updated_time: String,
    /// `sas`, `selfSigned`, `certificateAuthority` or `none`.
    pub authentication: String,
    /// Thumbprints of its certificates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub thumbprints: Vec<String>,
    /// Whether it is an IoT Edge device.
    pub iot_edge: bool,
    /// The scope that it opens or is a child of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_scope: Option<String>,
    /// The key for a connection string.
    #[serde(skip)]
    pub primary_key: Option<Key>,
}

impl Device {
    /// The connection string for this identity; with a key, or for a certificate. `None` when it has neither.
    #[must_use]
    pub fn connection_string(&self, host_name: &str) -> Option<ConnectionString> {
        let credential = match (&self.primary_key, self.authentication.as_str()) {
            (Some(key), _) => Credential::Key(key.clone()),
            (None, "selfSigned" | "certificateAuthority") => Credential::Certificate,
            _ => return None,
        };
        Some(ConnectionString {
            host_name: host_name.to_owned(),
            device_id: Some(self.device_id.clone()),
            module_id: self.module_id.clone(),
            policy: None,
            gateway_host_name: None,
            credential,
        })
    }

    /// As a row of a table.
    pub(crate) fn row(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl From<IdentityBody> for Device {
    fn from(body: IdentityBody) -> Self {
        let authentication = body.authentication.unwrap_or_default();
        let keys = authentication.symmetric_key.unwrap_or_default();
        let thumbprints = authentication.x509_thumbprint.unwrap_or_default();
        let filled = |text: &String| !text.is_empty();
        Self {
            device_id: body.device_id,
            module_id: body.module_id,
            managed_by: body.managed_by.filter(filled),
            enabled: body.status != Some(StatusText::Disabled),
            status_reason: body.status_reason.filter(filled),
            generation_id: body.generation_id.unwrap_or_default(),
            status_updated_time: body.status_updated_time.unwrap_or_default(),
            authentication: authentication.kind.unwrap_or_default(),
            thumbprints: [thumbprints.primary_thumbprint, thumbprints.secondary_thumbprint]
                .into_iter()
                .flatten()
                .filter(filled)
                .collect(),
            iot_edge: body.capabilities.is_some_and(|capabilities| capabilities.iot_edge),
            device_scope: body.device_scope.filter(filled),
            primary_key: keys.primary_key.and_then(|text| Key::from_base64(&text.0).ok()),
        }
    }
}

/// A body that says who is meant and nothing else.
pub(crate) fn body_of(name: &IdentityName) -> IdentityBody {
    IdentityBody {
        device_id: name.device_id().to_owned(),
        module_id: name.module_id().map(str::to_owned),
        ..IdentityBody::default()
    }
}

/// Authentication by this primary key, or a new one; the secondary one is always new.
pub(crate) fn key_authentication(primary: Option<&Key>) -> AuthenticationBody {
    AuthenticationBody {
        kind: Some("sas".to_owned()),
        symmetric_key: Some(SymmetricKeyBody {
            primary_key: primary.map(|key| KeyText(key.to_base64())),
            secondary_key: None,
        }),
        x509_thumbprint: None,
    }
}
