//! What twins are to hold. Decides, never acts.
//! - Shape: `{deviceContent: {PATH: value}, moduleContent: {PATH: value}, modulesContent: {MODULE: {PATH: value}}}` with PATH
//!   `properties.desired` or `properties.desired.a.b`; each value replaces what is at its path.
//! - Invariants: the patch that is made of a content leads exactly to it, and there is none when the twin holds it already.

use std::collections::BTreeMap;

use millrace_control_twin::Twin;
use millrace_model::Timestamp;
use millrace_model::ids::is_valid_id;
use serde_json::{Map, Value, json};

use crate::error::JobError;
use crate::limits::DEPLOYMENT_MODULES_MAX;

const DESIRED: &str = "properties.desired";

/// What one twin is to hold: values at paths below its desired properties.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settings(Vec<(Vec<String>, Value)>);

/// What a device, a module or the modules of a device are to hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Content {
    /// The device's own twin.
    pub device: Settings,
    /// The module's own twin, for each module that is meant.
    pub module: Settings,
    /// Twins of modules by their ids, for each device that is meant.
    pub modules: BTreeMap<String, Settings>,
    json: Value,
}

impl Content {
    /// Reads a content.
    ///
    /// # Errors
    /// When a member cannot be what it is, or leads to a twin that cannot be.
    pub fn parse(content: &Value) -> Result<Self, JobError> {
        let empty = Map::new();
        let members = match content {
            Value::Null => &empty,
            Value::Object(members) => members,
            _ => return Err(JobError::member("content", "is not an object")),
        };
        let section = |name: &str| match members.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(section)) => Ok(Some(section)),
            Some(_) => Err(JobError::member(format!("content.{name}"), "is not an object")),
        };
        let settings = |name: &str| {
            let path = format!("content.{name}");
            section(name)?.map_or(Ok(Settings::default()), |section| Settings::parse(section, &path))
        };
        let mut modules = BTreeMap::new();
        for (module, settings) in section("modulesContent")?.into_iter().flatten() {
            let path = format!("content.modulesContent.{module}");
            if !is_valid_id(module) {
                return Err(JobError::member(path, "is not the id of a module"));
            }
            let Value::Object(settings) = settings else { return Err(JobError::member(path, "is not an object")) };
            modules.insert(module.clone(), Settings::parse(settings, &path)?);
        }
        if modules.len() > DEPLOYMENT_MODULES_MAX {
            return Err(JobError::member(
                "content.modulesContent",
                format!("has more than {DEPLOYMENT_MODULES_MAX} modules"),
            ));
        }
        let (device, module) = (settings("deviceContent")?, settings("moduleContent")?);
        Ok(Self { device, module, modules, json: json!(members) })
    }

    /// As it was given.
    #[must_use]
    pub const fn json(&self) -> &Value {
        &self.json
    }
}

impl Settings {
    fn parse(section: &Map<String, Value>, path: &str) -> Result<Self, JobError> {
        let mut settings = Vec::with_capacity(section.len());
        for (name, value) in section {
            let names = path_of(name).ok_or_else(|| {
                JobError::member(
                    format!("{path}.{name}"),
                    "does not begin with properties.desired, which is all that can be set",
                )
            })?;
            if names.is_empty() && !value.is_object() {
                return Err(JobError::member(format!("{path}.{name}"), "is not an object"));
            }
            settings.push((names, value.clone()));
        }
        // The shorter path first, so that a longer one sets something inside of what it has set.
        settings.sort_by(|(left, _), (right, _)| left.len().cmp(&right.len()).then_with(|| left.cmp(right)));
        let settings = Self(settings);
        if let Some(patch) = settings.patch(&Map::new()) {
            Twin::fresh()
                .patch_service(None, &json!({ "properties": { "desired": patch } }), Timestamp(0))
                .map_err(|error| JobError::member(path, format!("leads to a twin that cannot be: {error}")))?;
        }
        Ok(settings)
    }

    /// Whether nothing is to be held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The merge patch that makes desired properties hold this; `None` when they do.
    #[must_use]
    pub fn patch(&self, desired: &Map<String, Value>) -> Option<Map<String, Value>> {
        let mut wanted = desired.clone();
        for (path, value) in &self.0 {
            set(&mut wanted, path, value);
        }
        let patch = difference(desired, &wanted);
        (!patch.is_empty()).then_some(patch)
    }
}

/// Names below the desired properties.
fn path_of(name: &str) -> Option<Vec<String>> {
    let rest = name.strip_prefix(DESIRED)?;
    if rest.is_empty() {
        return Some(Vec::new());
    }
    let names: Vec<String> = rest.strip_prefix('.')?.split('.').map(str::to_owned).collect();
    names.iter().all(|name| !name.is_empty()).then_some(names)
}

/// Puts a value at a path, in the place of whatever was there; null takes it away.
fn set(members: &mut Map<String, Value>, path: &[String], value: &Value) {
    match path {
        [] => *members = value.as_object().map(without_nulls).unwrap_or_default(),
        [name] => match value {
            Value::Null => drop(members.shift_remove(name)),
            Value::Object(inner) => drop(members.insert(name.clone(), Value::Object(without_nulls(inner)))),
            other => drop(members.insert(name.clone(), other.clone())),
        },
        [name, rest @ ..] => {
            let slot = members.entry(name.clone()).or_insert_with(|| json!({}));
            if !slot.is_object() {
                *slot = json!({});
            }
            if let Value::Object(inner) = slot {
                set(inner, rest, value);
            }
        }
    }
}

