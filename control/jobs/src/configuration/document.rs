//! A configuration as it is kept, and as the service sees it.
//! - Shape: `{id, schemaVersion, labels, content, contentType, targetCondition, createdTimeUtc, lastUpdatedTimeUtc, priority,
//!   systemMetrics, metrics, etag}`
//! - Invariants: a stored configuration can be carried out: content, condition and metrics were read and checked.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millrace_control_query::{Condition, Query, QueryError, Source};
use millrace_model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::content::Content;
use super::metrics::Counts;
use crate::error::JobError;
use crate::limits::{
    CONFIGURATION_BYTES_MAX, CONFIGURATION_ID_CHARACTERS_MAX, LABEL_CHARACTERS_MAX, LABELS_MAX, METRICS_MAX,
};
use crate::time;

/// Whose twins a configuration is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Devices.
    Device,
    /// Modules of edge devices, together.
    Deployment,
    /// Modules, each for itself.
    Module,
}

/// A configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    stored: Stored,
    condition: Condition,
    content: Content,
    metrics: Vec<(String, Query)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Stored {
    format: u32,
    id: String,
    /// Never the same twice for one id, also when it is deleted and comes again.
    stamp: i64,
    created: i64,
    updated: i64,
    priority: i64,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    target: String,
    content: Value,
    content_type: Option<String>,
    #[serde(default)]
    metrics: BTreeMap<String, String>,
}

/// The format that is written.
const FORMAT: u32 = 1;

impl Configuration {
    /// Reads what is asked for under `id`. `before` is the one that it replaces.
    ///
    /// # Errors
    /// When a member cannot be what it is.
    pub fn parse(id: &str, body: &Value, before: Option<&Self>, now: Timestamp) -> Result<Self, JobError> {
        check_id(id)?;
        let Value::Object(body) = body else { return Err(JobError::Format("a configuration is an object".to_owned())) };
        if text(body, "id")?.is_some_and(|given| given != id) {
            return Err(JobError::member("id", "is not the one in the path"));
        }
        let stamp = before.map_or(now.0, |before| now.0.max(before.stored.stamp.saturating_add(1)));
        let configuration = Self::checked(Stored {
            format: FORMAT,
            id: id.to_owned(),
            stamp,
            created: before.map_or(now.0, |before| before.stored.created),
            updated: now.0,
            priority: priority(body)?,
            labels: labels(body)?,
            target: text(body, "targetCondition")?.unwrap_or_default().to_owned(),
            content: body.get("content").cloned().unwrap_or_default(),
            content_type: text(body, "contentType")?.map(str::to_owned),
            metrics: metrics(body)?,
        })?;
        if configuration.encode().len() > CONFIGURATION_BYTES_MAX {
            return Err(JobError::TooLarge(CONFIGURATION_BYTES_MAX));
        }
        Ok(configuration)
    }

