//! Tests of the crate as a whole, and what they share.

mod digital_twins;
mod golden;
mod hostile;
mod merging;
mod models;

use millrace_model::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::Twin;

/// 2024-05-01T10:00:00Z.
const NOW: Timestamp = Timestamp(1_714_557_600_000);

/// A twin with these desired and reported properties, each written once.
fn twin(desired: Value, reported: &Value) -> Twin {
    let fresh = Twin::fresh();
    let asked = fresh.patch_service(None, &json!({ "properties": { "desired": desired } }), NOW).unwrap().twin;
    asked.patch_reported(None, reported.to_string().as_bytes(), NOW).unwrap().twin
}

/// JSON merge patch as RFC 7396 section 2 writes it down.
fn naive_merge(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut merged = target.as_object().cloned().unwrap_or_default();
    for (name, value) in patch {
        if value.is_null() {
            merged.shift_remove(name);
        } else {
            let old = merged.get(name).cloned().unwrap_or(Value::Null);
            merged.insert(name.clone(), naive_merge(&old, value));
        }
    }
    Value::Object(merged)
}

/// Values that a patch may hold: few names, so that patches meet.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        2 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::Bool),
        2 => (-9_i64..9).prop_map(Value::from),
        2 => "[a-z]{0,3}".prop_map(Value::from),
        1 => Just(json!([1, { "in": "array" }, null])),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| object_of(inner).prop_map(Value::Object))
}

fn object_of(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec(("[a-d]", values), 0..4).prop_map(|members| members.into_iter().collect())
}

/// A patch of one section.
fn patches() -> impl Strategy<Value = Value> {
    object_of(values()).prop_map(Value::Object)
}

/// Any JSON at all, with names that mean something somewhere.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        "(dtmi:[a-c]{1,2};[0-2]|/[a-b$~/]{0,3}|add|remove|Property|Interface|Object|Enum|double)".prop_map(Value::from),
    ];
    let names = "(tags|properties|desired|reported|\\$version|\\$metadata|__t|value|ac|av|op|path|@id|@type|@context|contents|\
                 schema|schemas|extends|name|fields|[a-b]|.{0,4})";
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((names, inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}
