//! DTDL documents: what is read, and every rule with the problem that its breach gives.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::digital_twin::{Content, DtdlVersion, EnumValues, Model, Models, NoModels, Primitive, Schema};

/// Models in a list.
pub(super) struct Known(pub(super) Vec<Arc<Model>>);

impl Models for Known {
    fn model(&self, id: &str) -> Option<Arc<Model>> {
        self.0.iter().find(|model| model.id().as_str() == id).cloned()
    }
}

/// An interface with these contents.
pub(super) fn interface(version: u8, name: &str, contents: Value) -> Value {
    json!({
        "@context": format!("dtmi:dtdl:context;{version}"),
        "@id": format!("dtmi:com:example:{name};1"),
        "@type": "Interface",
        "contents": contents,
    })
}

pub(super) fn parse(document: &Value) -> Result<Model, Vec<String>> {
    parse_with(document, &NoModels)
}

fn parse_with(document: &Value, models: &dyn Models) -> Result<Model, Vec<String>> {
    Model::parse(document.to_string().as_bytes(), models)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// The problems of one content in an interface of its own.
fn problems_of(version: u8, content: Value) -> Vec<String> {
    parse(&interface(version, "T", json!([content]))).err().unwrap_or_default()
}

#[test]
fn everything_that_an_interface_holds_is_read() {
    let mut document = interface(
        3,
        "Everything",
        json!([
            {"@type": ["Telemetry", "Temperature"], "name": "temperature", "schema": "double", "unit": "degreeCelsius"},
            {"@type": "Property", "name": "target", "schema": "double", "writable": true, "displayName": {"en": "Target"}},
            {"@type": "Property", "name": "place", "schema": "point"},
            {"@type": "Property", "name": "mode", "schema": "dtmi:com:example:Mode;1", "writable": true},
            {"@type": "Property", "name": "list", "schema": {"@type": "Array", "elementSchema": "integer"}},
            {"@type": "Command", "name": "reboot", "request": {"name": "delay", "schema": "duration"},
             "response": {"name": "at", "schema": "dateTime"}},
            {"@type": "Component", "name": "inner", "schema": interface(3, "Inner", json!([]))},
            {"@type": "Relationship", "name": "floor", "target": "dtmi:com:example:Floor;1", "maxMultiplicity": 1},
        ]),
    );
    document["displayName"] = json!("Everything");
    document["schemas"] = json!({"@id": "dtmi:com:example:Mode;1", "@type": "Enum", "valueSchema": "integer",
        "enumValues": [{"name": "off", "enumValue": 0}, {"name": "on", "enumValue": 1}]});
    document["@context"] = json!(["dtmi:dtdl:context;3", "dtmi:dtdl:extension:quantitativeTypes;1"]);
    let model = parse(&document).unwrap();
    assert_eq!((model.id().as_str(), model.dtdl_version()), ("dtmi:com:example:Everything;1", DtdlVersion::V3));
    assert_eq!((model.display_name(), model.contents().count()), (Some("Everything"), 8));
    assert!(matches!(model.content("temperature"), Some(Content::Telemetry(Schema::Primitive(Primitive::Double)))));
    assert!(matches!(model.content("target"), Some(Content::Property { is_writable: true, .. })));
    assert!(matches!(model.content("place"), Some(Content::Property { schema: Schema::Geospatial, .. })));
    let modes = Schema::Enum(EnumValues::Integers(vec![0, 1]));
    assert!(matches!(model.content("mode"), Some(Content::Property { schema, .. }) if *schema == modes));
    let Some(Content::Command(reboot)) = model.content("reboot") else { panic!("no command") };
    assert_eq!(reboot.request.as_ref().map(|field| field.name.as_str()), Some("delay"));
    assert_eq!(model.components().map(|(name, _)| name).collect::<Vec<_>>(), ["inner"]);
    assert!(matches!(model.content("floor"), Some(Content::Relationship)));
}

#[test]
fn every_problem_is_told_at_once_with_its_path() {
    let document = json!({
        "@context": "dtmi:dtdl:context;2", "@id": "dtmi:com:example:T;1.2", "@type": "Thing", "wrong": 1,
        "contents": [
            5,
            {"@type": "Gadget", "name": "a"},
            {"@type": "Property", "name": "1a", "schema": "number", "writable": "yes"},
            {"@type": "Property", "name": "b", "schema": {"@type": "Object", "fields": [{"name": "x", "schema": "Double"}]}},
            {"@type": "Telemetry", "name": "c", "schema": "double", "comment": 5},
            {"@type": "Telemetry", "name": "c", "schema": "double"},
            {"@type": "Component", "name": "d", "schema": "dtmi:com:example:Unknown;1"},
            {"@type": "Command", "name": "e", "commandType": "slow", "request": 7},
        ],
    });
    let problems = parse(&document).unwrap_err();
    let begins = [
        "@type: is not \"Interface\"",
        "wrong: is not known here",
        "@id: versions with two parts",
        "contents[0]: a content is an object",
        "contents[1].@type: is none of",
        "contents[2].name: is not a name",
        "contents[2].writable: is neither",
        "contents[2].schema: there is no schema number",
        "contents[3].schema.fields[0].schema: there is no schema Double",
        "contents[4].comment: is not a text",
        "contents[5].name: the name c is there twice",
        "contents[6].schema: the interface dtmi:com:example:Unknown;1 is not known",
        "contents[7].commandType: is neither",
        "contents[7].request: is not an object with a name and a schema",
    ];
    assert_eq!(problems.len(), begins.len(), "{problems:#?}");
    for (problem, begin) in problems.iter().zip(begins) {
        assert!(problem.starts_with(begin), "{problem} is not {begin}");
    }
}

#[test]
fn complex_schemas_are_checked() {
    let telemetry = |schema: Value| json!({"@type": "Telemetry", "name": "t", "schema": schema});
    for (schema, begin) in [
        (json!(null), "contents[0].schema: is not a schema"),
        (json!({"@type": "Set"}), "contents[0].schema.@type: is none of Array"),
        (json!({"@type": "Array"}), "contents[0].schema.elementSchema: is not a schema"),
        (json!({"@type": "Object", "fields": {}}), "contents[0].schema.fields: is not an array"),
        (
            json!({"@type": "Object", "fields": [{"name": "a", "schema": "date"}, {"name": "a", "schema": "date"}]}),
            "contents[0].schema.fields[1].name: the name a is there twice",
        ),
        (
            json!({"@type": "Map", "mapKey": {"name": "k", "schema": "integer"}, "mapValue": {"name": "v", "schema": "integer"}}),
            "contents[0].schema.mapKey: the keys of a map are texts",
        ),
        (
            json!({"@type": "Enum", "valueSchema": "double", "enumValues": []}),
            "contents[0].schema.valueSchema: is neither",
        ),
        (
            json!({"@type": "Enum", "valueSchema": "integer", "enumValues": [{"name": "a", "enumValue": "1"}]}),
            "contents[0].schema.enumValues: each value",
        ),
        (
            json!({"@type": "Enum", "valueSchema": "string", "enumValues":
                [{"name": "a", "enumValue": "1"}, {"name": "b", "enumValue": "1"}]}),
            "contents[0].schema.enumValues: a value is there twice",
        ),
    ] {
        let problems = problems_of(2, telemetry(schema));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(begin), "{problems:?}");
    }
    let nested =
        |levels: usize| (0..levels).fold(json!("double"), |inner, _| json!({"@type": "Array", "elementSchema": inner}));
    assert!(problems_of(2, telemetry(nested(5))).is_empty());
    assert_eq!(problems_of(2, telemetry(nested(6))).len(), 1);
    assert!(problems_of(3, telemetry(nested(8))).is_empty());
}

