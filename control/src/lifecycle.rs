//! Announces identities that were created or deleted, whichever process did it.
//! - Source: Azure IoT Hub device lifecycle events.
//! - Shape: change log behind a stored position -> events, waited for until they are safe in the journal -> the position is stored.
//! - Invariants: each creation and deletion is announced at least once, also across a crash; most exactly once. What happened before the
//!   first start is not announced. Of several nodes each may announce what happened in one moment.
//! - Limits: [`ANNOUNCED_PER_STEP`] changes at a time; the log's length. What a deleted identity was like is told if this node deleted it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use millrace_control_store::clock;
use millrace_control_store::documents::{ApplyError, Batch, Collection, DocumentKey, Precondition, Write};
use millrace_control_store::error::RegistryError;
use millrace_control_store::store::{LoggedChange, LoggedKind};
use millrace_control_twin::Twin;
use millrace_model::door::Full;
use millrace_model::{IdentityName, MessageSource};
use tokio::time::sleep;

use crate::announcements::Announcement;
use crate::control::Control;
use crate::events;
use crate::limits::{ANNOUNCED_PER_STEP, EVENT_PAUSE, FAREWELLS_MAX};

/// Name of the document with the position.
const POSITION: &str = "lifecycle-events";

/// What a deleted identity was like.
#[derive(Clone)]
pub(crate) struct Farewell {
    pub(crate) twin: Twin,
    pub(crate) generation_id: Arc<str>,
}

/// What identities were like that this node has deleted, until that is announced.
#[derive(Default)]
pub(crate) struct Farewells(Mutex<HashMap<IdentityName, Farewell>>);

/// Why a step was not done; it is done again.
enum Hindered {
    Store(RegistryError),
    Journal,
}

impl Farewells {
    pub(crate) fn keep(&self, name: &IdentityName, farewell: Farewell) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < FAREWELLS_MAX {
            kept.insert(name.clone(), farewell);
        }
    }

    fn find(&self, name: &IdentityName) -> Option<Farewell> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn forget(&self, changes: &[LoggedChange]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let deleted = changes.iter().filter(|change| change.kind == LoggedKind::Deleted);
        deleted.for_each(|change| drop(kept.remove(&change.name)));
    }
}

impl Control {
    /// Sees to it that there is a position to go on from.
    pub(crate) async fn begin_announcing(&self) -> Result<(), RegistryError> {
        if self.shared.documents.read(&position_key()).await?.is_some() {
            return Ok(());
        }
        let newest = self.shared.store.newest_change().await?;
        let write = Write::put(position_key(), Precondition::Absent, newest.to_string().into_bytes());
        match self.shared.documents.apply(Batch { identity: None, writes: vec![write] }).await {
            Err(ApplyError::Store(error)) => Err(error),
            // Another node was faster.
            _ => Ok(()),
        }
    }

    /// Announces for as long as it is not dropped.
    pub(crate) async fn announce_lifecycles(&self) {
        if !self.shared.settings.control.lifecycle_events {
            return;
        }
        loop {
            match self.announce_step().await {
                Ok((position, 0)) => self.shared.refresher.is_beyond(position).await,
                Ok(_) => {}
                Err(hindered) => {
                    if let Hindered::Store(error) = hindered {
                        events::store_failed(&error);
                    }
                    sleep(EVENT_PAUSE).await;
                }
            }
        }
    }

    /// Announces what is next; answers the position behind it and how many changes that were.
    async fn announce_step(&self) -> Result<(i64, usize), Hindered> {
        let (position, version) = self.position().await?;
        let changes = self.shared.store.changes_since(position, ANNOUNCED_PER_STEP).await?;
        let next = match &changes {
            Some(changes) => changes.last().map_or(position, |last| last.sequence),
            None => {
                let newest = self.shared.store.newest_change().await?;
                events::lifecycle_skipped(position, newest);
                newest
            }
        };
        let changes = changes.unwrap_or_default();
        if next == position {
            return Ok((position, 0));
        }
        self.announce_changes(&changes).await?;
        let precondition = version.map_or(Precondition::Absent, Precondition::Version);
        let write = Write::put(position_key(), precondition, next.to_string().into_bytes());
        match self.shared.documents.apply(Batch { identity: None, writes: vec![write] }).await {
            Err(ApplyError::Store(error)) => Err(error.into()),
            // Or another node has announced the same.
            _ => {
                self.shared.farewells.forget(&changes);
                Ok((next, changes.len().max(1)))
            }
        }
    }

