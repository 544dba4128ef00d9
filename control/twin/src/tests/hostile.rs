//! What must be refused, with the status and the words that belong to it, and never with a panic.

use millrace_model::HubError;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{NOW, any_json};
use crate::digital_twin::{Model, NoModels, change_event, command_method, desired_patch, document};
use crate::limits::{DEVICE_PATCH_BYTES_MAX, TWIN_BYTES_MAX};
use crate::{Twin, TwinError};

fn reported(body: &[u8]) -> HubError {
    Twin::fresh().patch_reported(None, body, NOW).unwrap_err().into()
}

fn desired(value: &Value) -> HubError {
    let body = json!({ "properties": { "desired": value } });
    Twin::fresh().patch_service(None, &body, NOW).unwrap_err().into()
}

#[test]
fn refusals_have_the_hub_s_status_and_name_the_place() {
    let nested = (0..12).fold(json!(1), |inner, _| json!({ "n": inner }));
    for (error, status, text) in [
        (reported(b""), 400, "not JSON"),
        (reported(b"[]"), 400, "properties.reported is not an object"),
        (reported(b"\xff"), 400, "not JSON"),
        (reported(br#"{"$metadata":{}}"#), 400, "properties.reported.$metadata"),
        (reported(br#"{"$version":"1"}"#), 400, "properties.reported.$version"),
        (reported(br#"{"$version":-1}"#), 400, "properties.reported.$version"),
        (reported(br#"{"a.b":1}"#), 400, "properties.reported.a.b"),
        (reported(br#"{"a":9007199254740993}"#), 400, "properties.reported.a is beyond"),
        (reported(br#"{"a":1e999}"#), 400, "not JSON"),
        (reported(br#"{"$version":3}"#), 412, "their version is 1, not 3"),
        (reported(&vec![b' '; DEVICE_PATCH_BYTES_MAX + 1]), 413, "bytes"),
        (reported("[".repeat(100_000).as_bytes()), 400, "levels deep"),
        (reported(format!("[{}0]", "0,".repeat(100_000)).as_bytes()), 400, "values"),
        (desired(&nested), 400, "levels deep"),
        (desired(&json!({"$own": 1})), 400, "properties.desired.$own"),
        (desired(&json!([])), 400, "properties.desired is not an object"),
        (desired(&json!({"a": "x".repeat(4097)})), 400, "properties.desired.a has more than 4096 bytes"),
        (desired(&json!({"a": vec!["x".repeat(4000); 9]})), 413, "properties.desired would have more than 32768 bytes"),
    ] {
        assert_eq!(error.status, status, "{error}");
        assert!(error.text.contains(text), "{error}");
    }
}

#[test]
fn bodies_of_the_service_are_checked_where_they_are_written() {
    let refuse = |body: Value| Twin::fresh().replace_service(None, &body, NOW).unwrap_err().to_string();
    assert_eq!(refuse(json!([])), "the body is not an object");
    assert_eq!(refuse(json!({"tags": 1})), "tags is not an object");
    assert_eq!(refuse(json!({"properties": 1})), "properties is not an object");
    assert_eq!(refuse(json!({"desired": {}})), "desired: belongs inside \"properties\"");
    assert_eq!(refuse(json!({"tags": {"a": vec!["x".repeat(4000); 3]}})), "tags would have more than 8192 bytes");
    let passed_over = json!({"tags": null, "deviceId": 5, "properties": {"reported": {"$a b.c": 1}}, "future": []});
    assert!(Twin::fresh().replace_service(None, &passed_over, NOW).is_ok());
}

#[test]
fn a_full_section_may_shrink_but_not_grow() {
    let text = "x".repeat(4000);
    let members: Map<String, Value> = (0..8).map(|number| (format!("k{number}"), json!(text))).collect();
    let full = super::twin(json!({}), &Value::Object(members));
    let grow = json!({ "more": text }).to_string();
    let error = full.patch_reported(None, grow.as_bytes(), NOW).unwrap_err();
    assert!(matches!(error, TwinError::Size { section: "properties.reported", max: 32_768, .. }));
    let exchange = json!({ "more": text, "k0": null }).to_string();
    assert_eq!(full.patch_reported(None, exchange.as_bytes(), NOW).unwrap().reported_version, 3);
}

/// Sections made of what is dear in the store and cheap in the count.
#[test]
fn no_twin_is_larger_than_a_store_takes() {
    let numbers = |count: usize| (0..count).map(|number| (format!("{number:x}"), json!(true))).collect::<Map<_, _>>();
    let quotes = json!(vec!["\"".repeat(4096); 7]);
    let empty = |count: usize| (0..count).map(|number| (format!("{number:x}"), json!({}))).collect::<Map<_, _>>();
    let emoji = json!(vec!["\u{1F600}".repeat(1024); 26]);
    for section in [json!(numbers(4_000)), json!(empty(8_000)), json!({ "q": quotes }), json!({ "e": emoji })] {
        let twin = super::twin(section.clone(), &section);
        assert!(twin.encode().len() < TWIN_BYTES_MAX, "{}", twin.encode().len());
        assert_eq!(Twin::decode(&twin.encode()).unwrap(), twin);
    }
}

#[test]
fn texts_of_errors_are_short_and_plain_whatever_was_sent() {
    let name = format!("{}\u{1b}[31m\n", "x".repeat(900));
    let error = desired(&json!({ &name: { &name: 1 } }));
    assert!(error.text.len() < 400 && !error.text.contains(char::is_control), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(Twin::fresh().patch_reported(None, &body, NOW));
        drop(Twin::decode(&body));
        drop(Model::parse(&body, &NoModels));
    }

    #[test]
    fn any_json_is_answered(body in any_json(), other in any_json()) {
        let twin = Twin::fresh();
        let text = body.to_string();
        let reported = twin.patch_reported(None, text.as_bytes(), NOW).map_or_else(|_| twin.clone(), |change| change.twin);
        let after = reported.patch_service(None, &json!({"properties": {"desired": other}}), NOW);
        let after = after.map_or(reported, |change| change.twin);
        drop(after.patch_service(None, &body, NOW));
        drop(after.replace_service(None, &body, NOW));
        prop_assert!(document(&after, "d1", None).is_object());
        drop(change_event(&twin, &after, None));
        drop(desired_patch(&after, None, &body));
        drop(desired_patch(&after, None, &json!([body, {"op": "add", "path": "/a", "value": other}])));
        drop(command_method(None, Some("a"), "b", &body));
        drop(Model::parse_all(text.as_bytes(), &NoModels));
    }
}
