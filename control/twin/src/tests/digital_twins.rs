//! Digital twin documents, patches, commands and events.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::models::{interface, parse};
use super::{NOW, naive_merge, patches, twin};
use crate::Twin;
use crate::digital_twin::{Model, change_event, command_method, desired_patch, document};

/// A device with a thermostat inside.
fn controller() -> Model {
    let thermostat = interface(
        2,
        "Thermostat",
        json!([
            {"@type": "Property", "name": "target", "schema": "double", "writable": true},
            {"@type": "Property", "name": "maximum", "schema": "double"},
            {"@type": "Command", "name": "report", "request": {"name": "since", "schema": "dateTime"}},
        ]),
    );
    let contents = json!([
        {"@type": "Property", "name": "serial", "schema": "string"},
        {"@type": "Property", "name": "interval", "schema": "integer", "writable": true},
        {"@type": "Property", "name": "limits", "writable": true, "schema": {"@type": "Object", "fields":
            [{"name": "low", "schema": "double"}, {"name": "high", "schema": "double"}]}},
        {"@type": "Component", "name": "t1", "schema": thermostat},
        {"@type": "Command", "name": "reboot"},
    ]);
    parse(&interface(2, "Controller", contents)).unwrap()
}

fn device() -> Twin {
    let desired = json!({"interval": 10, "t1": {"__t": "c", "target": 25}});
    let reported = json!({
        "serial": "S1",
        "interval": {"value": 10, "ac": 200, "av": 2, "ad": "done"},
        "t1": {"__t": "c", "maximum": 30.5, "target": {"value": 20, "ac": 203, "av": 0}},
    });
    let mut device = twin(desired, &reported);
    device.set_model_id(Some("dtmi:com:example:Controller;1"));
    device
}

/// What the desired properties are after a JSON Patch.
fn patched(device: &Twin, model: Option<&Model>, operations: &Value) -> Result<Value, String> {
    let body = desired_patch(device, model, operations).map_err(|error| error.to_string())?;
    let change = device.patch_service(None, &body, NOW).map_err(|error| error.to_string())?;
    Ok(Value::Object(change.twin.desired().clone()))
}

#[test]
fn the_document_shows_what_is_and_what_is_wanted() {
    let at = "2024-05-01T10:00:00.0000000Z";
    let expected = json!({
        "$dtId": "d1",
        "serial": "S1",
        "interval": 10,
        "t1": {
            "maximum": 30.5,
            "target": 20,
            "$metadata": {
                "maximum": {"lastUpdateTime": at},
                "target": {"desiredValue": 25, "desiredVersion": 2, "ackVersion": 0, "ackCode": 203, "lastUpdateTime": at},
            },
        },
        "$metadata": {
            "$model": "dtmi:com:example:Controller;1",
            "serial": {"lastUpdateTime": at},
            "interval": {"desiredValue": 10, "desiredVersion": 2, "ackVersion": 2, "ackCode": 200, "ackDescription": "done",
                         "lastUpdateTime": at},
        },
    });
    assert_eq!(document(&device(), "d1", None), expected, "markers alone tell the components");
    assert_eq!(document(&device(), "d1", Some(&controller())), expected);
}

#[test]
fn what_is_only_wanted_has_no_value_yet_and_silent_components_are_shown() {
    let asked = twin(json!({"interval": 5}), &json!({}));
    let shown = document(&asked, "d1", Some(&controller()));
    assert!(shown.get("interval").is_none());
    assert_eq!(shown["$metadata"]["interval"]["desiredValue"], 5);
    assert_eq!(shown["t1"], json!({"$metadata": {}}));
    let odd = document(
        &twin(json!({}), &json!({"t1": 5, "x": {"value": 1, "ac": "200", "av": 1}})),
        "d1",
        Some(&controller()),
    );
    assert_eq!((&odd["t1"], &odd["x"]), (&json!({"$metadata": {}}), &json!({"value": 1, "ac": "200", "av": 1})));
}

