//! Digital twins: what a model (DTDL) says of a device, and its twin seen through that.
//! - Source: DTDL versions 2 and 3; IoT Plug and Play conventions; Azure IoT Hub `/digitaltwins/{id}`; JSON Patch (RFC 6902).
//! - Shape: `parse` makes a [`Model`] of a document; `document` shows a twin through it; `patch` makes a patch of the desired
//!   properties of a JSON Patch; `command` makes a method's name of a command's; `event` tells the routes what has changed.
//! - Invariants: a model that is not known is no error: then names and markers (`"__t":"c"`) decide alone.

mod command;
mod document;
mod dtmi;
mod error;
mod event;
mod model;
mod parse;
mod patch;
mod schema;

pub use command::command_method;
pub use document::document;
pub use dtmi::{Dtmi, DtmiError};
pub use error::{DigitalTwinError, Problem, Problems};
pub use event::change_event;
pub use model::{Command, Content, DtdlVersion, Model, Models, NoModels};
pub use parse::MODELS_MAX;
pub use patch::desired_patch;
pub use schema::{EnumValues, Field, Primitive, Schema};

/// The member that marks an object of a twin as a component, and its value.
pub(crate) const MARKER: (&str, &str) = ("__t", "c");

/// Whether a value of a twin is marked as a component.
pub(crate) fn is_component(value: &serde_json::Value) -> bool {
    value.get(MARKER.0).and_then(serde_json::Value::as_str) == Some(MARKER.1)
}

/// Whether a text is the name of an element of a model: a letter, then letters, digits and `_`, which is not the last.
pub(crate) fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && text.as_bytes().last().is_some_and(u8::is_ascii_alphanumeric)
        && text.bytes().all(inner)
}
