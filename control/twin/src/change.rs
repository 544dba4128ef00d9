//! The decisions: (twin, request, now) -> [`Change`] or a refusal.
//! - Source: Azure IoT Hub device twins; JSON merge patch (RFC 7396).
//! - Invariants: each accepted request raises the version of every section that it names by one, also when it changes no value;
//!   what the service asks raises the root version. A refused request changes nothing.
//! - Errors: [`TwinError`]; sizes are those of the section after the change, so that a patch that removes is never too large.

use millrace_model::Timestamp;
use serde_json::{Map, Value};

use crate::error::{SectionName, TwinError};
use crate::event::{self, Given, TwinEvent};
use crate::json::{self, Bounds};
use crate::section::{merge_values, with_version};
use crate::twin::{Twin, json_bytes};
use crate::{check, etag};

/// What a request makes of a twin, and who is to be told what once it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The twin to be stored.
    pub twin: Twin,
    /// For the device, if the desired properties were written: their version, and the patch (or, after a replacement, all of
    /// them) with `$version`.
    pub desired_for_device: Option<(u64, Vec<u8>)>,
    /// For the routes.
    pub event: Option<TwinEvent>,
    /// Version of the reported properties, which the device is answered.
    pub reported_version: u64,
}

/// The parts of a service's body that can be written.
struct Written {
    tags: Option<Map<String, Value>>,
    desired: Option<Map<String, Value>>,
}

impl Twin {
    /// Merges what the service gives for the tags and the desired properties. Members that a read twin has besides (its root,
    /// `reported`, `$version`, `$metadata`) are passed over, because SDKs send back what they read.
    ///
    /// # Errors
    /// When `expected_etag` (quoted or not; `None` and `*` fit any) is another one, or the body breaks a rule.
    pub fn patch_service(
        &self,
        expected_etag: Option<&str>,
        body: &Value,
        now: Timestamp,
    ) -> Result<Change, TwinError> {
        let written = self.written(expected_etag, body)?;
        let mut twin = Self { version: self.version.saturating_add(1), ..self.clone() };
        if let Some(patch) = &written.tags {
            merge_values(&mut twin.tags, patch);
            check::sizes(SectionName::Tags, &twin.tags)?;
        }
        if let Some(patch) = &written.desired {
            twin.desired.merge(patch, now, true);
            check::sizes(SectionName::Desired, twin.desired())?;
        }
        let given = Given { tags: written.tags.as_ref(), desired: written.desired.as_ref(), reported: None };
        let event = event::update(&twin, &given);
        let version = twin.desired_version();
        let notice = written.desired.map(|patch| (version, json_bytes(&with_version(patch, version))));
        Ok(twin.into_change(notice, event))
    }

    /// Puts what the service gives in the place of the tags and the desired properties; what it does not give becomes empty.
    ///
    /// # Errors
    /// As [`Self::patch_service`].
    pub fn replace_service(
        &self,
        expected_etag: Option<&str>,
        body: &Value,
        now: Timestamp,
    ) -> Result<Change, TwinError> {
        let written = self.written(expected_etag, body)?;
        let mut twin = Self { version: self.version.saturating_add(1), tags: Map::new(), ..self.clone() };
        merge_values(&mut twin.tags, &written.tags.unwrap_or_default());
        check::sizes(SectionName::Tags, &twin.tags)?;
        twin.desired.replace(&written.desired.unwrap_or_default(), now, true);
        check::sizes(SectionName::Desired, twin.desired())?;
        let notice = (twin.desired_version(), json_bytes(&twin.desired.for_device()));
        let event = event::replace(&twin);
        Ok(twin.into_change(Some(notice), event))
    }

    /// Merges what the device reports. `if_version`, and a `$version` in the body, are the version that the reported properties
    /// must have.
    ///
    /// # Errors
    /// When they have another one, or the body breaks a rule.
    pub fn patch_reported(&self, if_version: Option<u64>, body: &[u8], now: Timestamp) -> Result<Change, TwinError> {
        let Value::Object(mut patch) = json::parse(body, Bounds::DEVICE)? else {
            return Err(TwinError::NotObject(SectionName::Reported.path().to_owned()));
        };
        let in_body = patch.shift_remove("$version").map(|version| version.as_u64().ok_or_else(not_a_version));
        let found = self.reported_version();
        for expected in [if_version, in_body.transpose()?].into_iter().flatten() {
            if expected != found {
                return Err(TwinError::Version { expected, found });
            }
        }
        self.report(&patch, now)
    }

    fn report(&self, patch: &Map<String, Value>, now: Timestamp) -> Result<Change, TwinError> {
        check::patch(SectionName::Reported, patch)?;
        let mut twin = self.clone();
        twin.reported.merge(patch, now, false);
        check::sizes(SectionName::Reported, twin.reported())?;
        let event = event::update(&twin, &Given { reported: Some(patch), ..Given::default() });
        Ok(twin.into_change(None, event))
    }

    fn into_change(self, desired_for_device: Option<(u64, Vec<u8>)>, event: TwinEvent) -> Change {
        Change { reported_version: self.reported_version(), twin: self, desired_for_device, event: Some(event) }
    }

    fn written(&self, expected_etag: Option<&str>, body: &Value) -> Result<Written, TwinError> {
        if !etag::matches(expected_etag, self.version) {
            return Err(TwinError::Etag { found: self.etag() });
        }
        let Value::Object(members) = body else { return Err(TwinError::NotObject("the body".to_owned())) };
        for misplaced in ["desired", "reported"] {
            if members.contains_key(misplaced) {
                let path = misplaced.to_owned();
                return Err(TwinError::Member { path, why: "belongs inside \"properties\"" });
            }
        }
        let properties = object(members, "properties", "properties")?;
        let desired = properties.map(|properties| section(properties, "desired", SectionName::Desired));
        Ok(Written { tags: section(members, "tags", SectionName::Tags)?, desired: desired.transpose()?.flatten() })
    }
}

/// A section as it was given, without the members that are the hub's own.
fn section(
    members: &Map<String, Value>,
    name: &str,
    section: SectionName,
) -> Result<Option<Map<String, Value>>, TwinError> {
    let Some(given) = object(members, name, section.path())? else { return Ok(None) };
    let mut given = given.clone();
    given.retain(|name, _| !matches!(name.as_str(), "$version" | "$metadata"));
    check::patch(section, &given)?;
    Ok(Some(given))
}

/// An object, if it is there; SDKs write null for what they leave out.
fn object<'a>(
    members: &'a Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<Option<&'a Map<String, Value>>, TwinError> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(TwinError::NotObject(path.to_owned())),
    }
}

fn not_a_version() -> TwinError {
    TwinError::Member { path: "properties.reported.$version".to_owned(), why: "is not a version" }
}