#[test]
fn operations_write_the_desired_properties() {
    let model = controller();
    for model in [None, Some(&model)] {
        let check = |operations: Value, expected: Value| {
            assert_eq!(patched(&device(), model, &operations), Ok(expected), "{operations}");
        };
        check(
            json!([{"op": "replace", "path": "/interval", "value": 20}]),
            json!({"interval": 20, "t1": {"__t": "c", "target": 25}}),
        );
        check(json!([{"op": "remove", "path": "/t1"}]), json!({"interval": 10}));
        check(json!([{"op": "remove", "path": "/t1/target"}]), json!({"interval": 10, "t1": {"__t": "c"}}));
        check(
            json!([{"op": "add", "path": "/t1/target", "value": 30}, {"op": "remove", "path": "/interval"}]),
            json!({"t1": {"__t": "c", "target": 30}}),
        );
        check(
            json!([{"op": "add", "path": "/t1", "value": {"$metadata": {}}}]),
            json!({"interval": 10, "t1": {"__t": "c"}}),
        );
        check(
            json!([{"op": "remove", "path": "/t1"}, {"op": "add", "path": "/t1/target", "value": 1}]),
            json!({"interval": 10, "t1": {"__t": "c", "target": 1}}),
        );
    }
}

#[test]
fn a_property_is_replaced_as_a_whole_not_merged() {
    let device = twin(json!({"limits": {"low": 1, "high": 2}}), &json!({}));
    let operations = json!([{"op": "replace", "path": "/limits", "value": {"high": 5}}]);
    assert_eq!(patched(&device, Some(&controller()), &operations), Ok(json!({"limits": {"high": 5}})));
}

