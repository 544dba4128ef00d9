//! Scheduled jobs on several nodes, and across crashes.

use super::*;

#[test]
fn two_nodes_share_a_store_and_no_device_is_called_twice() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (Node::start(directory.path()), Node::start(directory.path()));
    let ids = ids(300);
    one.create(&ids);
    other.runtime.block_on(other.control.refresh());
    one.connect(&ids);
    other.connect(&ids);
    one.runtime.block_on(one.jobs.create_job("j", &method_job())).unwrap();
    let job = other.job("j", is_over);
    let numbers =
        json!({"deviceCount": 300, "failedCount": 0, "succeededCount": 300, "runningCount": 0, "pendingCount": 0});
    assert_eq!((&job["status"], &job["deviceJobStatistics"]), (&json!("completed"), &numbers));
    let (mut calls, more) = (one.killed(), other.killed());
    for (device, count) in more {
        *calls.entry(device).or_default() += count;
    }
    assert_eq!(calls.len(), 300);
    assert!(calls.values().all(|count| *count == 1), "{calls:?}");
}

#[test]
fn after_a_kill_another_node_goes_on_and_no_step_is_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let ids = ids(500);
    let first = Node::start(directory.path());
    first.create(&ids);
    // The second half is not there, so the job is in the middle when it is killed.
    first.connect(&ids[..250]);
    first.runtime.block_on(first.jobs.create_job("j", &method_job())).unwrap();
    first.job("j", |job| job["deviceJobStatistics"]["succeededCount"].as_u64().unwrap() > 20);
    let called_first = first.killed();

    let second = Node::start(directory.path());
    let before = second.runtime.block_on(second.jobs.job("j")).unwrap();
    let recorded = before["deviceJobStatistics"]["succeededCount"].as_u64().unwrap();
    assert!(recorded > 20 && before["status"] == "running", "{before}");
    let done_before: Vec<String> =
        second.rows("j").into_iter().filter(|(_, status)| status == "completed").map(|(device, _)| device).collect();
    assert_eq!(u64::try_from(done_before.len()).unwrap(), recorded, "rows and numbers were written together");
    second.connect(&ids);
    let job = second.job("j", is_over);
    assert_eq!((&job["status"], &job["deviceJobStatistics"]["succeededCount"]), (&json!("completed"), &json!(500)));
    let rows = second.rows("j");
    assert_eq!(rows.len(), 500);
    assert!(rows.values().all(|status| status == "completed"));
    let called_then = second.killed();
    for device in &done_before {
        assert!(!called_then.contains_key(device), "{device} was done and recorded");
    }
    for device in &ids {
        let calls = called_first.get(device).copied().unwrap_or(0) + called_then.get(device).copied().unwrap_or(0);
        assert!((1..=2).contains(&calls), "{device} was called {calls} times");
    }
}

#[test]
fn a_kill_while_devices_are_listed_neither_loses_nor_doubles_one() {
    let directory = tempfile::tempdir().unwrap();
    let ids = ids(3_000);
    let first = Node::start(directory.path());
    first.create(&ids);
    let body = json!({"type": "scheduleUpdateTwin", "queryCondition": "*", "updateTwin": {"tags": {"n": 1}}});
    first.runtime.block_on(first.jobs.create_job("j", &body)).unwrap();
    first.job("j", |job| job["deviceJobStatistics"]["deviceCount"].as_u64().unwrap() >= 250);
    first.killed();
    let second = Node::start(directory.path());
    let job = second.job("j", is_over);
    let numbers =
        json!({"deviceCount": 3_000, "failedCount": 0, "succeededCount": 3_000, "runningCount": 0, "pendingCount": 0});
    assert_eq!((&job["status"], &job["deviceJobStatistics"]), (&json!("completed"), &numbers));
    assert_eq!(second.rows("j").len(), 3_000);
    assert_eq!(second.twin("d02999", |_| true)["tags"], json!({"n": 1}));
}

#[test]
fn a_job_that_was_cancelled_just_before_a_kill_is_settled_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let ids = ids(300);
    let first = Node::start(directory.path());
    first.create(&ids);
    first.door.is_silent.store(true, std::sync::atomic::Ordering::Relaxed);
    first.connect(&ids);
    first.runtime.block_on(first.jobs.create_job("j", &method_job())).unwrap();
    first.job("j", |job| job["deviceJobStatistics"]["runningCount"].as_u64().unwrap() > 0);
    first.runtime.block_on(first.jobs.cancel_job("j")).unwrap();
    first.killed();
    let second = Node::start(directory.path());
    let job = second.job("j", is_over);
    assert_eq!((&job["status"], &job["deviceJobStatistics"]["failedCount"]), (&json!("cancelled"), &json!(300)));
    assert!(second.rows("j").values().all(|status| status == "canceled"));
    assert!(second.killed().is_empty(), "nobody was called any more");
}
