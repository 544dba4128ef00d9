//! Automatic configurations on several nodes, and across crashes.

use super::*;

fn configuration(value: i64) -> Value {
    json!({"targetCondition": "*", "priority": 1, "content": {"deviceContent": {"properties.desired.x": value}}})
}

#[test]
fn every_node_follows_a_configuration_that_one_has_taken() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (Node::start(directory.path()), Node::start(directory.path()));
    one.create(&ids(40));
    one.runtime.block_on(one.jobs.put_configuration("c", &configuration(1), None)).unwrap();
    let is_applied = |twin: &Value| twin["configurations"]["c"]["status"] == "Applied";
    let twin = other.twin("d00039", is_applied);
    assert_eq!(
        (&twin["properties"]["desired"]["x"], &twin["properties"]["desired"]["$version"]),
        (&json!(1), &json!(2)),
        "written once"
    );
    other.runtime.block_on(other.jobs.evaluated());
    let counted = other.runtime.block_on(other.jobs.configuration("c")).unwrap();
    assert_eq!(counted["systemMetrics"]["results"], json!({"targetedCount": 40, "appliedCount": 40}));
    other.runtime.block_on(other.jobs.put_configuration("c", &configuration(2), Some("*"))).unwrap();
    one.twin("d00000", |twin| twin["properties"]["desired"]["x"] == 2);
}

#[test]
fn notes_of_a_configuration_that_went_just_before_a_kill_are_taken_back() {
    let directory = tempfile::tempdir().unwrap();
    let first = Node::start(directory.path());
    first.create(&ids(20));
    first.runtime.block_on(first.jobs.put_configuration("c", &configuration(1), None)).unwrap();
    first.runtime.block_on(first.jobs.evaluated());
    first.twin("d00019", |twin| twin["configurations"]["c"]["status"] == "Applied");
    first.runtime.block_on(first.jobs.delete_configuration("c", None)).unwrap();
    first.killed();
    let second = Node::start(directory.path());
    let twin = second.twin("d00019", |twin| twin.get("configurations").is_none());
    assert_eq!(twin["properties"]["desired"]["x"], 1);
}
