//! Where desired properties were changed, without what was put there: small enough to be passed on between nodes, and enough to tell
//! the device what is there now.
//! - Shape: a JSON object like the patch, with 0 in the place of each value that is not an object.
//! - Invariants: a device that is told what is at the paths of each change, whichever is told first, has what the twin has there.
//! - Limits: as deep as a patch may be; a text that is not such an object is all paths.

use serde_json::{Map, Value};

use crate::json::{self, Bounds};
use crate::section::with_version;
use crate::twin::{Twin, json_bytes};

/// Paths in a section of a twin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths(Option<Map<String, Value>>);

impl Paths {
    /// Those of a patch as devices are told it.
    #[must_use]
    pub fn of(patch: &[u8]) -> Self {
        let Self(found) = Self::parse(patch);
        Self(found.map(|mut patch| {
            patch.shift_remove("$version");
            outline(patch)
        }))
    }

    /// From [`Self::to_text`]; any other text stands for everything.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self::parse(text.as_bytes())
    }

    /// As text.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.0.as_ref().and_then(|paths| serde_json::to_string(paths).ok()).unwrap_or_default()
    }

    fn parse(bytes: &[u8]) -> Self {
        match json::parse(bytes, Bounds::DEVICE) {
            Ok(Value::Object(members)) => Self(Some(members)),
            _ => Self(None),
        }
    }
}

impl Twin {
    /// What the device is told of the desired properties at these paths as they are now: their version, and a patch with `$version`.
    /// What is not there is null.
    #[must_use]
    pub fn desired_at(&self, Paths(paths): &Paths) -> (u64, Vec<u8>) {
        let values = self.desired();
        let patch = paths.as_ref().map_or_else(|| values.clone(), |paths| at(values, paths));
        let version = self.desired_version();
        (version, json_bytes(&with_version(patch, version)))
    }
}

fn outline(patch: Map<String, Value>) -> Map<String, Value> {
    let short = |value| match value {
        Value::Object(members) if !members.is_empty() => Value::Object(outline(members)),
        _ => Value::from(0),
    };
    patch.into_iter().map(|(name, value)| (name, short(value))).collect()
}

fn at(values: &Map<String, Value>, paths: &Map<String, Value>) -> Map<String, Value> {
    let found = |name: &String, below: &Value| match (values.get(name), below) {
        (Some(Value::Object(values)), Value::Object(paths)) => Value::Object(at(values, paths)),
        (value, _) => value.cloned().unwrap_or_default(),
    };
    paths.iter().map(|(name, below)| (name.clone(), found(name, below))).collect()
}

#[cfg(test)]
mod tests {
    use millrace_model::Timestamp;
    use serde_json::json;

    use super::*;

    /// A twin after these patches, and what its device is told of each afterwards.
    fn told(patches: &[Value]) -> Vec<Value> {
        let (mut twin, mut paths) = (Twin::fresh(), Vec::new());
        for patch in patches {
            let body = json!({"properties": {"desired": patch}});
            let change = twin.patch_service(None, &body, Timestamp(0)).unwrap();
            paths.push(Paths::from_text(&Paths::of(&change.desired_for_device.unwrap().1).to_text()));
            twin = change.twin;
        }
        paths.iter().map(|paths| serde_json::from_slice(&twin.desired_at(paths).1).unwrap()).collect()
    }

    #[test]
    fn the_last_change_is_told_as_it_was_made() {
        let patch = json!({"a": {"b": 1, "c": null, "d": [1, {"e": 2}]}, "f": null, "g": "text", "h": {}});
        let [told] = told(std::slice::from_ref(&patch)).try_into().unwrap();
        let mut expected = patch;
        expected["$version"] = 2.into();
        assert_eq!(told, expected);
    }

    #[test]
    fn an_earlier_change_is_told_with_what_is_there_now() {
        let told = told(&[json!({"a": {"b": 1, "c": 1}, "d": 1}), json!({"a": {"b": 2, "e": 2}, "d": null})]);
        assert_eq!(told[0], json!({"a": {"b": 2, "c": 1}, "d": null, "$version": 3}));
        let replaced = self::told(&[json!({"a": {"b": 1}}), json!({"a": 7})]);
        assert_eq!(replaced[0], json!({"a": 7, "$version": 3}));
    }

    #[test]
    fn without_paths_all_of_it_is_told() {
        let body = json!({"properties": {"desired": {"a": {"b": "v".repeat(4_000)}}}});
        let change = Twin::fresh().patch_service(None, &body, Timestamp(0)).unwrap();
        let (version, patch) = change.desired_for_device.unwrap();
        assert_eq!(Paths::of(&patch).to_text(), r#"{"a":{"b":0}}"#);
        for text in ["", "7", "[", "[1]"] {
            assert_eq!(change.twin.desired_at(&Paths::from_text(text)), (version, patch.clone()));
        }
    }
}
