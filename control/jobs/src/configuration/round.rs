//! Compares twins with the configurations: all of them in rounds, new and changed ones soon.
//! - Shape: a round begins when a configuration changes, on whatever node, and every `evaluation_seconds`; in between, identities in the
//!   store's change log and twins that the service has written are looked at every `changes_seconds`.
//! - Invariants: without configurations, and once none is noted in any twin, nothing is read.
//! - Limits: [`TWINS_PER_STEP`] rows at a time; [`HINTS_MAX`] hints, more are left to the next round.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::join_all;
use millrace_control::{Row, hub_error};
use millrace_control_query::Source;
use millrace_control_store::documents::{Collection, DocumentKey, Precondition, Write};
use millrace_model::{HubError, IdentityName};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::apply::row_of;
use super::document::{Configuration, Kind};
use super::metrics::Counts;
use super::plan::Plan;
use crate::documents;
use crate::events;
use crate::jobs::Jobs;
use crate::limits::{FOLLOWED_AT_ONCE, HINTS_MAX, TWINS_PER_STEP};

/// Changes of identities that are looked at in one step.
const CHANGES_PER_STEP: usize = 1_000;

/// What this node knows of configurations.
pub(crate) struct Rounds {
    /// All of them, in the order of their rank.
    snapshot: RwLock<Arc<[Configuration]>>,
    counts: Mutex<Arc<HashMap<String, Counts>>>,
    hints: Mutex<BTreeSet<IdentityName>>,
    /// A configuration was written on this node.
    wanted: Notify,
    /// Whole rounds that have begun.
    begun: AtomicU64,
    /// The last one that is over.
    finished: watch::Sender<u64>,
}

/// Where following stands.
struct Position {
    revision: i64,
    change: i64,
    next_round: Instant,
}

impl Rounds {
    pub(crate) fn new() -> Self {
        Self {
            snapshot: RwLock::new(Arc::from([])),
            counts: Mutex::default(),
            hints: Mutex::default(),
            wanted: Notify::new(),
            begun: AtomicU64::new(0),
            finished: watch::Sender::new(0),
        }
    }

    pub(super) fn snapshot(&self) -> Arc<[Configuration]> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Numbers of a configuration.
    pub(super) fn counts(&self, id: &str) -> Counts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned().unwrap_or_default()
    }

    /// Asks for a round.
    pub(super) fn want(&self) {
        self.wanted.notify_one();
    }

    fn hints(&self) -> MutexGuard<'_, BTreeSet<IdentityName>> {
        self.hints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The mark that twins may hold notes of configurations.
pub(super) fn notes_key() -> DocumentKey {
    DocumentKey::new(Collection::State, "configurations", "noted")
}

impl Jobs {
    /// Tells that the service has written a twin, so that it is soon compared with the configurations.
    pub fn note_twin(&self, name: &IdentityName) {
        if self.shared.rounds.snapshot().is_empty() {
            return;
        }
        let mut hints = self.shared.rounds.hints();
        if hints.len() < HINTS_MAX {
            hints.insert(name.clone());
        }
    }

    /// Waits until a whole round that begins from now on is over.
    pub async fn evaluated(&self) {
        let rounds = &self.shared.rounds;
        let needed = rounds.begun.load(Ordering::Acquire).saturating_add(1);
        let mut finished = rounds.finished.subscribe();
        rounds.want();
        // It fails only when there is nobody left who would make a round.
        drop(finished.wait_for(|round| *round >= needed).await);
    }

