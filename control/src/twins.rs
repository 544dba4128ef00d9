//! Twins: read, decide, write, tell. The decisions are made in `control/twin`.
//! - Source: Azure IoT Hub device twins.
//! - Shape: under the identity's turn: read the document -> decide -> write it if it still has that version, else again -> tell the session
//!   -> announce the event.
//! - Invariants: what is answered or told is durable. A session is told of desired properties in the order of their versions. An identity
//!   without a stored twin has a fresh one.
//! - Errors: those of `TwinError`; `PRECONDITION` after [`ATTEMPTS_MAX`] attempts lost to another process.

use std::sync::Arc;

use bytes::Bytes;
use millrace_control_store::clock;
use millrace_control_store::documents::{ApplyError, Batch, Collection, DocumentKey, Precondition, Write};
use millrace_control_twin::{Change, Paths, Twin, time_text};
use millrace_ingest::Directory;
use millrace_model::door::{EndReason, SessionKey, Subscription, ToDevice};
use millrace_model::{HubError, IdentityName, MessageSource, Timestamp};
use serde_json::Value;

use crate::announcements::Announcement;
use crate::control::Control;
use crate::events;
use crate::failure::{apply_error, hub_error};
use crate::limits::ATTEMPTS_MAX;
use crate::sessions::Session;
use crate::throttle::Operation;

impl Control {
    /// The twin as the service sees it.
    ///
    /// # Errors
    /// When there is no such identity, or the store failed.
    pub async fn twin(&self, name: &IdentityName) -> Result<Value, HubError> {
        self.shared.throttles.pass(Operation::TwinRead).await?;
        self.twin_view(name).await
    }

    /// Merges tags and desired properties. `if_match` is an etag, quoted or not; `None` and `*` fit any. Answers the service's view.
    ///
    /// # Errors
    /// When there is no such identity, it has another etag, or the patch breaks a rule.
    pub async fn patch_twin(
        &self,
        name: &IdentityName,
        if_match: Option<&str>,
        patch: &Value,
    ) -> Result<Value, HubError> {
        self.shared.throttles.pass(Operation::TwinUpdate).await?;
        let (if_match, patch) = (if_match.map(str::to_owned), patch.clone());
        let decide =
            move |twin: &Twin, now: Timestamp| Ok(Some(twin.patch_service(if_match.as_deref(), &patch, now)?));
        let changed = self.change_twin_for_service(name, decide).await?;
        self.changed_view(name, changed).await
    }

    /// Replaces tags and desired properties; otherwise as [`Self::patch_twin`].
    ///
    /// # Errors
    /// As [`Self::patch_twin`].
    pub async fn replace_twin(
        &self,
        name: &IdentityName,
        if_match: Option<&str>,
        body: &Value,
    ) -> Result<Value, HubError> {
        self.shared.throttles.pass(Operation::TwinUpdate).await?;
        let (if_match, body) = (if_match.map(str::to_owned), body.clone());
        let decide =
            move |twin: &Twin, now: Timestamp| Ok(Some(twin.replace_service(if_match.as_deref(), &body, now)?));
        let changed = self.change_twin_for_service(name, decide).await?;
        self.changed_view(name, changed).await
    }