#[test]
fn the_device_is_told_the_marker_with_the_patch() {
    let body = desired_patch(&Twin::fresh(), None, &json!([{"op": "add", "path": "/t1/target", "value": 25}])).unwrap();
    let (_, notice) = Twin::fresh().patch_service(None, &body, NOW).unwrap().desired_for_device.unwrap();
    assert_eq!(String::from_utf8(notice).unwrap(), r#"{"t1":{"__t":"c","target":25},"$version":2}"#);
}

#[test]
fn operations_that_cannot_be_are_refused_by_number() {
    let model = controller();
    for (operation, why) in [
        (json!(5), "an operation has a path"),
        (json!({"op": "move", "path": "/interval"}), "op is none of"),
        (json!({"op": "add", "path": "/interval"}), "no value"),
        (json!({"op": "add", "path": "interval", "value": 1}), "begins with /"),
        (json!({"op": "add", "path": "", "value": {}}), "begins with /"),
        (json!({"op": "add", "path": "/", "value": 1}), "not a name"),
        (json!({"op": "add", "path": "/$metadata", "value": {}}), "not a name"),
        (json!({"op": "add", "path": "/a~2", "value": 1}), "not a name"),
        (json!({"op": "add", "path": "/t1/__t", "value": "d"}), "not a name"),
        (json!({"op": "add", "path": "/t1/target/x", "value": 1}), "as a whole"),
        (json!({"op": "add", "path": "/interval", "value": null}), "not with null"),
        (json!({"op": "add", "path": "/interval", "value": "x"}), "is not an integer"),
        (json!({"op": "add", "path": "/serial", "value": "x"}), "not writable"),
        (json!({"op": "add", "path": "/reboot", "value": 1}), "not a property"),
        (json!({"op": "add", "path": "/other", "value": 1}), "not a property"),
        (json!({"op": "add", "path": "/t1", "value": 1}), "is an object"),
        (json!({"op": "add", "path": "/t1", "value": {"target": 1}}), "empty \"$metadata\""),
        (json!({"op": "add", "path": "/t1", "value": {"$metadata": {"x": 1}}}), "empty \"$metadata\""),
        (json!({"op": "add", "path": "/t1", "value": {"$metadata": {}, "maximum": 1}}), "not writable"),
        (json!({"op": "add", "path": "/interval/x", "value": 1}), "not a component"),
        (json!({"op": "remove", "path": "/limits"}), "nothing to remove"),
    ] {
        let operations = json!([{"op": "replace", "path": "/interval", "value": 1}, operation]);
        let error = patched(&device(), Some(&model), &operations).unwrap_err();
        assert!(error.starts_with("operation 1, path ") && error.contains(why), "{error}: {operation}");
    }
    for no_patch in [json!({}), json!([]), json!(vec![json!({}); 257])] {
        assert!(patched(&device(), None, &no_patch).is_err());
    }
    let inside = json!([{"op": "add", "path": "/interval/x", "value": 1}]);
    assert!(patched(&device(), None, &inside).unwrap_err().contains("no component"));
}

#[test]
fn commands_are_methods() {
    let model = controller();
    assert_eq!(command_method(None, Some("t1"), "reboot", &json!(5)).unwrap(), "t1*reboot");
    assert_eq!(command_method(Some(&model), None, "reboot", &Value::Null).unwrap(), "reboot");
    let since = json!("2024-05-01T10:00:00Z");
    assert_eq!(command_method(Some(&model), Some("t1"), "report", &since).unwrap(), "t1*report");
    for (component, command, payload, why) in [
        (None, "a*b", json!(null), "a name is"),
        (Some("t/1"), "report", json!(null), "a name is"),
        (None, "report", json!(null), "has no such command"),
        (Some("serial"), "report", json!(null), "has no such component"),
        (None, "reboot", json!(5), "takes no payload"),
        (Some("t1"), "report", json!(null), "the payload does not fit since: is not a date and time"),
    ] {
        let error = command_method(Some(&model), component, command, &payload).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn events_are_json_patches_of_the_document() {
    let model = controller();
    let before = device();
    let after = before.patch_reported(None, br#"{"t1":{"__t":"c","maximum":31},"serial":null}"#, NOW).unwrap().twin;
    let event: Value = serde_json::from_slice(&change_event(&before, &after, Some(&model)).unwrap()).unwrap();
    assert_eq!(
        event,
        json!([
            {"op": "replace", "path": "/t1/maximum", "value": 31},
            {"op": "remove", "path": "/$metadata/serial"},
            {"op": "remove", "path": "/serial"},
        ])
    );
    assert_eq!(change_event(&before, &before, Some(&model)), None);
    let mut without = before.clone();
    without.set_model_id(None);
    let event: Value = serde_json::from_slice(&change_event(&before, &without, None).unwrap()).unwrap();
    assert_eq!(event, json!([{"op": "remove", "path": "/$metadata/$model"}]));
}

/// Carries out a JSON Patch of add, replace and remove on objects.
fn apply(document: &mut Value, operations: &Value) {
    for operation in operations.as_array().unwrap() {
        let path = operation["path"].as_str().unwrap();
        let (parent, name) = path.rsplit_once('/').unwrap();
        let members: &mut Map<String, Value> = document.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match operation["op"].as_str().unwrap() {
            "remove" => assert!(members.shift_remove(name).is_some(), "{path}"),
            "add" => assert!(members.insert(name.to_owned(), operation["value"].clone()).is_none(), "{path}"),
            _ => assert!(members.insert(name.to_owned(), operation["value"].clone()).is_some(), "{path}"),
        }
    }
}

fn marked(patch: Value, is_component: bool) -> Value {
    if is_component { naive_merge(&patch, &json!({"a": {"__t": "c"}})) } else { patch }
}

proptest! {
    #[test]
    fn an_event_makes_the_new_document_of_the_old(
        (desired, reported) in (patches(), patches()),
        (asked, told) in (patches(), patches()),
        (was, is) in any::<(bool, bool)>(),
    ) {
        let before = twin(desired, &marked(reported, was));
        let later = millrace_model::Timestamp(NOW.0 + 1);
        let body = json!({ "properties": { "desired": asked } });
        let after = before.patch_service(None, &body, later).unwrap().twin;
        let after = after.patch_reported(None, marked(told, is).to_string().as_bytes(), later).unwrap().twin;
        let mut copy = document(&before, "", None);
        if let Some(event) = change_event(&before, &after, None) {
            apply(&mut copy, &serde_json::from_slice(&event).unwrap());
        }
        prop_assert_eq!(copy, document(&after, "", None));
    }

    #[test]
    fn a_written_property_is_what_was_written(desired in patches(), name in "[a-d]", value in patches(), is_component: bool) {
        let device = twin(desired, &json!({}));
        // What a patch leaves of a value: it has no nulls inside objects.
        let value = naive_merge(&Value::Null, &value);
        let path = if is_component { format!("/{name}/p") } else { format!("/{name}") };
        let operations = json!([{"op": "replace", "path": path, "value": value}]);
        match patched(&device, None, &operations) {
            Ok(after) => prop_assert_eq!(after.pointer(&path), Some(&value)),
            Err(error) => prop_assert!(is_component && error.contains("no component")),
        }
    }
}
