//! Contents of an interface: telemetry, properties, commands, components, relationships.
//! - Source: DTDL, Telemetry, Property, Command, Component, Relationship.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Reader, Scope, types};
use crate::digital_twin::dtmi::Dtmi;
use crate::digital_twin::model::{Command, Content, DtdlVersion, Member, Model};
use crate::digital_twin::schema::{Field, Schema};
use crate::path::Path;

type Contents = BTreeMap<Box<str>, Arc<Member>>;

/// Kinds of contents with the members that each may have, besides those of all.
const KINDS: [(&str, &[&str]); 5] = [
    ("Telemetry", &["schema", "unit"]),
    ("Property", &["schema", "unit", "writable"]),
    ("Command", &["commandType", "request", "response"]),
    ("Component", &["schema"]),
    ("Relationship", &["maxMultiplicity", "minMultiplicity", "properties", "target", "writable"]),
];

/// Members of all elements with a name.
const ELEMENT: [&str; 6] = ["@id", "@type", "comment", "description", "displayName", "name"];

impl Reader<'_> {
    pub(super) fn contents(
        &mut self,
        path: Path<'_>,
        contents: Option<&Value>,
        origin: Option<&Dtmi>,
        scope: &Scope<'_>,
    ) -> Contents {
        let contents = match contents {
            None => return Contents::new(),
            Some(Value::Array(contents)) => contents.as_slice(),
            Some(content) => std::slice::from_ref(content),
        };
        let max = scope.version.limits().contents_max;
        if contents.len() > max {
            self.problems.add(path, format!("an interface has at most {max} contents"));
            return Contents::new();
        }
        let mut read = Contents::new();
        for (index, content) in contents.iter().enumerate() {
            let path = path.element(index);
            let Some((name, content)) = self.content(path, content, scope) else { continue };
            // Without an id there is a problem already, and no model in the end.
            let Some(origin) = origin else { continue };
            let member = Member { origin: origin.clone(), content };
            if read.insert(name.into(), Arc::new(member)).is_some() {
                self.problems.add(path.member("name"), format!("the name {name} is there twice"));
            }
        }
        read
    }

    fn content<'v>(&mut self, path: Path<'_>, value: &'v Value, scope: &Scope<'_>) -> Option<(&'v str, Content)> {
        let Some(members) = value.as_object() else {
            self.problems.add(path, "a content is an object");
            return None;
        };
        let Some((kind, own)) = KINDS.iter().find(|(kind, _)| types(members).any(|name| name == *kind)) else {
            let text = "is none of Telemetry, Property, Command, Component and Relationship";
            self.problems.add(path.member("@type"), text);
            return None;
        };
        let known: Vec<&str> = ELEMENT.iter().chain(*own).copied().collect();
        self.known_members(path, members, &known, scope);
        self.texts(path, members, scope);
        if let Some(id) = members.get("@id") {
            self.element_id(path.member("@id"), id, scope);
        }
        let name = self.name(path, members, scope);
        let content = match *kind {
            "Telemetry" => self.schema_of(path, members, scope).map(Content::Telemetry),
            "Property" => self.property(path, members, scope),
            "Command" => Some(self.command(path, members, scope)),
            "Component" => self.component(path.member("schema"), members.get("schema"), scope),
            _ => Some(Content::Relationship),
        };
        Some((name?, content?))
    }

    fn element_id(&mut self, path: Path<'_>, id: &Value, scope: &Scope<'_>) {
        match id.as_str() {
            Some(text) => drop(self.dtmi(path, text, scope)),
            None => self.problems.add(path, "is not a text"),
        }
    }

    fn schema_of(&mut self, path: Path<'_>, members: &Map<String, Value>, scope: &Scope<'_>) -> Option<Schema> {
        self.schema(path.member("schema"), members.get("schema"), scope, 0)
    }

    fn property(&mut self, path: Path<'_>, members: &Map<String, Value>, scope: &Scope<'_>) -> Option<Content> {
        let is_writable = self.flag(path.member("writable"), members.get("writable"));
        let schema = self.schema_of(path, members, scope)?;
        if scope.version == DtdlVersion::V2 && schema.has_array() {
            self.problems.add(path.member("schema"), "a property has arrays only from DTDL version 3 on");
        }
        Some(Content::Property { schema, is_writable })
    }

    fn flag(&mut self, path: Path<'_>, value: Option<&Value>) -> bool {
        let flag = value.map_or(Some(false), Value::as_bool);
        if flag.is_none() {
            self.problems.add(path, "is neither true nor false");
        }
        flag == Some(true)
    }

    fn command(&mut self, path: Path<'_>, members: &Map<String, Value>, scope: &Scope<'_>) -> Content {
        if let Some(kind) = members.get("commandType")
            && !matches!(kind.as_str(), Some("synchronous" | "asynchronous"))
        {
            self.problems.add(path.member("commandType"), "is neither synchronous nor asynchronous");
        }
        let mut payload = |name| members.get(name).and_then(|value| self.payload(path.member(name), value, scope));
        Content::Command(Command { request: payload("request"), response: payload("response") })
    }

    fn payload(&mut self, path: Path<'_>, value: &Value, scope: &Scope<'_>) -> Option<Field> {
        self.field(path, value, scope, 0)
    }

    fn component(&mut self, path: Path<'_>, schema: Option<&Value>, scope: &Scope<'_>) -> Option<Content> {
        let Some(schema) = schema else {
            self.problems.add(path, "a component has an interface as its schema");
            return None;
        };
        let model: Arc<Model> = self.referred(path, schema, scope)?;
        if model.components().next().is_some() {
            self.problems.add(path, "a component has no components of its own");
        }
        Some(Content::Component(model))
    }
}