    /// Reads the stored form; `None` when it is none, or a newer program's.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(body).ok()?;
        if stored.format == FORMAT { Self::checked(stored).ok() } else { None }
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // There is nothing in it that cannot be written.
        serde_json::to_vec(&self.stored).unwrap_or_default()
    }

    fn checked(stored: Stored) -> Result<Self, JobError> {
        let content = Content::parse(&stored.content)?;
        let condition = Condition::parse(&stored.target)
            .map_err(|error| JobError::Query { member: "targetCondition".to_owned(), error })?;
        let sections = [!content.device.is_empty(), !content.module.is_empty(), !content.modules.is_empty()];
        if sections.iter().filter(|is_given| **is_given).count() > 1 {
            return Err(JobError::member("content", "has one of deviceContent, moduleContent and modulesContent"));
        }
        let of_modules = condition.source() == Source::Modules;
        if of_modules && (!content.device.is_empty() || !content.modules.is_empty()) {
            return Err(JobError::member("targetCondition", "is about modules, the content is not"));
        }
        if !of_modules && !content.module.is_empty() && !condition.is_empty() {
            return Err(JobError::member("targetCondition", "begins with FROM devices.modules WHERE for modules"));
        }
        let mut metrics = Vec::with_capacity(stored.metrics.len());
        for (name, text) in &stored.metrics {
            metrics.push((name.clone(), metric(name, text)?));
        }
        Ok(Self { stored, condition, content, metrics })
    }

    /// Names it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.stored.id
    }

    /// Changes with every change; not quoted.
    #[must_use]
    pub fn etag(&self) -> String {
        STANDARD.encode(self.stored.stamp.to_be_bytes())
    }

    /// Whether an `If-Match`, quoted or not, means this state of it.
    #[must_use]
    pub fn is_meant(&self, if_match: &str) -> bool {
        let wanted = if_match.trim().trim_matches('"');
        wanted == "*" || wanted == self.etag()
    }

    /// Whose twins it is about.
    #[must_use]
    pub fn kind(&self) -> Kind {
        if self.condition.source() == Source::Modules {
            Kind::Module
        } else if self.content.modules.is_empty() {
            Kind::Device
        } else {
            Kind::Deployment
        }
    }

    /// What twins it means.
    #[must_use]
    pub const fn condition(&self) -> &Condition {
        &self.condition
    }

    /// What they are to hold.
    #[must_use]
    pub const fn content(&self) -> &Content {
        &self.content
    }

    /// Queries whose matches are counted.
    #[must_use]
    pub fn metrics(&self) -> &[(String, Query)] {
        &self.metrics
    }

    /// What comes first is applied: the highest priority, then the newest.
    #[must_use]
    pub fn rank(&self) -> impl Ord + use<> {
        (std::cmp::Reverse((self.stored.priority, self.stored.created)), self.stored.id.clone())
    }

    /// What the service reads.
    #[must_use]
    pub fn response(&self, counts: &Counts) -> Value {
        let mut response = Map::new();
        let mut put = |name: &str, value: Value| drop(response.insert(name.to_owned(), value));
        let stored = &self.stored;
        put("id", stored.id.as_str().into());
        put("schemaVersion", "1.0".into());
        put("labels", text_map(&stored.labels));
        put("content", self.content.json().clone());
        put("contentType", stored.content_type.as_deref().unwrap_or("assignment").into());
        put("targetCondition", stored.target.as_str().into());
        put("createdTimeUtc", time::json(Timestamp(stored.created)));
        put("lastUpdatedTimeUtc", time::json(Timestamp(stored.updated)));
        put("priority", stored.priority.into());
        put("systemMetrics", counts.system(self));
        put("metrics", counts.custom(self, text_map(&stored.metrics)));
        put("etag", self.etag().into());
        Value::Object(response)
    }
}

/// Reads the query of a metric.
///
/// # Errors
/// When it cannot be understood, or does not ask for devices or modules.
pub(super) fn metric(name: &str, text: &str) -> Result<Query, JobError> {
    let refused = |error: QueryError| JobError::Query { member: format!("metrics.queries.{name}"), error };
    let query = Query::parse(text).map_err(refused)?;
    if matches!(query.source(), Source::Devices | Source::Modules) {
        return Ok(query);
    }
    Err(JobError::member(format!("metrics.queries.{name}"), "asks for neither devices nor devices.modules"))
}

/// Checks that a text may name a configuration.
fn check_id(id: &str) -> Result<(), JobError> {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-+%_*!'".contains(&byte);
    if (1..=CONFIGURATION_ID_CHARACTERS_MAX).contains(&id.len()) && id.bytes().all(is_allowed) {
        return Ok(());
    }
    Err(JobError::member("id", "has 1 to 128 lower-case letters, digits and any of -+%_*!'"))
}

fn priority(body: &Map<String, Value>) -> Result<i64, JobError> {
    match body.get("priority") {
        None | Some(Value::Null) => Ok(0),
        Some(value) => {
            let priority = value.as_i64().filter(|priority| (0..=i64::from(i32::MAX)).contains(priority));
            priority.ok_or_else(|| JobError::member("priority", "is a number from 0 on"))
        }
    }
}

fn labels(body: &Map<String, Value>) -> Result<BTreeMap<String, String>, JobError> {
    let labels = texts(body.get("labels"), "labels")?;
    let is_short = |text: &String| text.chars().count() <= LABEL_CHARACTERS_MAX;
    if labels.len() > LABELS_MAX || !labels.iter().all(|(name, value)| is_short(name) && is_short(value)) {
        return Err(JobError::member("labels", "are at most 20, of at most 255 characters"));
    }
    Ok(labels)
}

fn metrics(body: &Map<String, Value>) -> Result<BTreeMap<String, String>, JobError> {
    let queries = body.get("metrics").and_then(|metrics| metrics.get("queries"));
    let metrics = texts(queries, "metrics.queries")?;
    if metrics.len() > METRICS_MAX {
        return Err(JobError::member("metrics.queries", format!("are at most {METRICS_MAX}")));
    }
    Ok(metrics)
}

