//! DTDL documents: JSON -> [`Model`], with all that is wrong told at once.
//! - Source: DTDL versions 2 and 3.
//! - Shape: `interface` here; contents in `content`, schemas in `schemas`; each notes problems in the one [`Reader`] and goes on.
//! - Invariants: a document without problems gives a model, and one with problems none.
//! - Limits: bytes, levels and values of the document (`json`), [`MODELS_MAX`] interfaces, [`SCHEMAS_MAX`] schemas, those
//!   counted again that are used again, so that what is small as text cannot be large in memory.
//! - Not here: other languages on top (`@context` of extensions): their members are passed over.

mod content;
mod schemas;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::dtmi::Dtmi;
use super::error::Problems;
use super::model::{DtdlVersion, Member, Model, Models};
use crate::json::{self, Bounds};
use crate::limits::{DTMI_BYTES_MAX, EXTENDS_DEPTH_MAX, MODEL_CONTENTS_MAX};
use crate::path::{Path, cut};

/// Interfaces in one document.
pub const MODELS_MAX: usize = 256;

/// Schemas in one document.
const SCHEMAS_MAX: usize = 20_000;

/// Names of the language's own contexts.
const CONTEXTS: [(&str, DtdlVersion); 2] =
    [("dtmi:dtdl:context;2", DtdlVersion::V2), ("dtmi:dtdl:context;3", DtdlVersion::V3)];

/// What a version of the language allows. Where version 3 sets no limit, or one that no machine should be asked to bear, ours.
struct Limits {
    id_bytes_max: usize,
    name_bytes_max: usize,
    text_characters_max: usize,
    contents_max: usize,
    extends_max: usize,
    fields_max: usize,
    enum_values_max: usize,
    schema_depth_max: usize,
}

impl DtdlVersion {
    const fn limits(self) -> Limits {
        match self {
            Self::V2 => Limits {
                id_bytes_max: 128,
                name_bytes_max: 64,
                text_characters_max: 512,
                contents_max: 300,
                extends_max: 2,
                fields_max: 30,
                enum_values_max: 100,
                schema_depth_max: 5,
            },
            Self::V3 => Limits {
                id_bytes_max: DTMI_BYTES_MAX,
                name_bytes_max: 512,
                text_characters_max: 512,
                contents_max: MODEL_CONTENTS_MAX,
                extends_max: 32,
                fields_max: 1_000,
                enum_values_max: 1_000,
                schema_depth_max: 8,
            },
        }
    }
}

/// Reads one document.
struct Reader<'a> {
    problems: Problems,
    models: &'a dyn Models,
    /// Interfaces of the same document that were read already.
    siblings: BTreeMap<String, Arc<Model>>,
    schemas_left: usize,
}

/// What holds inside one interface.
struct Scope<'a> {
    version: DtdlVersion,
    /// Members that the language does not know may belong to another context.
    is_open: bool,
    /// Schemas with an id, to be used by it.
    schemas: BTreeMap<&'a str, &'a Value>,
}

pub(super) fn one(document: &[u8], models: &dyn Models) -> Result<Model, Problems> {
    let mut reader = Reader::new(models);
    let Some(value) = reader.json(document) else { return Err(reader.problems) };
    let model = reader.interface(Path::root(""), &value, None);
    model.filter(|_| reader.problems.is_empty()).ok_or(reader.problems)
}

pub(super) fn all(document: &[u8], models: &dyn Models) -> Result<Vec<(Arc<Model>, Value)>, Problems> {
    let mut reader = Reader::new(models);
    let Some(value) = reader.json(document) else { return Err(reader.problems) };
    let root = Path::root("");
    let interfaces: Vec<(Path<'_>, Value)> = match value {
        Value::Array(interfaces) => {
            interfaces.into_iter().enumerate().map(|(index, interface)| (root.element(index), interface)).collect()
        }
        interface => vec![(root, interface)],
    };
    if interfaces.is_empty() || interfaces.len() > MODELS_MAX {
        reader.problems.add(root, format!("holds {} interfaces, not 1 to {MODELS_MAX}", interfaces.len()));
        return Err(reader.problems);
    }
    let mut models = Vec::with_capacity(interfaces.len());
    for (path, value) in reader.in_order_of_need(interfaces) {
        if let Some(model) = reader.interface(path, &value, None).map(Arc::new) {
            reader.siblings.insert(model.id.to_string(), Arc::clone(&model));
            models.push((model, value));
        }
    }
    if reader.problems.is_empty() { Ok(models) } else { Err(reader.problems) }
}

fn id_of(interface: &Value) -> Option<&str> {
    interface.get("@id").and_then(Value::as_str)
}

