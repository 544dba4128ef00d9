//! A JSON Patch for a digital twin -> the patch of the desired properties that does the same.
//! - Source: JSON Patch (RFC 6902), JSON Pointer (RFC 6901); Azure IoT Hub `PATCH /digitaltwins/{id}`: `add`, `replace` and
//!   `remove` of `/property`, `/component` and `/component/property`.
//! - Shape: the operations are carried out on a copy of the desired properties; what they touched is then written as a merge patch
//!   that leads there, with null for what must go. `replace` also sets what is not there yet: it may have been reported only.
//! - Invariants: all operations or none. With a model, only its writable properties with values of their schemas.
//! - Not here: names, levels and sizes, which `Twin::patch_service` checks in every patch.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::error::{DigitalTwinError, Problems};
use super::model::{Content, Model};
use super::{MARKER, is_component};
use crate::limits::JSON_PATCH_OPERATIONS_MAX;
use crate::path::{Path, cut};
use crate::twin::Twin;

/// The body for [`Twin::patch_service`] that carries out a JSON Patch.
///
/// # Errors
/// When it is not a JSON Patch, or an operation cannot be carried out.
pub fn desired_patch(twin: &Twin, model: Option<&Model>, operations: &Value) -> Result<Value, DigitalTwinError> {
    let Some(operations) = operations.as_array() else {
        return Err(DigitalTwinError::NotAPatch("a JSON Patch is an array of operations"));
    };
    if operations.is_empty() || operations.len() > JSON_PATCH_OPERATIONS_MAX {
        return Err(DigitalTwinError::NotAPatch("a JSON Patch has 1 to 256 operations"));
    }
    let mut draft = Draft { twin, model, desired: twin.desired().clone(), touched: BTreeSet::new() };
    for (index, operation) in operations.iter().enumerate() {
        let path = operation.get("path").and_then(Value::as_str);
        draft.apply(operation, path).map_err(|why| DigitalTwinError::Operation {
            operation: index,
            path: cut(path.unwrap_or_default(), 200),
            why,
        })?;
    }
    Ok(json!({ "properties": { "desired": draft.patch() } }))
}

/// The desired properties while operations are carried out.
struct Draft<'a> {
    twin: &'a Twin,
    model: Option<&'a Model>,
    desired: Map<String, Value>,
    /// Members, and members of components, that an operation named. A component as a whole has no second part.
    touched: BTreeSet<(String, Option<String>)>,
}

