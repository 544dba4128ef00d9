//! A twin as a digital twin document: what the device reports, flat, with what was asked for beside it in `$metadata`.
//! - Source: Azure IoT Hub `GET /digitaltwins/{id}`; property acknowledgements of the IoT Plug and Play conventions.
//! - Shape: `{"$dtId", property: value.., component: {property: value.., "$metadata"}.., "$metadata": {"$model", property: {..}}}`
//! - Invariants: the value of a property is what was reported; one that is only desired stands in the metadata alone.

use serde_json::{Map, Value, json};

use super::model::{Content, Model};
use super::{MARKER, is_component};
use crate::section::Metadata;
use crate::time::time_text;
use crate::twin::Twin;

/// Desired and reported members of the device or of a component, with their metadata.
#[derive(Clone, Copy)]
struct Sides<'a> {
    desired: Option<Side<'a>>,
    reported: Option<Side<'a>>,
}

#[derive(Clone, Copy)]
struct Side<'a> {
    members: &'a Map<String, Value>,
    metadata: &'a Metadata,
}

/// The digital twin document of a device; without its model, markers decide what is a component.
#[must_use]
pub fn document(twin: &Twin, digital_twin_id: &str, model: Option<&Model>) -> Value {
    let sides = Sides {
        desired: Some(Side { members: twin.desired(), metadata: twin.desired.metadata() }),
        reported: Some(Side { members: twin.reported(), metadata: twin.reported.metadata() }),
    };
    let mut document = Map::from_iter([("$dtId".to_owned(), digital_twin_id.into())]);
    let mut metadata = Map::new();
    if let Some(id) = twin.model_id() {
        metadata.insert("$model".to_owned(), id.into());
    }
    sides.put_properties(&mut document, &mut metadata, |name| !sides.has_component(name, model));
    for name in sides.names() {
        if sides.has_component(name, model) {
            document.insert(name.to_owned(), sides.inside(name).component());
        }
    }
    for (name, _) in model.into_iter().flat_map(Model::components) {
        document.entry(name).or_insert_with(|| json!({ "$metadata": {} }));
    }
    document.insert("$metadata".to_owned(), Value::Object(metadata));
    Value::Object(document)
}

impl<'a> Sides<'a> {
    /// Names of the members of both, each once: first what is reported.
    fn names(self) -> impl Iterator<Item = &'a str> {
        let names = |side: Option<Side<'a>>| side.into_iter().flat_map(|side| side.members.keys().map(String::as_str));
        let is_reported = move |name: &str| self.reported.is_some_and(|side| side.members.contains_key(name));
        names(self.reported).chain(names(self.desired).filter(move |name| !is_reported(name)))
    }

    fn has_component(self, name: &str, model: Option<&Model>) -> bool {
        match model.and_then(|model| model.content(name)) {
            Some(content) => matches!(content, Content::Component(_)),
            None => [self.desired, self.reported]
                .iter()
                .flatten()
                .any(|side| side.members.get(name).is_some_and(is_component)),
        }
    }

    /// What is inside a member that is an object.
    fn inside(self, name: &str) -> Self {
        let enter = |side: Option<Side<'a>>| {
            let side = side?;
            let members = side.members.get(name)?.as_object()?;
            Some(Side { members, metadata: side.metadata.member(name)? })
        };
        Self { desired: enter(self.desired), reported: enter(self.reported) }
    }

    fn component(self) -> Value {
        let (mut component, mut metadata) = (Map::new(), Map::new());
        self.put_properties(&mut component, &mut metadata, |name| name != MARKER.0);
        component.insert("$metadata".to_owned(), Value::Object(metadata));
        Value::Object(component)
    }

    fn put_properties(
        self,
        values: &mut Map<String, Value>,
        metadata: &mut Map<String, Value>,
        is_property: impl Fn(&str) -> bool,
    ) {
        for name in self.names().filter(|name| is_property(name)) {
            let reported = self.reported.and_then(|side| Some((side.members.get(name)?, side.metadata.member(name))));
            if let Some((value, _)) = reported {
                values.insert(name.to_owned(), acknowledged(value).map_or(value, |ack| ack.value).clone());
            }
            metadata.insert(name.to_owned(), self.facts(name, reported));
        }
    }

    /// Metadata of a property.
    fn facts(self, name: &str, reported: Option<(&Value, Option<&Metadata>)>) -> Value {
        let mut facts = Map::new();
        let mut put = |name: &str, value: Value| drop(facts.insert(name.to_owned(), value));
        let mut updated = reported.and_then(|(_, metadata)| metadata);
        if let Some(side) = self.desired
            && let Some(value) = side.members.get(name)
        {
            let metadata = side.metadata.member(name);
            put("desiredValue", value.clone());
            if let Some(version) = metadata.and_then(Metadata::version) {
                put("desiredVersion", version.into());
            }
            updated = updated.or(metadata);
        }
        if let Some(ack) = reported.and_then(|(value, _)| acknowledged(value)) {
            put("ackVersion", ack.version.clone());
            put("ackCode", ack.code.clone());
            if let Some(description) = ack.description {
                put("ackDescription", description.clone());
            }
        }
        if let Some(metadata) = updated {
            put("lastUpdateTime", time_text(metadata.updated()).into());
        }
        Value::Object(facts)
    }
}

/// A property as a device reports it that answers to a desired value.
struct Acknowledged<'a> {
    value: &'a Value,
    code: &'a Value,
    version: &'a Value,
    description: Option<&'a Value>,
}

/// `{"value":.., "ac":code, "av":version, "ad":description}`
fn acknowledged(value: &Value) -> Option<Acknowledged<'_>> {
    let members = value.as_object()?;
    let number = |name| members.get(name).filter(|value: &&Value| value.is_i64() || value.is_u64());
    Some(Acknowledged {
        value: members.get("value")?,
        code: number("ac")?,
        version: number("av")?,
        description: members.get("ad").filter(|value| value.is_string()),
    })
}
