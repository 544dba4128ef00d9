//! Twins against a naive model: the same values, versions that neither skip nor go back, devices that can follow.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{NOW, naive_merge, patches};
use crate::{Change, Twin, TwinError};
use millrace_model::Timestamp;

/// What can happen to a twin.
#[derive(Debug, Clone)]
enum Step {
    Patch { tags: Option<Value>, desired: Option<Value> },
    Replace { tags: Option<Value>, desired: Option<Value> },
    Report(Value),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let section = || prop::option::of(patches());
    let step = prop_oneof![
        3 => (section(), section()).prop_map(|(tags, desired)| Step::Patch { tags, desired }),
        1 => (section(), section()).prop_map(|(tags, desired)| Step::Replace { tags, desired }),
        3 => patches().prop_map(Step::Report),
    ];
    prop::collection::vec(step, 0..12)
}

fn body(tags: Option<&Value>, desired: Option<&Value>) -> Value {
    let mut body = json!({ "properties": {} });
    if let Some(tags) = tags {
        body["tags"] = tags.clone();
    }
    if let Some(desired) = desired {
        body["properties"]["desired"] = desired.clone();
    }
    body
}

fn take(twin: &Twin, step: &Step, now: Timestamp) -> Change {
    let etag = twin.etag();
    match step {
        Step::Patch { tags, desired } => {
            twin.patch_service(Some(&etag), &body(tags.as_ref(), desired.as_ref()), now).unwrap()
        }
        Step::Replace { tags, desired } => {
            twin.replace_service(Some(&etag), &body(tags.as_ref(), desired.as_ref()), now).unwrap()
        }
        Step::Report(patch) => {
            twin.patch_reported(Some(twin.reported_version()), patch.to_string().as_bytes(), now).unwrap()
        }
    }
}

/// What a twin is, seen naively.
#[derive(Debug, Clone, PartialEq)]
struct Naive {
    tags: Value,
    desired: Value,
    reported: Value,
    versions: [u64; 3],
}

impl Naive {
    fn take(&mut self, step: &Step) {
        let nothing = json!({});
        let [root, desired_version, reported_version] = &mut self.versions;
        match step {
            Step::Patch { tags, desired } => {
                *root += 1;
                *desired_version += u64::from(desired.is_some());
                self.tags = naive_merge(&self.tags, tags.as_ref().unwrap_or(&nothing));
                self.desired = naive_merge(&self.desired, desired.as_ref().unwrap_or(&nothing));
            }
            Step::Replace { tags, desired } => {
                *root += 1;
                *desired_version += 1;
                self.tags = naive_merge(&nothing, tags.as_ref().unwrap_or(&nothing));
                self.desired = naive_merge(&nothing, desired.as_ref().unwrap_or(&nothing));
            }
            Step::Report(patch) => {
                *reported_version += 1;
                self.reported = naive_merge(&self.reported, patch);
            }
        }
    }

    fn of(twin: &Twin) -> Self {
        let value = |members: &Map<String, Value>| Value::Object(members.clone());
        Self {
            tags: value(twin.tags()),
            desired: value(twin.desired()),
            reported: value(twin.reported()),
            versions: [twin.root_version(), twin.desired_version(), twin.reported_version()],
        }
    }
}

/// A node for every member and no other, none newer than what it is in.
fn check_metadata(values: &Map<String, Value>, metadata: &Value) {
    let nodes = metadata.as_object().unwrap();
    let names: Vec<_> = nodes.keys().filter(|name| !name.starts_with('$')).collect();
    assert_eq!(names.len(), values.len());
    for (name, value) in values {
        let node = &nodes[name];
        assert!(node["$lastUpdated"].as_str() <= metadata["$lastUpdated"].as_str());
        assert!(node["$lastUpdatedVersion"].as_u64() <= metadata["$lastUpdatedVersion"].as_u64());
        let nothing = Map::new();
        check_metadata(value.as_object().unwrap_or(&nothing), node);
    }
}

/// A device's own copy of the desired properties, kept by the notices alone.
fn follow(copy: &mut Value, version: &mut u64, step: &Step, change: &Change) {
    let Some((told, notice)) = &change.desired_for_device else { return };
    let notice: Value = serde_json::from_slice(notice).unwrap();
    assert_eq!((notice["$version"].as_u64(), *told), (Some(*told), *version + 1));
    *version = *told;
    *copy = if matches!(step, Step::Replace { .. }) { notice } else { naive_merge(copy, &notice) };
}

