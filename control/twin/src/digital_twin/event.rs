//! Digital twin change events: how the digital twin document has changed, as a JSON Patch.
//! - Source: Azure IoT Hub, `digitalTwinChangeEvents`, content type `application/json-patch+json`.
//! - Shape: properties and the metadata of each are replaced as wholes; paths go no deeper than into a component.

use serde_json::{Map, Value, json};

use super::document::document;
use super::model::Model;
use crate::twin::{Twin, json_bytes};

/// The body of the event that tells what a change of the twin did to the digital twin; `None`: nothing.
#[must_use]
pub fn change_event(before: &Twin, after: &Twin, model: Option<&Model>) -> Option<Vec<u8>> {
    let (was, is) = (document(before, "", model), document(after, "", model));
    let mut operations = Vec::new();
    compare("", was.as_object()?, is.as_object()?, &mut operations);
    (!operations.is_empty()).then(|| json_bytes(&operations))
}

fn compare(path: &str, was: &Map<String, Value>, is: &Map<String, Value>, operations: &mut Vec<Value>) {
    for (name, value) in is {
        let path = format!("{path}/{}", escaped(name));
        match (was.get(name), value) {
            (Some(before), value) if before == value => {}
            (Some(Value::Object(was)), Value::Object(is)) if is_entered(name, was) && is_entered(name, is) => {
                compare(&path, was, is, operations);
            }
            (Some(_), value) => operations.push(json!({ "op": "replace", "path": path, "value": value })),
            (None, value) => operations.push(json!({ "op": "add", "path": path, "value": value })),
        }
    }
    for name in was.keys().filter(|name| !is.contains_key(*name)) {
        operations.push(json!({ "op": "remove", "path": format!("{path}/{}", escaped(name)) }));
    }
}

/// Whether what is inside is told on its own: components and the metadata. No property of a twin has a `$metadata` in it.
fn is_entered(name: &str, members: &Map<String, Value>) -> bool {
    name == "$metadata" || members.contains_key("$metadata")
}

/// A name in a JSON Pointer (RFC 6901).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
