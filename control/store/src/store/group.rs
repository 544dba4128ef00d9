//! Group commit: what is asked of a store at the same time goes into one transaction, so that many callers share one sync.
//! - Shape: callers -> bounded queue -> one task, which takes all that wait, has them committed, and answers.
//! - Invariants: nobody is answered `Ok` before the commit. Members of a group share a transaction, never a fate: a refusal is
//!   the refused one's alone, and when a statement fails, each member is tried again by itself. Work whose caller has gone away is done all the same.
//! - Limits: at most [`GROUP_MEMBERS_MAX`] in a group, [`QUEUE_MEMBERS_MAX`] and [`QUEUE_KIBIBYTES_MAX`] waiting; beyond that callers wait.
//! - Errors: when a commit itself fails, nobody knows what became of it: all its members hear [`RegistryError::Unavailable`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::documents::{ApplyError, Batch};
use crate::error::RegistryError;
use crate::events;
use crate::limits::{GROUP_MEMBERS_MAX, QUEUE_KIBIBYTES_MAX, QUEUE_MEMBERS_MAX};
use crate::registry::{Expected, IdentityName, Record, Update};
use crate::store::plan;

/// A change of one identity.
#[derive(Debug)]
pub(super) enum Order {
    /// Add it.
    Create(Record),
    /// Change it if it is in the expected state.
    Update(IdentityName, Expected, Update),
    /// Remove it if it is in the expected state.
    Delete(IdentityName, Expected),
}

/// What goes into one transaction: orders first, then batches.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) orders: Vec<Order>,
    pub(super) batches: Vec<Batch>,
}

/// What became of each member of a group; in their order.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The identities as they are now, or as they were before they were removed.
    pub(super) orders: Vec<Result<Record, RegistryError>>,
    pub(super) batches: Vec<Result<Vec<i64>, ApplyError>>,
}

/// Why a whole group failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing was done.
    RolledBack(RegistryError),
    /// The commit failed.
    Unknown(RegistryError),
}

/// What carries a group out in one transaction.
pub(super) trait Commit: Send + Sync + 'static {
    fn commit<'a>(&'a self, group: &'a Group) -> Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send + 'a>>;
}

/// The way to the task that commits.
#[derive(Debug, Clone)]
pub(super) struct GroupCommit {
    queue: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
}

type Answer<T, E> = oneshot::Sender<Result<T, E>>;

#[derive(Debug)]
enum Job {
    Order(Box<Order>, Answer<Record, RegistryError>),
    Batch(Batch, Answer<Vec<i64>, ApplyError>, OwnedSemaphorePermit),
    Close(oneshot::Sender<()>),
}

/// Who waits for the members of a group.
#[derive(Debug, Default)]
struct Waiting {
    orders: Vec<Answer<Record, RegistryError>>,
    batches: Vec<(Answer<Vec<i64>, ApplyError>, OwnedSemaphorePermit)>,
    closers: Vec<oneshot::Sender<()>>,
}

impl GroupCommit {
    /// Starts the task on the current runtime. It ends when the last handle is gone.
    pub(super) fn start(commit: impl Commit) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE_MEMBERS_MAX);
        drop(tokio::spawn(run(commit, jobs)));
        Self { queue, room: Arc::new(Semaphore::new(QUEUE_KIBIBYTES_MAX)) }
    }

    pub(super) async fn order(&self, order: Order) -> Result<Record, RegistryError> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(Job::Order(Box::new(order), answer)).await.map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    pub(super) async fn apply(&self, batch: Batch) -> Result<Vec<i64>, ApplyError> {
        let kibibytes = u32::try_from(plan::bytes(&batch)?.div_ceil(1024)).map_err(|_| ApplyError::TooLarge)?;
        let room = Arc::clone(&self.room).acquire_many_owned(kibibytes).await.map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        self.queue.send(Job::Batch(batch, answer, room)).await.map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(closed().into()))
    }

    /// Carries out what waits, and takes nothing more.
    pub(super) async fn close(&self) {
        let (answer, answered) = oneshot::channel();
        if self.queue.send(Job::Close(answer)).await.is_ok() {
            // An error would mean that the task is gone already, which is what we want.
            drop(answered.await);
        }
    }
}

