//! Schemas in a document: names of primitive ones, complex ones in place, and ids of those that the interface declares.
//! - Source: DTDL, Schemas.
//! - Limits: levels as the version of the language says; schemas that are used by id count at each use.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Reader, Scope, types};
use crate::digital_twin::schema::{EnumValues, Field, Primitive, Schema};
use crate::path::{Path, cut};

/// Shapes on earth, which every interface may use.
const GEOSPATIAL: [&str; 6] = ["lineString", "multiLineString", "multiPoint", "multiPolygon", "point", "polygon"];

/// Members of every complex schema and of every field, besides their own.
const COMMON: [&str; 5] = ["@id", "@type", "comment", "description", "displayName"];

impl Reader<'_> {
    /// Notes the schemas that an interface declares for use by id.
    pub(super) fn named_schemas<'v>(&mut self, path: Path<'_>, schemas: Option<&'v Value>, scope: &mut Scope<'v>) {
        let schemas = match schemas {
            None => return,
            Some(Value::Array(schemas)) => schemas.as_slice(),
            Some(schema) => std::slice::from_ref(schema),
        };
        for (index, schema) in schemas.iter().enumerate() {
            let path = path.element(index);
            match schema.get("@id").and_then(Value::as_str) {
                None => self.problems.add(path, "a schema of an interface is an object with an id"),
                Some(id) => {
                    self.dtmi(path.member("@id"), id, scope);
                    if scope.schemas.insert(id, schema).is_some() {
                        self.problems.add(path.member("@id"), "the id is there twice");
                    }
                }
            }
        }
        for (index, schema) in schemas.iter().enumerate() {
            self.schema(path.element(index), Some(schema), scope, 0);
        }
    }

    /// Reads a schema; `depth`: how many complex ones it is in.
    pub(super) fn schema(
        &mut self,
        path: Path<'_>,
        schema: Option<&Value>,
        scope: &Scope<'_>,
        depth: usize,
    ) -> Option<Schema> {
        self.schemas_left = self.schemas_left.checked_sub(1)?;
        if self.schemas_left == 0 {
            // Told once; every further one is only left out.
            self.problems.add(path, "the document has more schemas than can be kept");
        }
        match schema {
            Some(Value::String(name)) => self.schema_by_name(path, name, scope, depth),
            Some(Value::Object(members)) => {
                let max = scope.version.limits().schema_depth_max;
                if depth == max {
                    self.problems.add(path, format!("schemas are inside each other more than {max} levels deep"));
                    return None;
                }
                self.texts(path, members, scope);
                self.complex_schema(path, members, scope, depth + 1)
            }
            _ => {
                self.problems.add(path, "is not a schema");
                None
            }
        }
    }

    fn schema_by_name(&mut self, path: Path<'_>, name: &str, scope: &Scope<'_>, depth: usize) -> Option<Schema> {
        if let Some(primitive) = Primitive::named(name) {
            return Some(Schema::Primitive(primitive));
        }
        if GEOSPATIAL.contains(&name) {
            return Some(Schema::Geospatial);
        }
        let declared = scope.schemas.get(name).copied();
        if declared.is_none() {
            self.problems.add(path, format!("there is no schema {}", cut(name, 200)));
        }
        self.schema(path, Some(declared?), scope, depth)
    }

    fn complex_schema(
        &mut self,
        path: Path<'_>,
        members: &Map<String, Value>,
        scope: &Scope<'_>,
        depth: usize,
    ) -> Option<Schema> {
        const KINDS: [(&str, &[&str]); 4] = [
            ("Array", &["elementSchema"]),
            ("Enum", &["enumValues", "valueSchema"]),
            ("Map", &["mapKey", "mapValue"]),
            ("Object", &["fields"]),
        ];
        let Some((kind, own)) = KINDS.iter().find(|(kind, _)| types(members).any(|name| name == *kind)) else {
            self.problems.add(path.member("@type"), "is none of Array, Enum, Map and Object");
            return None;
        };
        let known: Vec<&str> = COMMON.iter().chain(*own).copied().collect();
        self.known_members(path, members, &known, scope);
        match *kind {
            "Array" => {
                let element = self.schema(path.member("elementSchema"), members.get("elementSchema"), scope, depth)?;
                Some(Schema::Array(Box::new(element)))
            }
            "Enum" => self.enum_values(path, members, scope).map(Schema::Enum),
            "Map" => self.map(path, members, scope, depth),
            _ => self.fields(path.member("fields"), members.get("fields"), scope, depth).map(Schema::Object),
        }
    }

    fn map(&mut self, path: Path<'_>, members: &Map<String, Value>, scope: &Scope<'_>, depth: usize) -> Option<Schema> {
        let mut part = |name| self.field(path.member(name), members.get(name).unwrap_or(&Value::Null), scope, depth);
        let (key, value) = (part("mapKey"), part("mapValue"));
        if key.is_some_and(|key| key.schema != Schema::Primitive(Primitive::String)) {
            self.problems.add(path.member("mapKey"), "the keys of a map are texts");
        }
        Some(Schema::Map(Box::new(value?.schema)))
    }

    fn fields(
        &mut self,
        path: Path<'_>,
        fields: Option<&Value>,
        scope: &Scope<'_>,
        depth: usize,
    ) -> Option<Vec<Field>> {
        let max = scope.version.limits().fields_max;
        let Some(fields) = fields.and_then(Value::as_array).filter(|fields| fields.len() <= max) else {
            self.problems.add(path, format!("is not an array of at most {max} fields"));
            return None;
        };
        let mut names = BTreeSet::new();
        let mut read = Vec::with_capacity(fields.len());
        for (index, field) in fields.iter().enumerate() {
            let path = path.element(index);
            let Some(field) = self.field(path, field, scope, depth) else { continue };
            if !names.insert(field.name.clone()) {
                self.problems.add(path.member("name"), format!("the name {} is there twice", field.name));
            }
            read.push(field);
        }
        Some(read)
    }

    /// A name with a schema: a field, a part of a map, a request or response.
    pub(super) fn field(&mut self, path: Path<'_>, value: &Value, scope: &Scope<'_>, depth: usize) -> Option<Field> {
        let Some(members) = value.as_object() else {
            self.problems.add(path, "is not an object with a name and a schema");
            return None;
        };
        let known: Vec<&str> = COMMON.iter().copied().chain(["name", "schema"]).collect();
        self.known_members(path, members, &known, scope);
        self.texts(path, members, scope);
        let name = self.name(path, members, scope);
        let schema = self.schema(path.member("schema"), members.get("schema"), scope, depth);
        Some(Field { name: name?.to_owned(), schema: schema? })
    }

    fn enum_values(&mut self, path: Path<'_>, members: &Map<String, Value>, scope: &Scope<'_>) -> Option<EnumValues> {
        let max = scope.version.limits().enum_values_max;
        let values = members.get("enumValues").and_then(Value::as_array).filter(|values| values.len() <= max);
        let Some(values) = values else {
            self.problems.add(path.member("enumValues"), format!("is not an array of at most {max} values"));
            return None;
        };
        let values_path = path.member("enumValues");
        let mut names = BTreeSet::new();
        for (index, value) in values.iter().enumerate() {
            let path = values_path.element(index);
            let name = value.as_object().and_then(|members| self.name(path, members, scope));
            if !name.is_none_or(|name| names.insert(name)) {
                self.problems.add(path.member("name"), "the name is there twice");
            }
        }
        let given = || values.iter().map(|value| value.get("enumValue"));
        let (read, is_unique) = match members.get("valueSchema").and_then(Value::as_str) {
            Some("integer") => {
                let values: Option<Vec<i64>> = given().map(|value| value?.as_i64()).collect();
                let is_unique = values.as_ref().is_none_or(|values| is_set(values));
                (values.map(EnumValues::Integers), is_unique)
            }
            Some("string") => {
                let values: Option<Vec<String>> = given().map(|value| value?.as_str().map(ToOwned::to_owned)).collect();
                let is_unique = values.as_ref().is_none_or(|values| is_set(values));
                (values.map(EnumValues::Strings), is_unique)
            }
            _ => {
                self.problems.add(path.member("valueSchema"), "is neither integer nor string");
                return None;
            }
        };
        if read.is_none() {
            self.problems.add(values_path, "each value has an enumValue of the valueSchema");
        }
        if !is_unique {
            self.problems.add(values_path, "a value is there twice");
        }
        read
    }
}

fn is_set<T: Ord>(values: &[T]) -> bool {
    values.iter().collect::<BTreeSet<_>>().len() == values.len()
}