    /// Reads all configurations.
    pub(crate) async fn load_configurations(&self) -> Result<(), HubError> {
        let mut all = Vec::new();
        let mut after: Option<Box<str>> = None;
        loop {
            let control = &self.shared.control;
            let page =
                documents::scan(control, Collection::Configuration, "", after.as_deref(), TWINS_PER_STEP).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.name.clone());
            for document in page {
                match Configuration::decode(&document.body) {
                    Some(configuration) => all.push(configuration),
                    None => events::corrupt("configuration", &document.key.name),
                }
            }
        }
        all.sort_by_cached_key(Configuration::rank);
        *self.shared.rounds.snapshot.write().unwrap_or_else(PoisonError::into_inner) = all.into();
        Ok(())
    }

    /// Compares, again and again.
    pub(crate) async fn run_rounds(&self) {
        let pause = Duration::from_secs(self.shared.settings.configurations.changes_seconds);
        let mut position = Position { revision: i64::MIN, change: i64::MIN, next_round: Instant::now() };
        loop {
            if let Err(error) = self.follow_changes(&mut position).await {
                events::round_failed(&error);
            }
            let wake = (Instant::now() + pause).min(position.next_round.max(Instant::now() + Duration::from_millis(1)));
            // Cancel-safe: both only say that there may be something to do.
            tokio::select! {
                () = sleep_until(wake) => {}
                () = self.shared.rounds.wanted.notified() => position.next_round = Instant::now(),
            }
        }
    }

    async fn follow_changes(&self, position: &mut Position) -> Result<(), HubError> {
        let documents = self.shared.control.documents();
        // Read before the configurations: what changes in between is read again.
        let revision = documents.revision(Collection::Configuration).await.map_err(|error| hub_error(&error))?;
        if revision != position.revision {
            self.load_configurations().await?;
            position.revision = revision;
            position.next_round = Instant::now();
        }
        if position.next_round <= Instant::now() {
            let evaluation = Duration::from_secs(self.shared.settings.configurations.evaluation_seconds);
            position.next_round = Instant::now() + evaluation;
            let newest = self.shared.control.store().newest_change().await.map_err(|error| hub_error(&error))?;
            self.round().await?;
            position.change = newest;
        } else if !self.shared.rounds.snapshot().is_empty() {
            self.compare_changed(position).await?;
        }
        Ok(())
    }

    /// Compares all twins.
    async fn round(&self) -> Result<(), HubError> {
        let number = self.shared.rounds.begun.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        let configurations = self.shared.rounds.snapshot();
        let control = &self.shared.control;
        if configurations.is_empty() && documents::read(control, &notes_key()).await?.is_none() {
            self.end_round(number, HashMap::new());
            return Ok(());
        }
        let mut counts: HashMap<String, Counts> =
            configurations.iter().map(|one| (one.id().to_owned(), Counts::default())).collect();
        for source in [Source::Devices, Source::Modules] {
            let mut after = Vec::new();
            loop {
                let (rows, last) = control.rows(source, &after, TWINS_PER_STEP).await?;
                self.compare(&configurations, source, &rows, Some(&mut counts)).await?;
                let Some(last) = last else { break };
                after = last;
            }
        }
        if configurations.is_empty() {
            documents::apply(control, vec![Write::remove(notes_key(), Precondition::Any)]).await?;
        }
        self.end_round(number, counts);
        Ok(())
    }

    fn end_round(&self, number: u64, counts: HashMap<String, Counts>) {
        *self.shared.rounds.counts.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(counts);
        self.shared.rounds.finished.send_replace(number);
    }

    /// Compares what has changed since the last look.
    async fn compare_changed(&self, position: &mut Position) -> Result<(), HubError> {
        let configurations = self.shared.rounds.snapshot();
        let mut names = std::mem::take(&mut *self.shared.rounds.hints());
        let store = self.shared.control.store();
        if store.newest_change().await.map_err(|error| hub_error(&error))? != position.change {
            let changes = store.changes_since(position.change, CHANGES_PER_STEP).await;
            match changes.map_err(|error| hub_error(&error))? {
                Some(changes) => {
                    position.change = changes.last().map_or(position.change, |change| change.sequence);
                    names.extend(changes.into_iter().filter(|change| change.now.is_some()).map(|change| change.name));
                }
                // The log does not go back that far.
                None => position.next_round = Instant::now(),
            }
        }
        let names: Vec<IdentityName> = names.into_iter().collect();
        for part in names.chunks(TWINS_PER_STEP) {
            let rows = self.shared.control.rows_of(part).await?;
            let (modules, devices): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|(key, _)| key.len() > 1);
            self.compare(&configurations, Source::Devices, &devices, None).await?;
            self.compare(&configurations, Source::Modules, &modules, None).await?;
        }
        Ok(())
    }

    async fn compare(
        &self,
        configurations: &[Configuration],
        source: Source,
        rows: &[Row],
        mut counts: Option<&mut HashMap<String, Counts>>,
    ) -> Result<(), HubError> {
        for some in rows.chunks(FOLLOWED_AT_ONCE) {
            let followed = join_all(some.iter().map(|row| self.compare_one(configurations, source, row))).await;
            for (one, (_, row)) in followed.into_iter().zip(some) {
                let Some((name, plan, followed)) = one else { continue };
                Self::note_outcome(&plan, followed)?;
                if let Some(counts) = counts.as_deref_mut() {
                    count_matches(configurations, source, row, counts);
                    self.count(&name, &plan, counts).await?;
                }
            }
        }
        Ok(())
    }

    async fn compare_one<'a>(
        &self,
        configurations: &'a [Configuration],
        source: Source,
        (key, row): &Row,
    ) -> Option<(IdentityName, Plan<'a>, Result<bool, HubError>)> {
        let name = name_of(key)?;
        let plan = Plan::of(configurations, source, row);
        let followed = self.follow(&name, &plan, row).await;
        Some((name, plan, followed))
    }

    /// A twin that could not be changed is left to the next round, unless the store is away, which ends this one.
    fn note_outcome(plan: &Plan<'_>, followed: Result<bool, HubError>) -> Result<(), HubError> {
        match followed {
            Ok(is_changed) => events::twin_compared(is_changed),
            Err(error) if error.status == HubError::UNAVAILABLE.status => return Err(error),
            // Its identity may be gone by now, or a twin may have no room.
            Err(error) => {
                let applied = plan.own.or(plan.deployment).map(Configuration::id);
                events::not_applied(applied.unwrap_or_default(), &error);
            }
        }
        Ok(())
    }

    async fn count(
        &self,
        name: &IdentityName,
        plan: &Plan<'_>,
        counts: &mut HashMap<String, Counts>,
    ) -> Result<(), HubError> {
        for (id, status) in &plan.notes {
            counts.entry((*id).to_owned()).or_default().add(*status);
        }
        if let Some(deployment) = plan.deployment.filter(|one| one.kind() == Kind::Deployment)
            && let Ok(agent) = IdentityName::new(name.device_id(), Some("$edgeAgent"))
        {
            let rows = self.shared.control.rows_of(std::slice::from_ref(&agent)).await?;
            if let Some(row) = row_of(&rows, &agent) {
                counts.entry(deployment.id().to_owned()).or_default().add_report(row);
            }
        }
        Ok(())
    }
}

fn count_matches(configurations: &[Configuration], source: Source, row: &Value, counts: &mut HashMap<String, Counts>) {
    for configuration in configurations {
        for (name, query) in configuration.metrics().iter().filter(|(_, query)| query.source() == source) {
            if query.matches(row) {
                counts.entry(configuration.id().to_owned()).or_default().add_match(name);
            }
        }
    }
}

fn name_of(key: &[Box<str>]) -> Option<IdentityName> {
    IdentityName::new(key.first()?, key.get(1).map(|id| &**id)).ok()
}