fn closed() -> RegistryError {
    RegistryError::Unavailable { why: "it is closed".to_owned() }
}

async fn run(commit: impl Commit, mut jobs: mpsc::Receiver<Job>) {
    let mut taken = Vec::with_capacity(GROUP_MEMBERS_MAX);
    let mut closers = Vec::new();
    while jobs.recv_many(&mut taken, GROUP_MEMBERS_MAX).await > 0 {
        let (group, mut waiting) = split(taken.drain(..));
        if !waiting.closers.is_empty() {
            jobs.close();
            closers.append(&mut waiting.closers);
        }
        answer(&commit, group, waiting).await;
    }
    for closer in closers {
        // Whoever no longer waits for the end need not hear of it.
        closer.send(()).unwrap_or_default();
    }
}

fn split(jobs: impl Iterator<Item = Job>) -> (Group, Waiting) {
    let (mut group, mut waiting) = (Group::default(), Waiting::default());
    for job in jobs {
        match job {
            Job::Order(order, answer) => {
                group.orders.push(*order);
                waiting.orders.push(answer);
            }
            Job::Batch(batch, answer, room) => {
                group.batches.push(batch);
                waiting.batches.push((answer, room));
            }
            Job::Close(closer) => waiting.closers.push(closer),
        }
    }
    (group, waiting)
}

async fn answer(commit: &impl Commit, group: Group, waiting: Waiting) {
    let members = group.len();
    if members == 0 {
        return;
    }
    let outcome = match commit.commit(&group).await {
        Ok(outcome) => outcome,
        Err(Failure::RolledBack(error)) if members > 1 && is_of_one(&error) => one_by_one(commit, group).await,
        Err(Failure::RolledBack(error) | Failure::Unknown(error)) => failed(&group, error),
    };
    events::committed(members);
    // Whoever has gone away does not hear it.
    for (answer, result) in waiting.orders.into_iter().zip(outcome.orders) {
        drop(answer.send(result));
    }
    for ((answer, _room), result) in waiting.batches.into_iter().zip(outcome.batches) {
        drop(answer.send(result));
    }
}

/// Whether it may be the fault of one member: a store that is busy or away fails all alike.
fn is_of_one(error: &RegistryError) -> bool {
    matches!(error, RegistryError::Corrupt { .. })
        || matches!(error, RegistryError::Store(cause) if matches!(cause, sqlx::Error::Database(_) | sqlx::Error::Encode(_)))
}

async fn one_by_one(commit: &impl Commit, group: Group) -> Outcome {
    let mut outcome = Outcome::default();
    for order in group.orders {
        let alone = Group { orders: vec![order], batches: Vec::new() };
        let result = commit.commit(&alone).await;
        outcome.orders.extend(result.unwrap_or_else(|failure| failed(&alone, failure.into_error())).orders);
    }
    for batch in group.batches {
        let alone = Group { orders: Vec::new(), batches: vec![batch] };
        let result = commit.commit(&alone).await;
        outcome.batches.extend(result.unwrap_or_else(|failure| failed(&alone, failure.into_error())).batches);
    }
    outcome
}

/// The same error for all.
fn failed(group: &Group, error: RegistryError) -> Outcome {
    if group.len() == 1 {
        // One of the two is empty, so the error goes to the one member there is.
        return match group.orders.is_empty() {
            true => Outcome { orders: Vec::new(), batches: vec![Err(error.into())] },
            false => Outcome { orders: vec![Err(error)], batches: Vec::new() },
        };
    }
    let again = || match &error {
        RegistryError::Busy => RegistryError::Busy,
        RegistryError::Store(cause) => RegistryError::Unavailable { why: cause.to_string() },
        other => RegistryError::Unavailable { why: other.to_string() },
    };
    Outcome {
        orders: group.orders.iter().map(|_| Err(again())).collect(),
        batches: group.batches.iter().map(|_| Err(again().into())).collect(),
    }
}

impl Group {
    fn len(&self) -> usize {
        self.orders.len().saturating_add(self.batches.len())
    }
}

impl Failure {
    fn into_error(self) -> RegistryError {
        let (Self::RolledBack(error) | Self::Unknown(error)) = self;
        error
    }
}

#[cfg(test)]
mod tests;