fn without_nulls(members: &Map<String, Value>) -> Map<String, Value> {
    let kept = members.iter().filter(|(_, value)| !value.is_null());
    kept.map(|(name, value)| {
        let value = value.as_object().map_or_else(|| value.clone(), |inner| Value::Object(without_nulls(inner)));
        (name.clone(), value)
    })
    .collect()
}

/// The merge patch that makes `after` of `before`.
fn difference(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let gone = before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let changed = after.iter().filter_map(|(name, value)| match (before.get(name), value) {
        (Some(was), now) if was == now => None,
        (Some(Value::Object(was)), Value::Object(now)) => Some((name.clone(), Value::Object(difference(was, now)))),
        (_, now) => Some((name.clone(), now.clone())),
    });
    gone.chain(changed).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(section: Value) -> Settings {
        Content::parse(&json!({ "deviceContent": section })).unwrap().device
    }

    fn patch(section: Value, desired: Value) -> Option<Value> {
        settings(section).patch(desired.as_object().unwrap()).map(Value::Object)
    }

    #[test]
    fn values_are_set_at_paths_and_nothing_else_is_touched() {
        let section = json!({"properties.desired.a.b": {"x": 1}});
        assert_eq!(patch(section.clone(), json!({"z": 1})), Some(json!({"a": {"b": {"x": 1}}})));
        assert_eq!(patch(section.clone(), json!({"a": {"b": {"x": 1}, "c": 2}})), None);
        assert_eq!(
            patch(section.clone(), json!({"a": {"b": {"y": 2}, "c": 2}})),
            Some(json!({"a": {"b": {"y": null, "x": 1}}}))
        );
        assert_eq!(patch(section, json!({"a": 7})), Some(json!({"a": {"b": {"x": 1}}})));
        assert_eq!(patch(json!({"properties.desired": {"x": 1}}), json!({"y": 2})), Some(json!({"y": null, "x": 1})));
        assert_eq!(patch(json!({"properties.desired.y": null}), json!({"y": 2})), Some(json!({"y": null})));
        assert_eq!(patch(json!({"properties.desired.y": null}), json!({})), None);
        let both = json!({"properties.desired.a.c": 2, "properties.desired": {"a": {"b": 1}}});
        assert_eq!(patch(both, json!({})), Some(json!({"a": {"b": 1, "c": 2}})));
    }

    #[test]
    fn what_no_twin_can_hold_is_refused() {
        for content in [
            json!([]),
            json!({"deviceContent": []}),
            json!({"deviceContent": {"properties.reported.x": 1}}),
            json!({"deviceContent": {"properties.desiredx": 1}}),
            json!({"deviceContent": {"properties.desired.": 1}}),
            json!({"deviceContent": {"properties.desired": 1}}),
            json!({"deviceContent": {"tags.x": 1}}),
            json!({"deviceContent": {"properties.desired.$x": 1}}),
            json!({"deviceContent": {"properties.desired.x": "y".repeat(5_000)}}),
            json!({"modulesContent": {"a/b": {}}}),
            json!({"modulesContent": {"a": 1}}),
        ] {
            assert!(Content::parse(&content).is_err(), "{content}");
        }
        let edge = json!({"modulesContent": {"$edgeAgent": {"properties.desired": {"modules": {}}}, "$edgeHub": {}}});
        assert_eq!(Content::parse(&edge).unwrap().modules.len(), 2);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![(0..4_i64).prop_map(Value::from), any::<bool>().prop_map(Value::from)];
        leaf.prop_recursive(3, 12, 3, |inner| {
            proptest::collection::btree_map("[a-c]", inner, 0..3).prop_map(|members| json!(members))
        })
    }

    proptest! {
        #[test]
        fn a_patch_leads_to_what_is_wanted_and_is_then_not_needed(before in value(), wanted in value(), depth in 0..3_usize) {
            let before = before.as_object().cloned().unwrap_or_default();
            let wanted = if depth == 0 { json!(wanted.as_object().cloned().unwrap_or_default()) } else { wanted };
            let name = ["properties.desired", "properties.desired.a", "properties.desired.a.b"][depth];
            let settings = settings(json!({ name: wanted }));
            let base = json!({"properties": {"desired": before}});
            let twin = Twin::fresh().patch_service(None, &base, Timestamp(0)).unwrap().twin;
            let after = match settings.patch(twin.desired()) {
                Some(patch) => twin.patch_service(None, &json!({"properties": {"desired": patch}}), Timestamp(0)).unwrap().twin,
                None => twin,
            };
            prop_assert_eq!(settings.patch(after.desired()), None);
            let held = match depth { 0 => Some(json!(after.desired())), 1 => after.desired().get("a").cloned(),
                _ => after.desired().get("a").and_then(|a| a.get("b")).cloned() };
            prop_assert_eq!(held, Some(wanted));
        }
    }
}
