//! Keeps the directory in step with the store, whichever process changes it.
//! - Shape: load everything, then ask every `poll_ms`, or when somebody wants it, for the log entries behind the last one seen.
//! - Invariants: a change is in the directory before it is reported. While the store cannot be read, the directory stays as it is.
//! - Limits: `CHANGES_PER_STEP` entries at a time; further behind than the log reaches, everything is loaded anew and compared.

use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::config::RegistryConfig;
use crate::directory::{RegistryDirectory, Stored};
use crate::events;
use crate::limits::{CHANGES_PER_STEP, REFRESH_PAUSE};
use crate::refresher::Refresher;
use millrace_control_store::error::RegistryError;
use millrace_control_store::limits::PAGE_IDENTITIES_MAX;
use millrace_control_store::registry::{Change, ChangeKind, IdentityName};
use millrace_control_store::store::{LoggedChange, Store};

/// Takes changes from a store into a directory.
pub struct Follower {
    store: Arc<dyn Store>,
    directory: Arc<RegistryDirectory>,
    sequence: i64,
    poll: Duration,
    full: bool,
    refresher: Refresher,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl Follower {
    /// Loads all identities into `directory`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(
        store: Arc<dyn Store>,
        directory: Arc<RegistryDirectory>,
        config: &RegistryConfig,
    ) -> Result<Self, RegistryError> {
        let poll = Duration::from_millis(config.poll_ms.max(1));
        let refresher = Refresher::new();
        let mut follower = Self { store, directory, sequence: 0, poll, full: false, refresher };
        follower.load(&mut |_| {}).await?;
        Ok(follower)
    }

    /// What makes this follower look at once.
    #[must_use]
    pub fn refresher(&self) -> Refresher {
        self.refresher.clone()
    }

    /// Position of the last change in the log that was taken over.
    #[must_use]
    pub const fn sequence(&self) -> i64 {
        self.sequence
    }

    /// Follows until `shutdown` is ready. `on_change` must not block: it runs on the follower's task.
    pub async fn run(mut self, mut on_change: impl FnMut(&Change), shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut ticks = interval(self.poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        let refresher = self.refresher.clone();
        let mut next_allowed = Instant::now();
        loop {
            // Cancel-safe: a tick or a wish that is dropped is only a later look. Wishes are kept apart by a pause, so that those
            // that come meanwhile share one look.
            tokio::select! {
                () = &mut shutdown => return refresher.ended(),
                _ = ticks.tick() => {}
                () = async { sleep_until(next_allowed).await; refresher.wanted().await } => {}
            }
            next_allowed = Instant::now() + REFRESH_PAUSE;
            let round = refresher.begun();
            let outcome = self.catch_up(&mut on_change).await;
            refresher.finished(round, outcome.is_ok(), self.sequence);
            match outcome {
                Ok(_) if failing => {
                    events::follow_recovered();
                    failing = false;
                }
                Ok(_) => {}
                Err(error) => {
                    events::follow_failed(&error, !failing);
                    failing = true;
                }
            }
        }
    }

    /// Takes over what has changed since the last call; returns how many log entries that were.
    ///
    /// # Errors
    /// When the store cannot be read; what was taken over until then stays.
    pub async fn catch_up(&mut self, mut on_change: impl FnMut(&Change)) -> Result<usize, RegistryError> {
        let mut taken: usize = 0;
        while self.store.newest_change().await? != self.sequence {
            let Some(changes) = self.store.changes_since(self.sequence, CHANGES_PER_STEP).await? else {
                self.load(&mut on_change).await?;
                break;
            };
            if changes.is_empty() {
                break;
            }
            taken = taken.saturating_add(changes.len());
            events::changed(changes.len());
            for change in changes {
                self.sequence = change.sequence;
                if let Some(change) = self.take(change) {
                    on_change(&change);
                }
            }
        }
        Ok(taken)
    }

    fn take(&mut self, change: LoggedChange) -> Option<Change> {
        let kind = match &change.now {
            Some(record) => match self.directory.put(record) {
                Stored::Changed(kind) => kind,
                Stored::Same => return None,
                Stored::Full => {
                    events::full(1, !self.full);
                    self.full = true;
                    return None;
                }
            },
            None => self.directory.remove(&change.name).then_some(ChangeKind::Deleted)?,
        };
        Some(Change { name: change.name, kind })
    }

    /// Loads everything, reports what differs, forgets what is gone.
    async fn load(&mut self, on_change: &mut impl FnMut(&Change)) -> Result<(), RegistryError> {
        let begun = Instant::now();
        // Read first: what changes while the pages are read is taken over again afterwards.
        let sequence = self.store.newest_change().await?;
        let compare = !self.directory.is_empty();
        let mut seen = HashSet::new();
        let mut left_out: usize = 0;
        let mut last: Option<IdentityName> = None;
        loop {
            let page = self.store.identities(last.as_ref(), PAGE_IDENTITIES_MAX).await?;
            for record in &page {
                match self.directory.put(record) {
                    Stored::Changed(kind) => on_change(&Change { name: record.name.clone(), kind }),
                    Stored::Same => {}
                    Stored::Full => left_out = left_out.saturating_add(1),
                }
                if compare {
                    seen.insert(record.name.clone());
                }
            }
            let Some(record) = page.last() else { break };
            last = Some(record.name.clone());
        }
        if compare {
            let wanted = |device: &str, module: Option<&str>| {
                IdentityName::new(device, module).is_ok_and(|name| seen.contains(&name))
            };
            for name in self.directory.retain(wanted) {
                on_change(&Change { name, kind: ChangeKind::Deleted });
            }
        }
        self.sequence = sequence;
        self.full = left_out > 0;
        events::loaded(self.directory.len(), left_out, begun.elapsed());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