/// An object with nothing but texts; nulls count as left out.
fn texts(value: Option<&Value>, member: &str) -> Result<BTreeMap<String, String>, JobError> {
    let members = match value {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(members)) => members,
        Some(_) => return Err(JobError::member(member, "is not an object")),
    };
    let given = members.iter().filter(|(_, value)| !value.is_null());
    given
        .map(|(name, value)| {
            let text = value.as_str().ok_or_else(|| JobError::member(format!("{member}.{name}"), "is not a text"))?;
            Ok((name.clone(), text.to_owned()))
        })
        .collect()
}

fn text<'a>(body: &'a Map<String, Value>, member: &str) -> Result<Option<&'a str>, JobError> {
    match body.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(JobError::member(member, "is not a text")),
    }
}

fn text_map(texts: &BTreeMap<String, String>) -> Value {
    texts.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str()))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp(1_714_557_600_000);

    fn parse(body: Value) -> Result<Configuration, JobError> {
        Configuration::parse("c1", &body, None, NOW)
    }

    fn python() -> Value {
        json!({"id": "c1", "schemaVersion": "1.0", "labels": {"a": "b"}, "priority": 10, "targetCondition": "tags.site='A'",
            "content": {"deviceContent": {"properties.desired.x": {"y": 1}}, "modulesContent": {}, "moduleContent": {}},
            "metrics": {"queries": {"good": "SELECT deviceId FROM devices WHERE properties.reported.ok = true"}, "results": {}},
            "systemMetrics": null, "contentType": "assignment", "etag": "x"})
    }

    #[test]
    fn configurations_are_read_kept_and_shown() {
        let configuration = parse(python()).unwrap();
        assert_eq!(configuration.kind(), Kind::Device);
        let back = Configuration::decode(&configuration.encode()).unwrap();
        assert_eq!(back, configuration);
        let shown = back.response(&Counts::default());
        assert_eq!(
            (&shown["priority"], &shown["labels"], &shown["etag"]),
            (&json!(10), &json!({"a": "b"}), &json!(configuration.etag()))
        );
        assert_eq!(shown["metrics"]["results"], json!({"good": 0}));
        assert_eq!(shown["systemMetrics"]["results"]["targetedCount"], 0);
        assert!(configuration.is_meant("\"*\"") && configuration.is_meant(&format!("\"{}\"", configuration.etag())));
        let changed = Configuration::parse("c1", &python(), Some(&configuration), NOW).unwrap();
        assert!(!changed.is_meant(&configuration.etag()));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let changes: [(&str, Value); 11] = [
            ("id", json!("other")),
            ("priority", json!(-1)),
            ("priority", json!("high")),
            ("labels", json!({"a": 1})),
            ("targetCondition", json!("tags.site =")),
            ("targetCondition", json!("FROM devices.modules WHERE moduleId = 'm'")),
            ("targetCondition", json!("'; DROP TABLE document; --")),
            ("content", json!({"deviceContent": {"tags": 1}})),
            (
                "content",
                json!({"deviceContent": {"properties.desired.x": 1}, "modulesContent": {"m": {"properties.desired": {}}}}),
            ),
            ("content", json!({"moduleContent": {"properties.desired.x": 1}})),
            ("metrics", json!({"queries": {"q": "SELECT * FROM devices.jobs"}})),
        ];
        for (member, value) in changes {
            let mut body = python();
            body[member] = value.clone();
            assert!(parse(body).is_err(), "{member} {value}");
        }
        for id in ["", "UPPER", "a/b", &"x".repeat(129)] {
            assert!(Configuration::parse(id, &json!({}), None, NOW).is_err(), "{id}");
        }
    }

    #[test]
    fn the_highest_and_newest_comes_first() {
        let with = |priority: i64, at: i64| {
            let body = json!({"priority": priority, "targetCondition": "*"});
            Configuration::parse("c1", &body, None, Timestamp(at)).unwrap()
        };
        let mut all = [with(1, 5), with(2, 1), with(1, 9)];
        all.sort_by_key(Configuration::rank);
        let order: Vec<_> = all.iter().map(|one| (one.stored.priority, one.stored.created)).collect();
        assert_eq!(order, [(2, 1), (1, 9), (1, 5)]);
    }
}