    /// The twin as its device sees it.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn device_twin(&self, name: &IdentityName) -> Result<Vec<u8>, HubError> {
        let (twin, _) = self.read_twin(name).await?;
        Ok(twin.device_view())
    }

    /// Merges reported properties; answers their new version.
    ///
    /// # Errors
    /// When there is no such identity, the properties have another version, or the patch breaks a rule.
    pub async fn patch_reported(
        &self,
        name: &IdentityName,
        if_version: Option<u64>,
        patch: &[u8],
    ) -> Result<u64, HubError> {
        let change = self.change_twin(name, |twin, now| Ok(Some(twin.patch_reported(if_version, patch, now)?))).await?;
        Ok(change.map(|change| change.reported_version).unwrap_or_default())
    }

    /// Changes a twin by any decision: reads it, asks `decide` what to make of it (`None`: nothing), writes that if nobody else has written
    /// meanwhile (else decides anew), tells the device and announces the event.
    ///
    /// # Errors
    /// When there is no such identity, `decide` refuses, or the store failed.
    pub async fn change_twin(
        &self,
        name: &IdentityName,
        decide: impl Fn(&Twin, Timestamp) -> Result<Option<Change>, HubError> + Send,
    ) -> Result<Option<Change>, HubError> {
        let _turn = self.shared.twin_turns.turn(name).await;
        for _ in 0..ATTEMPTS_MAX {
            let (twin, version) = self.read_twin(name).await?;
            let now = clock::now();
            let Some(change) = decide(&twin, now)? else { return Ok(None) };
            let precondition = version.map_or(Precondition::Absent, Precondition::Version);
            let write = Write::put(DocumentKey::of(Collection::Twin, name), precondition, change.twin.encode())
                .noted(self.desired_note(&change));
            match self.shared.documents.apply(Batch { identity: Some(name.clone()), writes: vec![write] }).await {
                Ok(_) => {
                    events::twin_changed();
                    self.tell_desired(name, &change).await;
                    self.announce_twin(name, &twin, &change, now);
                    return Ok(Some(change));
                }
                // Another process was faster.
                Err(ApplyError::Conflict { .. }) => {}
                Err(error) => return Err(apply_error(&error, name)),
            }
        }
        Err(HubError::PRECONDITION)
    }

    /// As [`Self::change_twin`], to its end although whoever asked may go away.
    pub(crate) async fn change_twin_for_service(
        &self,
        name: &IdentityName,
        decide: impl Fn(&Twin, Timestamp) -> Result<Option<Change>, HubError> + Send + Sync + 'static,
    ) -> Result<Option<Change>, HubError> {
        let (control, name) = (self.clone(), name.clone());
        self.see_through(async move { control.change_twin(&name, decide).await }).await
    }

    /// The service's view of a twin as its own change has left it, whatever others have made of it since.
    async fn changed_view(&self, name: &IdentityName, changed: Option<Change>) -> Result<Value, HubError> {
        let record = self.record(name).await?;
        let commands = self.commands_waiting(name).await?;
        Ok(self.view(&record, &changed.map(|change| change.twin).unwrap_or_default(), commands))
    }

    /// The twin and the version of its document; a fresh one where none is stored.
    pub(crate) async fn read_twin(&self, name: &IdentityName) -> Result<(Twin, Option<i64>), HubError> {
        let key = DocumentKey::of(Collection::Twin, name);
        let found = self.shared.documents.read(&key).await.map_err(|error| hub_error(&error))?;
        let Some(document) = found else { return Ok((Twin::fresh(), None)) };
        Ok((decoded(&document.body)?, Some(document.version)))
    }

    /// Notes the model that a device announces on connecting.
    pub(crate) async fn announce_model(&self, name: &IdentityName, model_id: Option<&str>) -> Result<(), HubError> {
        let note = |twin: &Twin, _: Timestamp| {
            let mut twin = twin.clone();
            let is_news = twin.set_model_id(model_id);
            let reported_version = twin.reported_version();
            Ok(is_news.then_some(Change { twin, desired_for_device: None, event: None, reported_version }))
        };
        self.change_twin(name, note).await.map(drop)
    }

    /// Answers a device that asks for its twin.
    pub(crate) async fn answer_twin(&self, name: &Arc<IdentityName>, session: SessionKey, request_id: Box<str>) {
        // What it is told of desired properties meanwhile would be newer than this answer, and come before it.
        let _turn = self.shared.twin_turns.turn(&**name).await;
        let twin = match self.shared.throttles.try_pass(Operation::TwinRead) {
            Ok(()) => self.device_twin(name).await,
            Err(error) => Err(error),
        };
        let answer = match twin {
            Ok(body) => ToDevice::Twin { request_id, status: 200, version: None, body: body.into() },
            Err(error) => self.twin_refusal(request_id, &error),
        };
        self.tell(name, session, answer).await;
    }

    /// Answers a device that reports properties.
    pub(crate) async fn answer_report(
        &self,
        name: &Arc<IdentityName>,
        session: SessionKey,
        request_id: Box<str>,
        if_version: Option<u64>,
        patch: &Bytes,
    ) {
        let version = match self.shared.throttles.try_pass(Operation::TwinUpdate) {
            Ok(()) => self.patch_reported(name, if_version, patch).await,
            Err(error) => Err(error),
        };
        let answer = match version {
            Ok(version) => ToDevice::Twin { request_id, status: 204, version: Some(version), body: Bytes::new() },
            Err(error) => self.twin_refusal(request_id, &error),
        };
        self.tell(name, session, answer).await;
    }

    fn twin_refusal(&self, request_id: Box<str>, error: &HubError) -> ToDevice {
        let tracking_id = format!("{:032x}", self.shared.tokens.large());
        let body = error.body(&tracking_id, &time_text(clock::now()));
        ToDevice::Twin { request_id, status: error.status, version: None, body: body.into() }
    }

    async fn tell_desired(&self, name: &IdentityName, change: &Change) {
        let Some((version, patch)) = &change.desired_for_device else { return };
        let Some(session) = self.desired_listener(name) else { return };
        let patch = Bytes::copy_from_slice(patch);
        self.tell(name, session.key, ToDevice::Desired { version: *version, patch }).await;
    }

    /// What other nodes are to know, one of which may have the session: where the desired properties have changed.
    fn desired_note(&self, change: &Change) -> Option<Box<str>> {
        let (_, patch) = change.desired_for_device.as_ref().filter(|_| self.shared.has_peers)?;
        Some(Paths::of(patch).to_text().into())
    }

    /// Another node has changed desired properties there: the session hears what is there now, which may be newer, never older.
    pub(crate) async fn tell_desired_of(&self, name: &IdentityName, paths: &Paths) {
        let _turn = self.shared.twin_turns.turn(name).await;
        let Some(session) = self.desired_listener(name) else { return };
        let told = match self.read_twin(name).await {
            Ok((twin, _)) => {
                let (version, patch) = twin.desired_at(paths);
                ToDevice::Desired { version, patch: patch.into() }
            }
            // Its device reads the twin when it is back.
            Err(_) => ToDevice::End(EndReason::Unavailable),
        };
        self.tell(name, session.key, told).await;
    }

    /// The session that listens to desired properties.
    pub(crate) fn desired_listener(&self, name: &IdentityName) -> Option<Session> {
        self.shared.sessions.find(name).filter(|session| session.subscriptions.has(Subscription::Desired))
    }

    fn announce_twin(&self, name: &IdentityName, before: &Twin, change: &Change, at: Timestamp) {
        let Some(event) = &change.event else { return };
        if self.shared.settings.control.twin_change_events {
            self.shared.announcer.announce(&Announcement {
                source: MessageSource::TwinChangeEvents,
                operation: event.operation,
                schema: "twinChangeNotification",
                content_type: "application/json",
                name: name.clone(),
                generation_id: self.generation_id(name),
                model_id: change.twin.model_id().map(Into::into),
                at,
                correlation: self.shared.tokens.next(),
                body: Bytes::copy_from_slice(&event.body),
            });
        }
        self.announce_digital_twin(name, before, &change.twin, at);
    }

    /// Generation of an identity as the directory knows it; empty when it is gone.
    pub(crate) fn generation_id(&self, name: &IdentityName) -> Arc<str> {
        let found = self.shared.directory.find(name.device_id(), name.module_id());
        found.map_or_else(|| "".into(), |found| found.generation_id)
    }
}

/// A stored twin.
pub(crate) fn decoded(body: &[u8]) -> Result<Twin, HubError> {
    Twin::decode(body).map_err(|error| {
        events::corrupt("twin", &error);
        HubError::SERVER
    })
}
