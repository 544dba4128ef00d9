//! Who does imports and exports: one task on each node, one of them at a time.

use std::time::Duration;

use millrace_control_store::clock;
use millrace_control_store::documents::{Collection, DocumentKey, Precondition, WRITES_MAX, Write};
use millrace_model::{HubError, Timestamp};
use tokio::time::timeout;

use super::job::{Progress, Transfer};
use super::request::TransferKind;
use super::service::{TRANSFER, active_key, decoded, key};
use crate::documents::{self, WriteError};
use crate::events;
use crate::jobs::Jobs;

/// An import or export that this node works on, as it last wrote it.
pub(super) struct Held {
    pub(super) transfer: Transfer,
    version: i64,
}

/// Why work stops before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// It was cancelled, or another node works on it.
    Lost,
    /// It cannot be carried out, whoever tries; why, in words for whoever asked for it.
    Impossible(String),
    /// The store failed; it is tried again.
    Failed(HubError),
}

impl From<HubError> for Stop {
    fn from(error: HubError) -> Self {
        Self::Failed(error)
    }
}

impl Jobs {
    /// Looks for an import or export, and works on it.
    pub(crate) async fn run_transfers(&self) {
        let poll = Duration::from_secs(self.shared.settings.jobs.poll_seconds);
        let mut pause = Duration::ZERO;
        loop {
            // Whoever puts one in wakes this; one of another node is found at the next look.
            drop(timeout(pause, self.shared.wake_transfer.notified()).await);
            pause = self.work_on_transfer().await.unwrap_or_else(|error| {
                events::job_waits(TRANSFER, &error);
                poll
            });
            pause = pause.min(poll);
        }
    }

    /// Answers how long there is nothing to do.
    async fn work_on_transfer(&self) -> Result<Duration, HubError> {
        let Some(id) = self.active_transfer().await? else {
            self.remove_old_transfers().await?;
            return Ok(Duration::MAX);
        };
        let (transfer, version) = self.read_transfer(&id).await?;
        let (now, due) = (clock::now(), transfer.due(self.shared.runner));
        if due > now {
            return Ok(Duration::from_millis(u64::try_from(due.0.saturating_sub(now.0)).unwrap_or_default()));
        }
        let mut held = Held { transfer, version };
        let outcome = match held.transfer.request().kind {
            TransferKind::Export => self.export(&mut held).await,
            TransferKind::Import => self.import(&mut held).await,
        };
        match outcome {
            Ok(()) => self.end_transfer(&held, None).await,
            Err(Stop::Impossible(why)) => self.end_transfer(&held, Some(&why)).await,
            Err(Stop::Lost) => Ok(Duration::from_secs(1)),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    async fn end_transfer(&self, held: &Held, failure: Option<&str>) -> Result<Duration, HubError> {
        let ended = held.transfer.ended(failure, clock::now());
        let writes = vec![
            Write::put(key(ended.id()), Precondition::Version(held.version), ended.encode()),
            Write::remove(active_key(), Precondition::Any),
        ];
        match documents::apply(&self.shared.control, writes).await {
            Ok(_) => events::job_ended(ended.id(), ended.status().as_str()),
            Err(WriteError::Conflict) => {}
            Err(WriteError::Failed(error)) => return Err(error),
        }
        self.remove_error_pages(ended.id()).await?;
        Ok(Duration::ZERO)
    }

    /// Writes how far it is, together with what belongs to that, and renews the lease.
    pub(super) async fn advance(&self, held: &mut Held, progress: Progress, with: Vec<Write>) -> Result<(), Stop> {
        let seconds = self.shared.settings.jobs.lease_seconds;
        let claimed = held.transfer.claimed(self.shared.runner, clock::now(), seconds).ok_or(Stop::Lost)?;
        let transfer = claimed.advanced(progress);
        let mut writes = vec![Write::put(key(transfer.id()), Precondition::Version(held.version), transfer.encode())];
        writes.extend(with);
        match documents::apply(&self.shared.control, writes).await {
            Ok(versions) => {
                *held = Held { transfer, version: versions.first().copied().unwrap_or_default() };
                Ok(())
            }
            Err(WriteError::Conflict) => Err(Stop::Lost),
            Err(WriteError::Failed(error)) => Err(Stop::Failed(error)),
        }
    }

    pub(super) async fn remove_error_pages(&self, id: &str) -> Result<(), HubError> {
        let owner = errors_owner(id);
        loop {
            let pages = documents::scan(&self.shared.control, Collection::State, &owner, None, WRITES_MAX).await?;
            if pages.is_empty() {
                return Ok(());
            }
            let removals = pages.into_iter().map(|page| Write::remove(page.key, Precondition::Any)).collect();
            documents::apply(&self.shared.control, removals).await?;
        }
    }

    async fn remove_old_transfers(&self) -> Result<(), HubError> {
        let kept = i64::from(self.shared.settings.jobs.kept_days).saturating_mul(86_400_000);
        let oldest = Timestamp(clock::now().0.saturating_sub(kept));
        let found = documents::scan(&self.shared.control, Collection::Job, TRANSFER, None, WRITES_MAX).await?;
        let is_old = |transfer: &Transfer| transfer.ended_at().is_some_and(|ended| ended < oldest);
        let old = found.into_iter().filter(|document| decoded(document).is_ok_and(|transfer| is_old(&transfer)));
        let removals: Vec<_> = old.map(|document| Write::remove(document.key, Precondition::Any)).collect();
        if !removals.is_empty() {
            documents::apply(&self.shared.control, removals).await?;
        }
        Ok(())
    }
}

/// Owner of the pages of errors of an import.
pub(super) fn errors_owner(id: &str) -> String {
    format!("{TRANSFER}-errors-{id}")
}

/// Key of a page of errors.
pub(super) fn error_page(id: &str, page: u64) -> DocumentKey {
    DocumentKey::new(Collection::State, &errors_owner(id), &format!("{page:020}"))
}
