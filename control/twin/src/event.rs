//! What routes are told of a twin: the bodies of twin change events and of lifecycle events.
//! - Source: Azure IoT Hub, non-telemetry events: `twinChangeNotification`, `deviceLifecycleNotification`.
//! - Not here: the properties of the message (`control`), digital twin change events (`digital_twin`).

use serde_json::{Map, Value};

use crate::twin::{Twin, json_bytes};

/// A twin change event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwinEvent {
    /// `opType`: `updateTwin` or `replaceTwin`.
    pub operation: &'static str,
    /// JSON.
    pub body: Vec<u8>,
}

/// What a patch gave, section by section.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Given<'a> {
    pub(crate) tags: Option<&'a Map<String, Value>>,
    pub(crate) desired: Option<&'a Map<String, Value>>,
    pub(crate) reported: Option<&'a Map<String, Value>>,
}

/// The event that tells of a patch: what it gave, with versions and metadata as they are now.
pub(crate) fn update(now: &Twin, given: &Given<'_>) -> TwinEvent {
    let mut body = Map::from_iter([("version".to_owned(), now.version.into())]);
    if let Some(tags) = given.tags {
        body.insert("tags".to_owned(), Value::Object(tags.clone()));
    }
    let mut properties = Map::new();
    if let Some(patch) = given.desired {
        properties.insert("desired".to_owned(), Value::Object(now.desired.changed(patch)));
    }
    if let Some(patch) = given.reported {
        properties.insert("reported".to_owned(), Value::Object(now.reported.changed(patch)));
    }
    if !properties.is_empty() {
        body.insert("properties".to_owned(), Value::Object(properties));
    }
    TwinEvent { operation: "updateTwin", body: json_bytes(&body) }
}

/// The event that tells of a replacement: all that the twin holds now.
pub(crate) fn replace(now: &Twin) -> TwinEvent {
    let mut body = Map::from_iter([("etag".to_owned(), now.etag().into()), ("version".to_owned(), now.version.into())]);
    body.insert("tags".to_owned(), Value::Object(now.tags.clone()));
    body.insert("properties".to_owned(), now.properties(true));
    TwinEvent { operation: "replaceTwin", body: json_bytes(&body) }
}

impl Twin {
    /// Body of the event that tells that an identity was created or deleted, with its twin at that moment.
    #[must_use]
    pub fn lifecycle_body(&self, device_id: &str, module_id: Option<&str>) -> Vec<u8> {
        let mut body = Map::from_iter([("deviceId".to_owned(), device_id.into())]);
        if let Some(module_id) = module_id {
            body.insert("moduleId".to_owned(), module_id.into());
        }
        body.insert("etag".to_owned(), self.etag().into());
        body.insert("version".to_owned(), self.version.into());
        body.insert("properties".to_owned(), self.properties(true));
        json_bytes(&body)
    }
}
