//! Digital twins: twins seen through the model that their device announced.
//! - Source: Azure IoT Hub `/digitaltwins/{id}`, IoT Plug and Play.
//! - Invariants: a device without a model, or with one that the hub does not know, is served by structure alone.

use std::sync::Arc;

use bytes::Bytes;
use millrace_control_command::{MethodCall, MethodResult};
use millrace_control_twin::Twin;
use millrace_control_twin::digital_twin::{Model, change_event, command_method, desired_patch, document};
use millrace_model::{HubError, IdentityName, MessageSource, Timestamp};
use serde_json::Value;

use crate::announcements::Announcement;
use crate::control::Control;
use crate::throttle::Operation;

/// A digital twin as the service sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct DigitalTwin {
    /// The document.
    pub document: Value,
    /// Etag of the twin, not quoted.
    pub etag: String,
}

impl Control {
    /// The digital twin of a device.
    ///
    /// # Errors
    /// When there is no such device, or the store failed.
    pub async fn digital_twin(&self, device: &IdentityName) -> Result<DigitalTwin, HubError> {
        self.shared.throttles.pass(Operation::TwinRead).await?;
        self.record(device).await?;
        let (twin, _) = self.read_twin(device).await?;
        let model = self.model_of(&twin);
        Ok(DigitalTwin { document: document(&twin, device.device_id(), model.as_deref()), etag: twin.etag() })
    }

    /// Carries out a JSON Patch on the desired properties; answers the new etag.
    ///
    /// # Errors
    /// When there is no such device, it has another etag, the patch does not fit the model, or the store failed.
    pub async fn patch_digital_twin(
        &self,
        device: &IdentityName,
        if_match: Option<&str>,
        operations: &Value,
    ) -> Result<String, HubError> {
        self.shared.throttles.pass(Operation::TwinUpdate).await?;
        let (control, if_match, operations) = (self.clone(), if_match.map(str::to_owned), operations.clone());
        let decide = move |twin: &Twin, now: Timestamp| {
            let patch = desired_patch(twin, control.model_of(twin).as_deref(), &operations)?;
            Ok(Some(twin.patch_service(if_match.as_deref(), &patch, now)?))
        };
        let changed = self.change_twin_for_service(device, decide).await?;
        Ok(changed.map(|change| change.twin.etag()).unwrap_or_default())
    }

    /// Calls a command of a device or of one of its components; time-outs in seconds, `None` for the usual ones.
    ///
    /// # Errors
    /// As [`Self::invoke`]; when the model is known and has no such command, or the payload does not fit it.
    pub async fn invoke_command(
        &self,
        device: &IdentityName,
        component: Option<&str>,
        command: &str,
        payload: &Value,
        response_timeout: Option<u64>,
        connect_timeout: Option<u64>,
    ) -> Result<MethodResult, HubError> {
        let (twin, _) = self.read_twin(device).await?;
        let method = command_method(self.model_of(&twin).as_deref(), component, command, payload)?;
        let payload = if payload.is_null() { Bytes::new() } else { payload.to_string().into() };
        let call = MethodCall::new(&method, payload)?.with_timeouts(response_timeout, connect_timeout)?;
        self.invoke(device, call).await
    }

    pub(crate) fn announce_digital_twin(&self, name: &IdentityName, before: &Twin, after: &Twin, at: Timestamp) {
        let Some(model_id) = after.model_id() else { return };
        if !self.shared.settings.control.digital_twin_change_events {
            return;
        }
        let Some(body) = change_event(before, after, self.model_of(after).as_deref()) else { return };
        self.shared.announcer.announce(&Announcement {
            source: MessageSource::DigitalTwinChangeEvents,
            operation: "updateDigitalTwin",
            schema: "digitalTwinChangeNotification",
            content_type: "application/json-patch+json",
            name: name.clone(),
            generation_id: self.generation_id(name),
            model_id: Some(model_id.into()),
            at,
            correlation: self.shared.tokens.next(),
            body: Bytes::from(body),
        });
    }

    fn model_of(&self, twin: &Twin) -> Option<Arc<Model>> {
        self.find_model(twin.model_id())
    }
}