proptest! {
    #[test]
    fn twins_are_what_a_naive_merge_makes_of_them(steps in steps()) {
        let mut twin = Twin::fresh();
        let mut naive = Naive::of(&twin);
        let (mut copy, mut version) = (json!({ "$version": 1 }), 1);
        for (step, tick) in steps.iter().zip(0..) {
            let change = take(&twin, step, Timestamp(NOW.0 + tick));
            naive.take(step);
            prop_assert_eq!(Naive::of(&change.twin), naive.clone());
            prop_assert_eq!(change.reported_version, naive.versions[2]);
            follow(&mut copy, &mut version, step, &change);
            let seen: Value = serde_json::from_slice(&change.twin.device_view()).unwrap();
            prop_assert_eq!(&seen["desired"], &copy);
            let view = change.twin.service_view(&crate::IdentityFacts::default());
            check_metadata(change.twin.desired(), &view["properties"]["desired"]["$metadata"]);
            check_metadata(change.twin.reported(), &view["properties"]["reported"]["$metadata"]);
            prop_assert_eq!(&Twin::decode(&change.twin.encode()).unwrap(), &change.twin);
            twin = change.twin;
        }
    }

    #[test]
    fn one_patch_that_says_what_two_say_does_what_they_do(base in patches(), one in patches(), two in patches()) {
        if let Some(both) = composed(&one, &two) {
            let start = super::twin(json!({}), &base);
            let report = |twin: &Twin, patch: &Value| {
                twin.patch_reported(None, patch.to_string().as_bytes(), NOW).unwrap().twin
            };
            let at_once = report(&start, &both);
            let in_turn = report(&report(&start, &one), &two);
            prop_assert_eq!(at_once.reported(), in_turn.reported());
        }
    }

    #[test]
    fn an_event_tells_the_versions_and_the_patch(step in steps().prop_map(|steps| steps.into_iter().next())) {
        if let Some(Step::Patch { tags, desired }) = step {
            let change = take(&Twin::fresh(), &Step::Patch { tags: tags.clone(), desired: desired.clone() }, NOW);
            let body: Value = serde_json::from_slice(&change.event.unwrap().body).unwrap();
            prop_assert_eq!(&body["version"], &json!(2));
            prop_assert_eq!(body.get("tags"), tags.as_ref());
            let mut told = body["properties"]["desired"].clone();
            if let Some(members) = told.as_object_mut() {
                members.retain(|name, _| !name.starts_with('$'));
            }
            prop_assert_eq!(told, desired.unwrap_or_default());
        }
    }
}

/// The patch that does what one and then the other does; `None` where a merge patch cannot say it, because the second puts an
/// object where the first takes something away.
fn composed(one: &Value, two: &Value) -> Option<Value> {
    let (Value::Object(first), Value::Object(second)) = (one, two) else {
        return (!two.is_object()).then(|| two.clone());
    };
    let mut both = first.clone();
    for (name, value) in second {
        let value = match first.get(name) {
            None => value.clone(),
            Some(before) => composed(before, value)?,
        };
        both.insert(name.clone(), value);
    }
    Some(Value::Object(both))
}

#[test]
fn a_write_for_another_etag_changes_nothing() {
    let twin = Twin::fresh();
    let patched = twin.patch_service(Some("\"AAAAAAAAAAE=\""), &json!({}), NOW).unwrap().twin;
    assert_eq!((patched.root_version(), patched.desired_version()), (2, 1), "an empty patch counts as a write");
    for result in [
        patched.patch_service(Some("AAAAAAAAAAE="), &json!({}), NOW),
        patched.replace_service(Some("AAAAAAAAAAE="), &json!({}), NOW),
    ] {
        assert_eq!(result, Err(TwinError::Etag { found: "AAAAAAAAAAI=".to_owned() }));
    }
}

#[test]
fn a_report_for_another_version_changes_nothing() {
    let twin = Twin::fresh();
    assert_eq!(twin.patch_reported(Some(2), b"{}", NOW), Err(TwinError::Version { expected: 2, found: 1 }));
    assert_eq!(
        twin.patch_reported(Some(1), br#"{"$version":7,"a":1}"#, NOW),
        Err(TwinError::Version { expected: 7, found: 1 })
    );
    let change = twin.patch_reported(None, br#"{"$version":1,"a":1}"#, NOW).unwrap();
    assert_eq!(change.reported_version, 2);
    assert_eq!(Value::Object(change.twin.reported().clone()), json!({"a": 1}));
    assert!(change.desired_for_device.is_none(), "the device is not told what it said");
}

#[test]
fn a_whole_twin_may_be_sent_back() {
    let twin = super::twin(json!({"interval": 10}), &json!({"fw": "1"}));
    let facts = crate::IdentityFacts { device_id: "d1", ..Default::default() };
    let view = twin.service_view(&facts);
    let change = twin.patch_service(Some("*"), &view, NOW).unwrap();
    assert_eq!(change.twin.desired(), twin.desired());
    assert_eq!(change.twin.reported_version(), twin.reported_version());
    let again = change.twin.replace_service(None, &change.twin.service_view(&facts), NOW).unwrap();
    assert_eq!(again.twin.desired(), twin.desired());
}

#[test]
fn configurations_and_the_model_leave_the_versions_alone() {
    let mut twin = Twin::fresh();
    assert!(twin.set_model_id(Some("dtmi:a;1")) && !twin.set_model_id(Some("dtmi:a;1")));
    assert_eq!(twin.set_configuration("c1", Some("Targeted")), Ok(true));
    assert_eq!(twin.set_configuration("c1", Some("Targeted")), Ok(false));
    assert_eq!(twin.set_configuration(&"c".repeat(200), Some("Targeted")), Err(TwinError::Configurations));
    for number in 2..=100 {
        assert_eq!(twin.set_configuration(&format!("c{number}"), Some("Applied")), Ok(true));
    }
    assert_eq!(twin.set_configuration("c101", Some("Applied")), Err(TwinError::Configurations));
    assert_eq!(twin.set_configuration("c1", Some("Applied")), Ok(true));
    assert_eq!(twin.set_configuration("c1", None), Ok(true));
    assert_eq!(twin.configurations().count(), 99);
    assert_eq!((twin.root_version(), Twin::decode(&twin.encode()).unwrap()), (1, twin.clone()));
    assert!(twin.set_model_id(None) && twin.model_id().is_none());
}