#[test]
fn versions_of_the_language_differ() {
    let array = json!({"@type": "Property", "name": "a", "schema": {"@type": "Array", "elementSchema": "double"}});
    assert_eq!(problems_of(2, array.clone()).len(), 1);
    assert!(problems_of(3, array).is_empty());
    let long = json!({"@type": "Telemetry", "name": "x".repeat(65), "schema": "double"});
    assert_eq!(problems_of(2, long.clone()).len(), 1);
    assert!(problems_of(3, long).is_empty());
    let many: Vec<_> =
        (0..301).map(|n| json!({"@type": "Telemetry", "name": format!("t{n}"), "schema": "double"})).collect();
    assert_eq!(
        parse(&interface(2, "T", json!(many))).unwrap_err(),
        ["contents: an interface has at most 300 contents"]
    );
    assert!(parse(&interface(3, "T", json!(many))).is_ok());
    let other = parse(&interface(4, "T", json!([]))).unwrap_err();
    assert!(other[0].starts_with("@context: is neither"));
}

#[test]
fn what_is_extended_is_inherited_once() {
    let base = Arc::new(
        parse(&interface(2, "Base", json!([{"@type": "Property", "name": "a", "schema": "double"}]))).unwrap(),
    );
    let extending = |name: &str, parents: Value, contents: Value| {
        let mut document = interface(2, name, contents);
        document["extends"] = parents;
        document
    };
    let known = Known(vec![Arc::clone(&base)]);
    let left = Arc::new(parse_with(&extending("Left", json!("dtmi:com:example:Base;1"), json!([])), &known).unwrap());
    let right =
        Arc::new(parse_with(&extending("Right", json!(["dtmi:com:example:Base;1"]), json!([])), &known).unwrap());
    let known = Known(vec![base, left, right]);
    let both = json!(["dtmi:com:example:Left;1", "dtmi:com:example:Right;1"]);
    let diamond = parse_with(&extending("Diamond", both.clone(), json!([])), &known).unwrap();
    assert_eq!((diamond.contents().count(), diamond.extends().len()), (1, 2));

    let own = json!([{"@type": "Telemetry", "name": "a", "schema": "double"}]);
    let clash = parse_with(&extending("Clash", both, own), &known).unwrap_err();
    assert_eq!(clash.len(), 2, "{clash:?}");
    let itself = parse_with(&extending("Base", json!("dtmi:com:example:Base;1"), json!([])), &known).unwrap_err();
    assert_eq!(itself, ["extends[0]: an interface does not extend itself"]);
    let three = json!(["dtmi:com:example:Left;1", "dtmi:com:example:Right;1", "dtmi:com:example:Base;1"]);
    assert_eq!(parse_with(&extending("Three", three, json!([])), &known).unwrap_err().len(), 1);
}