    async fn announce_changes(&self, changes: &[LoggedChange]) -> Result<(), Hindered> {
        let twins = self.twins_of(changes).await?;
        let announcements = changes.iter().filter_map(|change| self.lifecycle(change, &twins));
        // All are handed over before the first is waited for, so that they share a sync.
        let mut waiting = tokio::task::JoinSet::new();
        for announcement in announcements {
            let control = self.clone();
            waiting.spawn(async move { control.shared.announcer.announce_safely(&announcement).await });
        }
        let outcomes = waiting.join_all().await;
        if outcomes.iter().all(|outcome: &Result<(), Full>| outcome.is_ok()) { Ok(()) } else { Err(Hindered::Journal) }
    }

    async fn twins_of(&self, changes: &[LoggedChange]) -> Result<HashMap<DocumentKey, Twin>, Hindered> {
        let created = changes.iter().filter(|change| change.kind == LoggedKind::Created);
        let keys: Vec<_> = created.map(|change| DocumentKey::of(Collection::Twin, &change.name)).collect();
        let found = if keys.is_empty() { Vec::new() } else { self.shared.documents.read_many(&keys).await? };
        let twins = found.into_iter().filter_map(|document| {
            let twin = Twin::decode(&document.body).inspect_err(|error| events::corrupt("twin", error)).ok()?;
            Some((document.key, twin))
        });
        Ok(twins.collect())
    }

    fn lifecycle(&self, change: &LoggedChange, twins: &HashMap<DocumentKey, Twin>) -> Option<Announcement> {
        let module_id = change.name.module_id();
        let operation = match (change.kind, module_id) {
            (LoggedKind::Created, None) => "createDeviceIdentity",
            (LoggedKind::Created, Some(_)) => "createModuleIdentity",
            (LoggedKind::Deleted, None) => "deleteDeviceIdentity",
            (LoggedKind::Deleted, Some(_)) => "deleteModuleIdentity",
            (LoggedKind::Changed, _) => return None,
        };
        let farewell = self.shared.farewells.find(&change.name).filter(|_| change.kind == LoggedKind::Deleted);
        let generation_id = match (&farewell, &change.now) {
            (Some(farewell), _) => Arc::clone(&farewell.generation_id),
            (None, Some(record)) => record.generation.to_string().into(),
            (None, None) => "".into(),
        };
        let known = twins.get(&DocumentKey::of(Collection::Twin, &change.name)).cloned();
        let twin = farewell.map(|farewell| farewell.twin).or(known).unwrap_or_default();
        Some(Announcement {
            source: MessageSource::DeviceLifecycleEvents,
            operation,
            schema: "deviceLifecycleNotification",
            content_type: "application/json",
            body: Bytes::from(twin.lifecycle_body(change.name.device_id(), module_id)),
            name: change.name.clone(),
            generation_id,
            model_id: twin.model_id().map(Into::into),
            at: clock::now(),
            correlation: self.shared.tokens.next(),
        })
    }

    async fn position(&self) -> Result<(i64, Option<i64>), Hindered> {
        let found = self.shared.documents.read(&position_key()).await?;
        let Some(document) = found else { return Ok((self.shared.store.newest_change().await?, None)) };
        let text = std::str::from_utf8(&document.body).ok();
        let position = text.and_then(|text| text.parse().ok());
        Ok((position.ok_or(RegistryError::Corrupt { what: "position" })?, Some(document.version)))
    }
}

impl From<RegistryError> for Hindered {
    fn from(error: RegistryError) -> Self {
        Self::Store(error)
    }
}

fn position_key() -> DocumentKey {
    DocumentKey::new(Collection::State, "", POSITION)
}