/// Ids of other interfaces that an interface names, in `extends` and as `schema`, also those of interfaces inside it.
fn needs<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| needs(element, found)),
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(id) if name == "extends" || name == "schema" => found.push(id),
                    Value::Array(ids) if name == "extends" => found.extend(ids.iter().filter_map(Value::as_str)),
                    _ => {}
                }
                needs(member, found);
            }
        }
        _ => {}
    }
}

impl<'a> Reader<'a> {
    fn new(models: &'a dyn Models) -> Self {
        Self { problems: Problems::default(), models, siblings: BTreeMap::new(), schemas_left: SCHEMAS_MAX }
    }

    fn json(&mut self, document: &[u8]) -> Option<Value> {
        json::parse(document, Bounds::MODEL).map_err(|error| self.problems.add(Path::root(""), error.to_string())).ok()
    }

    /// Those first that others need. Ids that are there twice, and circles, are problems.
    fn in_order_of_need<'p>(&mut self, interfaces: Vec<(Path<'p>, Value)>) -> Vec<(Path<'p>, Value)> {
        let mut waiting = BTreeMap::new();
        for (path, interface) in &interfaces {
            if let Some(id) = id_of(interface)
                && waiting.insert(id.to_owned(), ()).is_some()
            {
                self.problems.add(*path, format!("the id {} is there twice", cut(id, 200)));
            }
        }
        let (mut ordered, mut rest) = (Vec::with_capacity(interfaces.len()), interfaces);
        while !rest.is_empty() {
            let (ready, blocked): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(_, interface)| {
                let mut found = Vec::new();
                needs(interface, &mut found);
                !found.iter().any(|id| waiting.contains_key(*id) && Some(*id) != id_of(interface))
            });
            if ready.is_empty() {
                blocked.iter().for_each(|(path, _)| self.problems.add(*path, "needs itself, through others"));
                break;
            }
            for id in ready.iter().filter_map(|(_, interface)| id_of(interface)) {
                waiting.remove(id);
            }
            ordered.extend(ready);
            rest = blocked;
        }
        ordered
    }

    fn interface(&mut self, path: Path<'_>, value: &Value, outer: Option<&Scope<'_>>) -> Option<Model> {
        const MEMBERS: [&str; 9] =
            ["@context", "@id", "@type", "comment", "contents", "description", "displayName", "extends", "schemas"];
        let Some(members) = value.as_object() else {
            self.problems.add(path, "an interface is an object");
            return None;
        };
        let mut scope = self.scope(path, members, outer)?;
        if !types(members).any(|name| name == "Interface") {
            self.problems.add(path.member("@type"), "is not \"Interface\"");
        }
        self.known_members(path, members, &MEMBERS, &scope);
        self.texts(path, members, &scope);
        let id = self.interface_id(path.member("@id"), members.get("@id"), &scope);
        self.named_schemas(path.member("schemas"), members.get("schemas"), &mut scope);
        let contents = self.contents(path.member("contents"), members.get("contents"), id.as_ref(), &scope);
        let display_name = members.get("displayName").and_then(text_for_people);
        let mut model = Model { id: id?, version: scope.version, display_name, extends: vec![], depth: 0, contents };
        self.extend(path.member("extends"), members.get("extends"), &scope, &mut model);
        Some(model)
    }

    /// The version of the language, from `@context` or, for an interface inside another, from that.
    fn scope<'v>(
        &mut self,
        path: Path<'_>,
        members: &'v Map<String, Value>,
        outer: Option<&Scope<'_>>,
    ) -> Option<Scope<'v>> {
        let contexts: Vec<&str> = match members.get("@context") {
            Some(Value::String(context)) => vec![context],
            Some(Value::Array(contexts)) => contexts.iter().filter_map(Value::as_str).collect(),
            _ => vec![],
        };
        let own = CONTEXTS.iter().find(|(name, _)| contexts.contains(name)).map(|(_, version)| *version);
        let Some(version) = own.or_else(|| outer.map(|outer| outer.version)) else {
            self.problems.add(path.member("@context"), format!("is neither {} nor {}", CONTEXTS[0].0, CONTEXTS[1].0));
            return None;
        };
        let is_open = contexts.len() > 1 || outer.is_some_and(|outer| outer.is_open);
        Some(Scope { version, is_open, schemas: BTreeMap::new() })
    }

    fn interface_id(&mut self, path: Path<'_>, id: Option<&Value>, scope: &Scope<'_>) -> Option<Dtmi> {
        let Some(text) = id.and_then(Value::as_str) else {
            self.problems.add(path, "an interface has an id");
            return None;
        };
        let id = self.dtmi(path, text, scope)?;
        let max = scope.version.limits().id_bytes_max;
        if text.len() > max {
            self.problems.add(path, format!("has more than {max} bytes"));
        }
        Some(id)
    }

    fn dtmi(&mut self, path: Path<'_>, text: &str, scope: &Scope<'_>) -> Option<Dtmi> {
        let id = Dtmi::parse(text).map_err(|error| self.problems.add(path, error.to_string())).ok()?;
        if scope.version == DtdlVersion::V2 && id.has_minor_version() {
            self.problems.add(path, "versions with two parts are of DTDL version 3");
        }
        Some(id)
    }

    /// The interface that a value names, or is.
    fn referred(&mut self, path: Path<'_>, value: &Value, scope: &Scope<'_>) -> Option<Arc<Model>> {
        let Value::String(text) = value else {
            return self.interface(path, value, Some(scope)).map(Arc::new);
        };
        let id = self.dtmi(path, text, scope)?;
        let known = self.siblings.get(id.as_str()).cloned().or_else(|| self.models.model(id.as_str()));
        if known.is_none() {
            self.problems.add(path, format!("the interface {} is not known", cut(id.as_str(), 200)));
        }
        known
    }

    fn extend(&mut self, path: Path<'_>, extends: Option<&Value>, scope: &Scope<'_>, model: &mut Model) {
        let parents = match extends {
            None => return,
            Some(Value::Array(parents)) => parents.as_slice(),
            Some(parent) => std::slice::from_ref(parent),
        };
        let max = scope.version.limits().extends_max;
        if parents.len() > max {
            return self.problems.add(path, format!("an interface extends at most {max} others"));
        }
        for (index, parent) in parents.iter().enumerate() {
            let path = path.element(index);
            let Some(parent) = self.referred(path, parent, scope) else { continue };
            if parent.id == model.id {
                self.problems.add(path, "an interface does not extend itself");
                continue;
            }
            model.extends.push(parent.id.clone());
            model.depth = model.depth.max(parent.depth.saturating_add(1));
            self.inherit(path, model, &parent);
        }
        if model.depth > EXTENDS_DEPTH_MAX {
            self.problems.add(path, format!("more than {EXTENDS_DEPTH_MAX} interfaces extend each other in a row"));
        }
    }

    fn inherit(&mut self, path: Path<'_>, model: &mut Model, parent: &Model) {
        for (name, member) in &parent.contents {
            match model.contents.get(name) {
                Some(own) if own.origin != member.origin => {
                    self.problems.add(path, format!("inherits {name}, which the interface has already"));
                }
                _ => drop(model.contents.insert(name.clone(), Arc::<Member>::clone(member))),
            }
        }
        if model.contents.len() > MODEL_CONTENTS_MAX {
            self.problems.add(path, format!("the interface would have more than {MODEL_CONTENTS_MAX} contents"));
        }
    }

    /// Members that the language does not know are mistakes, unless another context may explain them.
    fn known_members(&mut self, path: Path<'_>, members: &Map<String, Value>, known: &[&str], scope: &Scope<'_>) {
        if scope.is_open {
            return;
        }
        for name in members.keys().filter(|name| !known.contains(&name.as_str())) {
            self.problems.add(path.member(name), "is not known here");
        }
    }

    /// What is for people: a text, or one for each language.
    fn texts(&mut self, path: Path<'_>, members: &Map<String, Value>, scope: &Scope<'_>) {
        let max = scope.version.limits().text_characters_max;
        let is_good = |text: &Value| text.as_str().is_some_and(|text| text.chars().count() <= max);
        for name in ["comment", "description", "displayName"] {
            let is_bad = match members.get(name) {
                None => false,
                Some(Value::Object(languages)) if name != "comment" => !languages.values().all(is_good),
                Some(text) => !is_good(text),
            };
            if is_bad {
                self.problems.add(path.member(name), format!("is not a text of at most {max} characters"));
            }
        }
    }

    /// The name of an element, when it has a good one.
    fn name<'v>(&mut self, path: Path<'_>, members: &'v Map<String, Value>, scope: &Scope<'_>) -> Option<&'v str> {
        let max = scope.version.limits().name_bytes_max;
        let name = members.get("name").and_then(Value::as_str);
        let good = name.filter(|name| super::is_name(name) && name.len() <= max);
        if good.is_none() {
            let text =
                format!("is not a name: a letter, then up to {} letters, digits and _, which is not last", max - 1);
            self.problems.add(path.member("name"), text);
        }
        good
    }
}

/// The names in `@type`: one, or several of which some tell the kind of a quantity.
fn types(members: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let types = match members.get("@type") {
        Some(Value::Array(types)) => types.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    types.iter().filter_map(Value::as_str)
}

/// A text, in English if there are several.
fn text_for_people(value: &Value) -> Option<String> {
    let text = value.as_str().or_else(|| value.get("en").or_else(|| value.as_object()?.values().next())?.as_str());
    text.map(ToOwned::to_owned)
}