#[test]
fn a_row_of_extensions_ends_somewhere() {
    let mut known = Known(vec![Arc::new(parse(&interface(2, "E0", json!([]))).unwrap())]);
    for depth in 1..=11 {
        let mut document = interface(2, &format!("E{depth}"), json!([]));
        document["extends"] = json!(format!("dtmi:com:example:E{};1", depth - 1));
        match parse_with(&document, &known) {
            Ok(model) => known.0.push(Arc::new(model)),
            Err(problems) => assert_eq!((depth, problems.len()), (11, 1), "{problems:?}"),
        }
    }
    assert_eq!(known.0.len(), 11);
}

#[test]
fn a_document_may_hold_several_interfaces_in_any_order() {
    let device = interface(
        2,
        "Device",
        json!([{"@type": "Component", "name": "t1", "schema": "dtmi:com:example:Thermostat;1"}]),
    );
    let thermostat =
        interface(2, "Thermostat", json!([{"@type": "Telemetry", "name": "temperature", "schema": "double"}]));
    let all = |document: &Value| Model::parse_all(document.to_string().as_bytes(), &NoModels);
    let models = all(&json!([device, thermostat])).unwrap();
    let ids: Vec<_> = models.iter().map(|(model, _)| model.id().as_str()).collect();
    assert_eq!(ids, ["dtmi:com:example:Thermostat;1", "dtmi:com:example:Device;1"]);
    assert_eq!(models[1].1, device);
    assert_eq!(all(&thermostat).unwrap().len(), 1);

    assert_eq!(
        all(&json!([thermostat, thermostat])).unwrap_err().to_string(),
        "[1]: the id dtmi:com:example:Thermostat;1 is there twice"
    );
    assert!(all(&json!([])).is_err());
    let circle =
        interface(2, "Thermostat", json!([{"@type": "Component", "name": "d", "schema": "dtmi:com:example:Device;1"}]));
    assert_eq!(all(&json!([device, circle])).unwrap_err().len(), 2);
}

#[test]
fn components_have_no_components() {
    let inner = interface(2, "Inner", json!([]));
    let middle = interface(2, "Middle", json!([{"@type": "Component", "name": "i", "schema": inner}]));
    let outer = interface(2, "Outer", json!([{"@type": "Component", "name": "m", "schema": middle}]));
    assert_eq!(parse(&outer).unwrap_err(), ["contents[0].schema: a component has no components of its own"]);
}

/// Five levels of thirty fields that each name the next level: small as text, 24 million schemas in memory.
#[test]
fn schemas_that_multiply_are_refused() {
    let fields = |schema: &str| (0..30).map(|n| json!({"name": format!("f{n}"), "schema": schema})).collect::<Vec<_>>();
    let level = |n: usize| {
        let next = if n == 4 { "double".to_owned() } else { format!("dtmi:com:example:L{};1", n + 1) };
        json!({"@id": format!("dtmi:com:example:L{n};1"), "@type": "Object", "fields": fields(&next)})
    };
    let mut document =
        interface(2, "Bomb", json!([{"@type": "Telemetry", "name": "t", "schema": "dtmi:com:example:L0;1"}]));
    document["schemas"] = json!((0..5).map(level).collect::<Vec<_>>());
    let problems = parse(&document).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].ends_with("the document has more schemas than can be kept"), "{problems:?}");

    let mut circle = interface(2, "Circle", json!([]));
    circle["schemas"] =
        json!([{"@id": "dtmi:com:example:L0;1", "@type": "Array", "elementSchema": "dtmi:com:example:L0;1"}]);
    assert_eq!(parse(&circle).unwrap_err().len(), 1);
}

proptest! {
    /// A good document with one value exchanged: read or refused, never worse.
    #[test]
    fn damaged_documents_are_answered(at in 0_usize..40, with in super::any_json()) {
        let mut document = interface(2, "T", json!([
            {"@type": "Property", "name": "p", "schema": {"@type": "Object", "fields": [{"name": "f", "schema": "double"}]}},
            {"@type": "Command", "name": "c", "request": {"name": "r", "schema": "long"}},
            {"@type": "Component", "name": "i", "schema": interface(2, "I", json!([]))},
        ]));
        document["extends"] = json!([interface(2, "B", json!([]))]);
        let mut left = at;
        exchange(&mut document, &mut left, &with);
        drop(parse(&document));
        drop(Model::parse_all(json!([document]).to_string().as_bytes(), &NoModels));
    }
}

fn exchange(value: &mut Value, left: &mut usize, with: &Value) {
    if *left == 0 {
        *value = with.clone();
    }
    *left = left.wrapping_sub(1);
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(|element| exchange(element, left, with)),
        Value::Object(members) => members.values_mut().for_each(|member| exchange(member, left, with)),
        _ => {}
    }
}
