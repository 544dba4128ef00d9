//! The registry as a service: identities created, changed and deleted, and at once in force.
//! - Invariants: when a change is answered, the directory of this node has it: a created device can connect, the session of a disabled
//!   one was told to end.
//! - Errors: [`hub_error`] of what the registry says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millrace_control_store::clock;
use millrace_control_store::registry::{
    Authentication, Change, ChangeKind, Expected, IdentityName, Record, Status, Update, not_found,
};
use millrace_control_twin::{IdentityFacts, Twin};
use millrace_model::HubError;
use serde_json::Value;

use crate::control::Control;
use crate::failure::hub_error;
use crate::lifecycle::Farewell;
use crate::sessions::Presence;
use crate::throttle::Operation;

impl Control {
    /// Adds an identity. A module needs its device.
    ///
    /// # Errors
    /// When it is there already, its device is not, or the store failed.
    pub async fn create(&self, record: &Record) -> Result<(), HubError> {
        self.shared.throttles.pass(Operation::Registry).await?;
        self.shared.store.create(record).await.map_err(|error| hub_error(&error))?;
        self.refresh().await;
        Ok(())
    }

    /// Reads an identity.
    ///
    /// # Errors
    /// When it is not there, or the store failed.
    pub async fn identity(&self, name: &IdentityName) -> Result<Record, HubError> {
        self.shared.throttles.pass(Operation::Registry).await?;
        self.record(name).await
    }

    /// Changes an identity if it is in the expected state.
    ///
    /// # Errors
    /// When it is not there or in another state, or the store failed.
    pub async fn update(&self, name: &IdentityName, expected: Expected, update: Update) -> Result<Record, HubError> {
        self.shared.throttles.pass(Operation::Registry).await?;
        let record = self.shared.store.update(name, expected, update).await.map_err(|error| hub_error(&error))?;
        self.refresh().await;
        Ok(record)
    }

    /// Removes an identity if it is in the expected state, with all that belongs to it.
    ///
    /// # Errors
    /// When it is not there or in another state, or the store failed.
    pub async fn delete(&self, name: &IdentityName, expected: Expected) -> Result<(), HubError> {
        self.shared.throttles.pass(Operation::Registry).await?;
        let farewell = self.farewell(name).await;
        self.shared.store.delete(name, expected).await.map_err(|error| hub_error(&error))?;
        if let Some(farewell) = farewell {
            self.shared.farewells.keep(name, farewell);
        }
        self.refresh().await;
        Ok(())
    }

    /// Brings the directory up to what is in the store now, ending the sessions that this concerns; `false` when the store could not be
    /// read. For callers that wrote to the store themselves, such as imports.
    pub async fn refresh(&self) -> bool {
        self.shared.refresher.catch_up().await
    }

    /// How many identities are connected to this node.
    #[must_use]
    pub fn connected_count(&self) -> usize {
        self.shared.sessions.count()
    }

    /// How many direct methods are under way.
    #[must_use]
    pub fn calls_under_way(&self) -> usize {
        self.shared.calls.count()
    }

    /// Whether an identity is connected to this node, and since or until when.
    #[must_use]
    pub fn presence(&self, name: &IdentityName) -> Presence {
        self.shared.sessions.presence(name)
    }

    /// A change of an identity that this node has taken over.
    pub(crate) fn note_change(&self, change: &Change) {
        if matches!(change.kind, ChangeKind::Deleted | ChangeKind::Recreated) {
            self.shared.sessions.forget(&change.name);
            // Its queue is gone; a new one may be there already, so it is looked at rather than forgotten.
            if change.name.module_id().is_none() && self.shared.deadlines.contains(change.name.device_id()) {
                self.shared.deadlines.set(change.name.device_id(), Some(clock::now()));
            }
        }
    }

    pub(crate) async fn record(&self, name: &IdentityName) -> Result<Record, HubError> {
        let found = self.shared.store.get(name).await.map_err(|error| hub_error(&error))?;
        found.ok_or_else(|| hub_error(&not_found(name)))
    }

    /// The service's view of a twin.
    pub(crate) async fn twin_view(&self, name: &IdentityName) -> Result<Value, HubError> {
        let record = self.record(name).await?;
        let (twin, _) = self.read_twin(name).await?;
        let commands = self.commands_waiting(name).await?;
        Ok(self.view(&record, &twin, commands))
    }

    /// `cloudToDeviceMessageCount`: modules have no queue.
    pub(crate) async fn commands_waiting(&self, name: &IdentityName) -> Result<u64, HubError> {
        if name.module_id().is_none() { self.command_count(name).await } else { Ok(0) }
    }

    pub(crate) fn view(&self, record: &Record, twin: &Twin, commands: u64) -> Value {
        let presence = self.presence(&record.name);
        let etag = STANDARD.encode(record.etag.0.to_be_bytes());
        let (authentication_type, thumbprints) = match &record.authentication {
            Authentication::None => ("none", [None, None]),
            Authentication::Sas { .. } => ("sas", [None, None]),
            Authentication::SelfSigned { primary, secondary } => ("selfSigned", [*primary, *secondary]),
            Authentication::CertificateAuthority => ("certificateAuthority", [None, None]),
        };
        let thumbprints = thumbprints.map(|thumbprint| thumbprint.map(|thumbprint| thumbprint.to_string()));
        twin.service_view(&IdentityFacts {
            device_id: record.name.device_id(),
            module_id: record.name.module_id(),
            etag: &etag,
            is_enabled: record.status == Status::Enabled,
            status_reason: record.status_reason.as_deref(),
            // As the hub does: a status that never changed has no time.
            status_updated: (record.status_updated != record.created).then_some(record.status_updated),
            is_connected: presence.is_connected,
            last_activity: presence.last_activity,
            cloud_to_device_message_count: commands,
            authentication_type,
            thumbprints: [thumbprints[0].as_deref(), thumbprints[1].as_deref()],
            is_edge: record.capabilities_iot_edge,
            device_scope: record.device_scope.as_deref(),
            parent_scopes: &record.parent_scopes,
        })
    }

    /// What is told of an identity when its deletion is announced.
    async fn farewell(&self, name: &IdentityName) -> Option<Farewell> {
        let (twin, _) = self.read_twin(name).await.ok()?;
        Some(Farewell { twin, generation_id: self.generation_id(name) })
    }
}
