//! Groups, with a store that only counts.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use super::*;
use crate::documents::{Collection, DocumentKey, Precondition, Write};

/// Remembers the size of each group, and waits to be let go. A body of `poison` fails the group before its commit, `lost` in it.
#[derive(Default)]
struct Counter {
    commits: AtomicUsize,
    members: AtomicUsize,
    go: Notify,
}

impl Commit for Arc<Counter> {
    fn commit<'a>(&'a self, group: &'a Group) -> Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send + 'a>> {
        Box::pin(async move {
            self.go.notified().await;
            self.go.notify_one();
            let has = |text: &str| {
                let mut bodies =
                    group.batches.iter().flat_map(|batch| &batch.writes).filter_map(|write| write.body.as_ref());
                bodies.any(|body| body == text.as_bytes())
            };
            if has("poison") {
                return Err(Failure::RolledBack(RegistryError::Corrupt { what: "body" }));
            }
            if has("busy") {
                return Err(Failure::RolledBack(RegistryError::Busy));
            }
            if has("lost") {
                return Err(Failure::Unknown(sqlx::Error::PoolClosed.into()));
            }
            self.commits.fetch_add(1, Ordering::Relaxed);
            self.members.fetch_add(group.len(), Ordering::Relaxed);
            let batches = group.batches.iter().map(|batch| Ok(vec![1; batch.writes.len()])).collect();
            Ok(Outcome { orders: Vec::new(), batches })
        })
    }
}

fn batch(body: &str) -> Batch {
    let key = DocumentKey::new(Collection::State, "", "x");
    Batch { identity: None, writes: vec![Write::put(key, Precondition::Any, body.as_bytes().to_vec())] }
}

/// Asks for all at once, behind one that holds the task until all are waiting.
async fn all(bodies: &[&str]) -> (Arc<Counter>, Vec<Result<Vec<i64>, ApplyError>>) {
    let counter = Arc::new(Counter::default());
    let group = GroupCommit::start(Arc::clone(&counter));
    let mut callers = Vec::new();
    for body in ["first"].iter().chain(bodies) {
        let (group, batch) = (group.clone(), batch(body));
        callers.push(tokio::spawn(async move { group.apply(batch).await }));
        tokio::task::yield_now().await;
    }
    counter.go.notify_one();
    let mut answers = Vec::new();
    for caller in callers {
        answers.push(caller.await.unwrap());
    }
    assert!(answers.remove(0).is_ok());
    (counter, answers)
}

#[tokio::test]
async fn those_who_wait_share_a_commit() {
    let (counter, answers) = all(&["x"; 600]).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|versions| versions == &[1])));
    assert_eq!(counter.members.load(Ordering::Relaxed), 601);
    let commits = counter.commits.load(Ordering::Relaxed);
    assert_eq!(commits, 1 + 600_usize.div_ceil(GROUP_MEMBERS_MAX));
}

#[tokio::test]
async fn one_that_fails_fails_alone() {
    let (counter, answers) = all(&["x", "poison", "y"]).await;
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert!(matches!(answers[1], Err(ApplyError::Store(RegistryError::Corrupt { .. }))));
    assert_eq!(counter.commits.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_busy_store_is_not_asked_once_for_each() {
    let (counter, answers) = all(&["x", "busy", "y"]).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(ApplyError::Store(RegistryError::Busy)))));
    assert_eq!(counter.commits.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn after_a_commit_that_failed_nothing_is_tried_again() {
    let (counter, answers) = all(&["x", "lost"]).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(ApplyError::Store(RegistryError::Unavailable { .. })))));
    assert_eq!(counter.commits.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn closing_carries_out_what_waits_and_takes_nothing_more() {
    let counter = Arc::new(Counter::default());
    let group = GroupCommit::start(Arc::clone(&counter));
    let waiting = tokio::spawn({
        let group = group.clone();
        async move { group.apply(batch("x")).await }
    });
    tokio::task::yield_now().await;
    let closing = tokio::spawn({
        let group = group.clone();
        async move { group.close().await }
    });
    tokio::task::yield_now().await;
    counter.go.notify_one();
    closing.await.unwrap();
    assert!(waiting.await.unwrap().is_ok());
    let late = group.apply(batch("y")).await;
    assert!(matches!(late, Err(ApplyError::Store(RegistryError::Unavailable { .. }))));
    group.close().await;
}

#[tokio::test]
async fn work_whose_caller_went_away_is_done() {
    let counter = Arc::new(Counter::default());
    let group = GroupCommit::start(Arc::clone(&counter));
    let gone = timeout(Duration::from_millis(1), group.apply(batch("x"))).await;
    assert!(gone.is_err());
    counter.go.notify_one();
    group.close().await;
    assert_eq!(counter.members.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn callers_wait_when_too_many_bytes_do() {
    let counter = Arc::new(Counter::default());
    let group = GroupCommit::start(Arc::clone(&counter));
    let large = || {
        let key = |n: usize| DocumentKey::new(Collection::State, "", &n.to_string());
        let write = |n| Write::put(key(n), Precondition::Any, vec![0; 1 << 20]);
        Batch { identity: None, writes: (0..15).map(write).collect() }
    };
    let mut callers = Vec::new();
    for _ in 0..8 {
        let (group, batch) = (group.clone(), large());
        callers.push(tokio::spawn(async move { group.apply(batch).await }));
    }
    tokio::task::yield_now().await;
    assert!(group.room.available_permits() < 15 * 1024, "room for four of them");
    counter.go.notify_one();
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap(), [1; 15]);
    }
    assert_eq!(group.room.available_permits(), QUEUE_KIBIBYTES_MAX);
}
