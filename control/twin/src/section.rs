//! One section of properties: values, when each was last written, and the section's version.
//! - Source: JSON merge patch (RFC 7396); Azure IoT Hub's `$metadata`.
//! - Shape: the metadata are a tree beside the values: a node for the section, each object inside it, and each member; arrays are leaves.
//! - Invariants: the version grows by one with each write, also an empty one. A node exists exactly for each member that exists.
//! - Limits: what is merged was checked before (`check`): walks go at most `DEPTH_MAX` levels down.

use std::collections::BTreeMap;

use millrace_model::Timestamp;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::time::{NEVER, time_text};

/// When something was written, and in which version of its section; 0 where versions are not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) updated: Timestamp,
    pub(crate) version: u64,
}

/// Metadata of a value and of what is in it: `[milliseconds, version, {name: ..}]`, the last one left out when empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Metadata(
    i64,
    u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")] BTreeMap<Box<str>, Metadata>,
);

/// Desired or reported properties.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Properties {
    #[serde(rename = "v")]
    version: u64,
    #[serde(rename = "p")]
    values: Map<String, Value>,
    #[serde(rename = "m")]
    metadata: Metadata,
}

impl Properties {
    /// Those of a new twin.
    pub(crate) fn fresh() -> Self {
        let never = Stamp { updated: NEVER, version: 0 };
        Self { version: 1, values: Map::new(), metadata: Metadata::new(never) }
    }

    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    pub(crate) const fn values(&self) -> &Map<String, Value> {
        &self.values
    }

    pub(crate) const fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Makes them their next version, with a patch merged in. `has_versions`: whether the metadata tell versions.
    pub(crate) fn merge(&mut self, patch: &Map<String, Value>, now: Timestamp, has_versions: bool) {
        self.version = self.version.saturating_add(1);
        let stamp = Stamp { updated: now, version: if has_versions { self.version } else { 0 } };
        merge(&mut self.values, &mut self.metadata, patch, stamp);
    }

    /// Makes them their next version, with nothing of what was. A merge into nothing, because nulls name what is not to be there.
    pub(crate) fn replace(&mut self, values: &Map<String, Value>, now: Timestamp, has_versions: bool) {
        *self = Self { version: self.version, ..Self::fresh() };
        self.merge(values, now, has_versions);
    }

    /// As the device sees them, written without a copy: after an outage all devices read their twins at once.
    pub(crate) const fn for_device(&self) -> ForDevice<'_> {
        ForDevice(self)
    }

    /// As the service sees them.
    pub(crate) fn for_service(&self, has_metadata: bool) -> Map<String, Value> {
        let mut all = self.values.clone();
        if has_metadata {
            all.insert("$metadata".to_owned(), self.metadata.for_service(None));
        }
        with_version(all, self.version)
    }

    /// What a patch has changed, as the service is told of it.
    pub(crate) fn changed(&self, patch: &Map<String, Value>) -> Map<String, Value> {
        let mut all = patch.clone();
        all.insert("$metadata".to_owned(), self.metadata.for_service(Some(patch)));
        with_version(all, self.version)
    }
}

/// Values and version of properties.
pub(crate) struct ForDevice<'a>(&'a Properties);

impl Serialize for ForDevice<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(Some(self.0.values.len().saturating_add(1)))?;
        for (name, value) in &self.0.values {
            members.serialize_entry(name, value)?;
        }
        members.serialize_entry("$version", &self.0.version)?;
        members.end()
    }
}

/// A patch, or a section, with the version that it leads to.
pub(crate) fn with_version(mut values: Map<String, Value>, version: u64) -> Map<String, Value> {
    values.insert("$version".to_owned(), version.into());
    values
}

/// Merges a patch into plain values, without metadata.
pub(crate) fn merge_values(values: &mut Map<String, Value>, patch: &Map<String, Value>) {
    // The metadata of tags are kept nowhere; a tree for the time of the merge would be as long as the tree itself.
    remove_nulls(values, patch);
    for (name, given) in patch {
        match given {
            Value::Null => {}
            Value::Object(inner) => object_at(values, name).map_or((), |members| merge_values(members, inner)),
            other => drop(values.insert(name.clone(), other.clone())),
        }
    }
}

fn merge(values: &mut Map<String, Value>, metadata: &mut Metadata, patch: &Map<String, Value>, stamp: Stamp) {
    metadata.stamp(stamp);
    remove_nulls(values, patch);
    for (name, given) in patch {
        match given {
            Value::Null => drop(metadata.2.remove(name.as_str())),
            Value::Object(inner) => {
                let was_object = values.get(name).is_some_and(Value::is_object);
                let node = metadata.2.entry(name.as_str().into()).or_insert_with(|| Metadata::new(stamp));
                if !was_object {
                    node.2.clear();
                }
                if let Some(members) = object_at(values, name) {
                    merge(members, node, inner, stamp);
                }
            }
            other => {
                values.insert(name.clone(), other.clone());
                metadata.2.insert(name.as_str().into(), Metadata::new(stamp));
            }
        }
    }
}

/// Takes out what the patch names with null; all at once, because each removal on its own would move everything behind it.
fn remove_nulls(values: &mut Map<String, Value>, patch: &Map<String, Value>) {
    if patch.values().any(Value::is_null) {
        values.retain(|name, _| !patch.get(name).is_some_and(Value::is_null));
    }
}

/// The object of that name; whatever else has the name gives way. Always there.
fn object_at<'a>(values: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    let slot = values.entry(name).or_insert(Value::Null);
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut()
}

impl Metadata {
    fn new(stamp: Stamp) -> Self {
        Self(stamp.updated.0, stamp.version, BTreeMap::new())
    }

    const fn stamp(&mut self, stamp: Stamp) {
        self.0 = stamp.updated.0;
        self.1 = stamp.version;
    }

    /// Those of a member.
    pub(crate) fn member(&self, name: &str) -> Option<&Self> {
        self.2.get(name)
    }

    /// When it was last written.
    pub(crate) const fn updated(&self) -> Timestamp {
        Timestamp(self.0)
    }

    /// In which version it was last written, if that is told.
    pub(crate) const fn version(&self) -> Option<u64> {
        if self.1 == 0 { None } else { Some(self.1) }
    }

    /// As the service sees them; `only`: no others than a patch names.
    fn for_service(&self, only: Option<&Map<String, Value>>) -> Value {
        self.with_text(only, &time_text(self.updated()))
    }

    fn with_text(&self, only: Option<&Map<String, Value>>, updated: &str) -> Value {
        let mut all = Map::new();
        all.insert("$lastUpdated".to_owned(), updated.into());
        if let Some(version) = self.version() {
            all.insert("$lastUpdatedVersion".to_owned(), version.into());
        }
        for (name, node) in &self.2 {
            let inner = match only.map(|only| only.get(&**name)) {
                Some(None) => continue,
                Some(Some(Value::Object(inner))) => Some(inner),
                Some(Some(_)) | None => None,
            };
            // Most members were written together with what holds them: one text for all.
            let view = if node.0 == self.0 { node.with_text(inner, updated) } else { node.for_service(inner) };
            all.insert(name.to_string(), view);
        }
        Value::Object(all)
    }
}