impl Draft<'_> {
    fn apply(&mut self, operation: &Value, path: Option<&str>) -> Result<(), String> {
        let (first, second) = pointer(path.ok_or("an operation has a path")?)?;
        let value = match operation.get("op").and_then(Value::as_str) {
            Some("add" | "replace") => Some(operation.get("value").ok_or("the operation has no value")?),
            Some("remove") => None,
            _ => return Err("op is none of add, replace and remove".to_owned()),
        };
        match (second, value) {
            (Some(property), value) => self.set_in_component(first, property, value),
            (None, Some(value)) if self.is_component(&first, value) => self.set_component(first, value),
            (None, value) => self.set(first, value),
        }
    }

    /// Whether a member is a component, or is to become one.
    fn is_component(&self, name: &str, value: &Value) -> bool {
        match self.model.and_then(|model| model.content(name)) {
            Some(content) => matches!(content, Content::Component(_)),
            None => value.get("$metadata").is_some() || self.is_marked(name),
        }
    }

    fn is_marked(&self, name: &str) -> bool {
        [self.twin.desired(), self.twin.reported()].iter().any(|side| side.get(name).is_some_and(is_component))
    }

    fn set(&mut self, name: String, value: Option<&Value>) -> Result<(), String> {
        match value {
            Some(value) => {
                check_property(self.model, &name, value)?;
                self.desired.insert(name.clone(), value.clone());
            }
            None if self.desired.shift_remove(&name).is_none() && !self.twin.reported().contains_key(&name) => {
                return Err("there is nothing to remove".to_owned());
            }
            None => {}
        }
        self.touched.insert((name, None));
        Ok(())
    }

    fn set_component(&mut self, name: String, value: &Value) -> Result<(), String> {
        let members = value.as_object().ok_or("a component is an object")?;
        if members.get("$metadata").and_then(Value::as_object).is_none_or(|metadata| !metadata.is_empty()) {
            return Err("a component is given with an empty \"$metadata\"".to_owned());
        }
        let model = self.component_model(&name)?;
        let mut component = Map::from_iter([(MARKER.0.to_owned(), MARKER.1.into())]);
        for (property, value) in members.iter().filter(|(property, _)| *property != "$metadata") {
            check_property(model, property, value).map_err(|why| format!("{}: {why}", cut(property, 64)))?;
            component.insert(property.clone(), value.clone());
        }
        self.desired.insert(name.clone(), Value::Object(component));
        self.touched.insert((name, None));
        Ok(())
    }

    fn set_in_component(&mut self, component: String, property: String, value: Option<&Value>) -> Result<(), String> {
        let model = self.component_model(&component)?;
        if let Some(value) = value {
            check_property(model, &property, value)?;
        }
        let slot = self.desired.entry(component.clone()).or_insert_with(|| json!({ MARKER.0: MARKER.1 }));
        let members = slot.as_object_mut().ok_or("is inside a property that is no component")?;
        members.insert(MARKER.0.to_owned(), MARKER.1.into());
        match value {
            Some(value) => drop(members.insert(property.clone(), value.clone())),
            None => {
                let was_desired = members.shift_remove(&property).is_some();
                let was_reported = self.twin.reported().get(&component).is_some_and(|it| it.get(&property).is_some());
                if !was_desired && !was_reported {
                    return Err("there is nothing to remove".to_owned());
                }
            }
        }
        self.touched.insert((component, Some(property)));
        Ok(())
    }

    /// The model of a component, if the device's model is known.
    fn component_model(&self, name: &str) -> Result<Option<&Model>, String> {
        let Some(model) = self.model else { return Ok(None) };
        match model.content(name) {
            Some(Content::Component(model)) => Ok(Some(model)),
            _ => Err(format!("{} is not a component of {}", cut(name, 64), model.id())),
        }
    }

    fn patch(&self) -> Map<String, Value> {
        let mut patch = Map::new();
        for (name, property) in &self.touched {
            let before = self.twin.desired().get(name);
            let now = self.desired.get(name);
            let entry = match (property, now) {
                (_, None) => Value::Null,
                (None, Some(now)) => leading_to(before, now),
                // Sorted, so the component as a whole has come first and holds this already.
                (Some(_), Some(_)) if self.touched.contains(&(name.clone(), None)) => continue,
                (Some(property), Some(now)) => {
                    let entry = patch.entry(name.clone()).or_insert_with(|| json!({ MARKER.0: MARKER.1 }));
                    let was = before.and_then(|before| before.get(property));
                    let change = now.get(property).map_or(Value::Null, |now| leading_to(was, now));
                    if let Some(members) = entry.as_object_mut() {
                        members.insert(property.clone(), change);
                    }
                    continue;
                }
            };
            patch.insert(name.clone(), entry);
        }
        patch
    }
}

/// The merge patch that makes `now` of `before`, with all of `now` in it.
fn leading_to(before: Option<&Value>, now: &Value) -> Value {
    let (Some(Value::Object(before)), Value::Object(now)) = (before, now) else { return now.clone() };
    let gone = before.keys().filter(|name| !now.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    gone.chain(now.iter().map(|(name, value)| (name.clone(), leading_to(before.get(name), value)))).collect()
}

/// Whether a property may be asked for, with this value.
fn check_property(model: Option<&Model>, name: &str, value: &Value) -> Result<(), String> {
    if value.is_null() {
        return Err("a property is removed with remove, not with null".to_owned());
    }
    let Some(model) = model else { return Ok(()) };
    match model.content(name) {
        Some(Content::Property { schema, is_writable: true }) => {
            schema.check(value).map_err(|problems: Problems| format!("the value does not fit: {problems}"))
        }
        Some(Content::Property { .. }) => Err("the property is not writable".to_owned()),
        _ => Err(format!("{} is not a property of {}", Path::root(name).text(), model.id())),
    }
}

/// The one or two names of a pointer.
fn pointer(path: &str) -> Result<(String, Option<String>), String> {
    let mut names = path.strip_prefix('/').ok_or("a path begins with /")?.split('/');
    let name = |text: &str| {
        let is_escaped = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if !is_escaped || text.is_empty() || text.starts_with('$') || text == MARKER.0 {
            return Err(format!("{:?} is not a name of a property or component", cut(text, 64)));
        }
        Ok(text.replace("~1", "/").replace("~0", "~"))
    };
    let first = name(names.next().unwrap_or_default())?;
    let second = names.next().map(name).transpose()?;
    if names.next().is_some() {
        return Err(
            "a property is written as a whole: a path is /property, /component or /component/property".to_owned()
        );
    }
    Ok((first, second))
}
