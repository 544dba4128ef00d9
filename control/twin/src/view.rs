//! What readers see of a twin: the device its properties with their versions, the service everything.
//! - Source: Azure IoT Hub, twin read over MQTT and `GET /twins/{id}`.

use millrace_model::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::section::{ForDevice, Properties};
use crate::time::{NEVER, time_text};
use crate::twin::{Twin, json_bytes};

/// What the service's view tells of the identity, besides its twin.
#[derive(Debug, Clone, Copy, Default)]
pub struct IdentityFacts<'a> {
    /// Device id.
    pub device_id: &'a str,
    /// Module id; `None` for the device itself.
    pub module_id: Option<&'a str>,
    /// Etag of the identity, not of the twin.
    pub etag: &'a str,
    /// Whether it may connect.
    pub is_enabled: bool,
    /// Why not, in the operator's words.
    pub status_reason: Option<&'a str>,
    /// When its status last changed.
    pub status_updated: Option<Timestamp>,
    /// Whether it is connected.
    pub is_connected: bool,
    /// When it last connected, sent or received.
    pub last_activity: Option<Timestamp>,
    /// Messages waiting for it.
    pub cloud_to_device_message_count: u64,
    /// `sas`, `selfSigned`, `certificateAuthority` or `none`.
    pub authentication_type: &'a str,
    /// Thumbprints of a self-signed identity, primary and secondary.
    pub thumbprints: [Option<&'a str>; 2],
    /// Whether it is an edge device.
    pub is_edge: bool,
    /// Scope that it belongs to or spans.
    pub device_scope: Option<&'a str>,
    /// Scopes of its parents.
    pub parent_scopes: &'a [String],
}

impl Twin {
    /// What a device reads: JSON, without tags and metadata.
    #[must_use]
    pub fn device_view(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct View<'a> {
            desired: ForDevice<'a>,
            reported: ForDevice<'a>,
        }
        json_bytes(&View { desired: self.desired.for_device(), reported: self.reported.for_device() })
    }

    /// What the service reads.
    #[must_use]
    pub fn service_view(&self, facts: &IdentityFacts<'_>) -> Value {
        self.view(facts, true)
    }

    /// The same without the metadata of properties, which are most of the work: for queries that do not ask for them.
    #[must_use]
    pub fn service_view_without_metadata(&self, facts: &IdentityFacts<'_>) -> Value {
        self.view(facts, false)
    }

    fn view(&self, facts: &IdentityFacts<'_>, has_metadata: bool) -> Value {
        let mut view = Map::new();
        let mut put = |name: &str, value: Value| drop(view.insert(name.to_owned(), value));
        put("deviceId", facts.device_id.into());
        if let Some(module_id) = facts.module_id {
            put("moduleId", module_id.into());
        }
        put("etag", self.etag().into());
        put("deviceEtag", facts.etag.into());
        put("status", if facts.is_enabled { "enabled" } else { "disabled" }.into());
        if let Some(reason) = facts.status_reason {
            put("statusReason", reason.into());
        }
        put("statusUpdateTime", time_text(facts.status_updated.unwrap_or(NEVER)).into());
        put("connectionState", if facts.is_connected { "Connected" } else { "Disconnected" }.into());
        put("lastActivityTime", time_text(facts.last_activity.unwrap_or(NEVER)).into());
        put("cloudToDeviceMessageCount", facts.cloud_to_device_message_count.into());
        put("authenticationType", facts.authentication_type.into());
        let [primary, secondary] = facts.thumbprints;
        put("x509Thumbprint", json!({ "primaryThumbprint": primary, "secondaryThumbprint": secondary }));
        if let Some(model_id) = self.model_id() {
            put("modelId", model_id.into());
        }
        put("version", self.version.into());
        put("tags", Value::Object(self.tags.clone()));
        put("properties", self.properties(has_metadata));
        put("capabilities", json!({ "iotEdge": facts.is_edge }));
        if !self.configurations.is_empty() {
            let status = |(id, status): (&str, &str)| (id.to_owned(), json!({ "status": status }));
            put("configurations", Value::Object(self.configurations().map(status).collect()));
        }
        if let Some(scope) = facts.device_scope {
            put("deviceScope", scope.into());
        }
        if !facts.parent_scopes.is_empty() {
            put("parentScopes", facts.parent_scopes.into());
        }
        Value::Object(view)
    }

    /// Both kinds of properties as the service sees them.
    pub(crate) fn properties(&self, has_metadata: bool) -> Value {
        let section = |properties: &Properties| Value::Object(properties.for_service(has_metadata));
        let sections = [("desired", &self.desired), ("reported", &self.reported)];
        sections.into_iter().map(|(name, properties)| (name.to_owned(), section(properties))).collect()
    }
}
