//! JSON of a device or module.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millrace_control::Presence;
use millrace_control_store::registry::{Expected, IdentityName, Record, Stamp, Status, Update};
use millrace_control_store::{clock, random};
use millrace_model::{HubError, Timestamp};
use serde::{Deserialize, Serialize};

use super::authentication::{AuthenticationBody, failed, new_keys};

const NEVER: &str = "0001-01-01T00:00:00Z";

/// A device or module, in requests and answers. The client of the REST API reads the same members.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IdentityBody {
    /// Whose, or who.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub device_id: String,
    /// The module, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module_id: Option<String>,
    /// What manages it; of modules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
    /// Changes when it is deleted and created again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_id: Option<String>,
    /// Changes with every change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Whether it may connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusText>,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// When its status last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_updated_time: Option<String>,
    /// `Connected` or `Disconnected`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_state: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_state_updated_time: Option<String>,
    /// When it last did something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_activity_time: Option<String>,
    /// Messages waiting for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud_to_device_message_count: Option<u64>,
    /// How it proves itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<AuthenticationBody>,
    /// What it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// The scope that it opens or is a child of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_scope: Option<String>,
    /// Scopes of its parents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_scopes: Option<Vec<String>>,
}

/// Whether an identity may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusText {
    /// It may.
    #[serde(alias = "Enabled")]
    Enabled,
    /// It may not.
    #[serde(alias = "Disabled")]
    Disabled,
}

/// What a device can.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Capabilities {
    /// It is an IoT Edge device.
    pub iot_edge: bool,
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
            managed_by: record.managed_by.clone(),
            generation_id: Some(record.generation.to_string()),
            etag: Some(etag_text(record.etag)),
            status: of_device.then_some(record.status.into()),
            status_reason: record.status_reason.clone(),
            status_updated_time: of_device.then(|| time_text(record.status_updated)),
            connection_state: Some("Disconnected".to_owned()),
            connection_state_updated_time: Some(NEVER.to_owned()),
            last_activity_time: Some(NEVER.to_owned()),
            cloud_to_device_message_count: Some(0),
            authentication: Some((&record.authentication).into()),
            capabilities: of_device.then_some(Capabilities { iot_edge: record.capabilities_iot_edge }),
            device_scope: record.device_scope.clone(),
            parent_scopes: (!record.parent_scopes.is_empty()).then(|| record.parent_scopes.clone()),
        }
    }
}

impl IdentityBody {
    /// With what is known of its connection.
    #[must_use]
    pub fn with_presence(mut self, presence: Presence) -> Self {
        let time = |time: Option<Timestamp>| Some(time.map_or_else(|| NEVER.to_owned(), time_text));
        self.connection_state = Some(if presence.is_connected { "Connected" } else { "Disconnected" }.to_owned());
        self.connection_state_updated_time = time(presence.changed);
        self.last_activity_time = time(presence.last_activity);
        self
    }
}

/// The new identity that a body describes.
///
/// # Errors
/// When a member cannot be what it is.
pub fn record_of(name: IdentityName, body: &IdentityBody) -> Result<Record, HubError> {
    let authentication = body.authentication.as_ref().map(AuthenticationBody::read).transpose()?.flatten();
    let authentication = authentication.map_or_else(new_keys, Ok)?;
    let mut record = Record::new(name, authentication, clock::now(), random::salt().map_err(failed)?);
    record.status = body.status.map(Into::into).unwrap_or_default();
    record.status_reason = given(&body.status_reason);
    record.capabilities_iot_edge = body.capabilities.as_ref().is_some_and(|capabilities| capabilities.iot_edge);
    record.managed_by = given(&body.managed_by);
    record.device_scope = given(&body.device_scope);
    record.parent_scopes = body.parent_scopes.clone().unwrap_or_default();
    if record.capabilities_iot_edge && record.device_scope.is_none() {
        // As the hub does: an edge device opens a scope of its own, which its children name.
        record.device_scope = Some(edge_scope(&record));
    }
    record.check().map_err(failed)?;
    Ok(record)
}

/// The change that a body describes; what it leaves out stays.
///
/// # Errors
/// When a member cannot be what it is.
pub fn update_of(body: &IdentityBody) -> Result<Update, HubError> {
    let cleared = |text: &Option<String>| text.clone().map(|text| Some(text).filter(|text| !text.is_empty()));
    Ok(Update {
        status: body.status.map(Into::into),
        status_reason: cleared(&body.status_reason),
        authentication: body.authentication.as_ref().map(AuthenticationBody::read).transpose()?.flatten(),
        capabilities_iot_edge: body.capabilities.as_ref().map(|capabilities| capabilities.iot_edge),
        managed_by: cleared(&body.managed_by),
        device_scope: cleared(&body.device_scope),
        parent_scopes: body.parent_scopes.clone(),
    })
}

/// A state of an identity as an etag, not quoted.
#[must_use]
pub fn etag_text(stamp: Stamp) -> String {
    STANDARD.encode(stamp.0.to_be_bytes())
}

/// Which state of an identity an etag means, quoted or not. One that is none of ours fits nothing: stamps are positive.
#[must_use]
pub fn parse_etag(text: &str) -> Expected {
    match text.trim().trim_matches('"') {
        "*" => Expected::Any,
        etag => {
            let bytes = STANDARD.decode(etag).ok().and_then(|bytes| bytes.try_into().ok());
            Expected::Etag(Stamp(bytes.map_or(-1, i64::from_be_bytes)))
        }
    }
}

/// A time as the SDKs read it.
#[must_use]
pub fn time_text(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.0).map_or_else(|_| NEVER.to_owned(), |time| time.to_string())
}

fn given(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

fn edge_scope(record: &Record) -> String {
    format!("ms-azure-iot-edge://{}-{}", record.name.device_id(), record.generation)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quoted_and_bare_etags_are_the_same() {
        let stamp = Stamp(638_501_544_000_000_007);
        let text = etag_text(stamp);
        assert_eq!(parse_etag(&text), Expected::Etag(stamp));
        assert_eq!(parse_etag(&format!("\"{text}\"")), Expected::Etag(stamp));
        assert_eq!((parse_etag("*"), parse_etag("\"*\"")), (Expected::Any, Expected::Any));
        assert_eq!(parse_etag("\"foreign\""), Expected::Etag(Stamp(-1)));
    }

    #[test]
    fn bodies_describe_records_and_records_bodies() {
        let name = IdentityName::new("edge", None).unwrap();
        let body = json!({"deviceId": "edge", "status": "disabled", "statusReason": "lost", "capabilities": {"iotEdge": true},
            "parentScopes": ["ms-azure-iot-edge://parent-1"], "authentication": {"type": "sas"}, "unknown": [1, {}]});
        let record = record_of(name, &serde_json::from_value(body).unwrap()).unwrap();
        assert_eq!((record.status, record.capabilities_iot_edge), (Status::Disabled, true));
        assert!(record.device_scope.as_deref().unwrap().starts_with("ms-azure-iot-edge://edge-63"));
        let text = serde_json::to_value(IdentityBody::from(&record)).unwrap();
        assert_eq!(text["parentScopes"], json!(["ms-azure-iot-edge://parent-1"]));
        assert_eq!(text["capabilities"], json!({"iotEdge": true}));
        let update =
            update_of(&serde_json::from_value(json!({"deviceId": "edge", "statusReason": ""})).unwrap()).unwrap();
        assert_eq!(update.status_reason, Some(None));
        assert!(update.status.is_none() && update.authentication.is_none() && update.parent_scopes.is_none());
    }
}
