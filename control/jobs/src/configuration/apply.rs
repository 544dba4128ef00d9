//! Changes twins as plans say.
//! - Invariants: a twin that is as it should be is not written. A module that a deployment names and that is not there is created, as the
//!   hub does.

use std::collections::BTreeMap;

use millrace_control::Row;
use millrace_control_store::registry::Record;
use millrace_control_store::{clock, random};
use millrace_model::{HubError, IdentityName};
use serde_json::{Value, json};

use super::content::{Content, Settings};
use super::plan::{Plan, desired_of};
use crate::jobs::Jobs;
use crate::shape::new_keys;

/// What manages the modules of a deployment.
const MANAGER: &str = "iotEdge";

impl Jobs {
    /// Makes a twin follow its plan; whether it was changed.
    pub(super) async fn follow(&self, name: &IdentityName, plan: &Plan<'_>, row: &Value) -> Result<bool, HubError> {
        let mut is_changed = false;
        if plan.is_due(row) {
            let change = self.shared.control.change_twin(name, |twin, now| plan.change(twin, now)).await?;
            is_changed = change.is_some();
        }
        if let Some(deployment) = plan.deployment {
            self.deploy(name, &deployment.content().modules).await?;
        }
        Ok(is_changed)
    }

    /// Makes a device, and its modules, hold a content.
    ///
    /// # Errors
    /// When there is no such device, the content cannot be one or is one for modules, a twin has no room for it, or the store failed.
    pub async fn apply_content(&self, device: &IdentityName, content: &Value) -> Result<(), HubError> {
        let content = Content::parse(content)?;
        if !content.module.is_empty() {
            return Err(HubError::ARGUMENT.because("content.moduleContent is for configurations of modules"));
        }
        self.shared.control.identity(device).await?;
        self.hold(device, &content.device).await?;
        self.deploy(device, &content.modules).await
    }

    async fn deploy(&self, device: &IdentityName, modules: &BTreeMap<String, Settings>) -> Result<(), HubError> {
        let names = modules.keys().filter_map(|id| IdentityName::new(device.device_id(), Some(id)).ok());
        let names: Vec<IdentityName> = names.collect();
        let rows = self.shared.control.rows_of(&names).await?;
        for (name, settings) in names.iter().zip(modules.values()) {
            match row_of(&rows, name) {
                Some(row) if settings.patch(&desired_of(row)).is_none() => {}
                Some(_) => self.hold(name, settings).await?,
                None => {
                    self.create_module(name).await?;
                    self.hold(name, settings).await?;
                }
            }
        }
        Ok(())
    }

    async fn create_module(&self, name: &IdentityName) -> Result<(), HubError> {
        let salt = random::salt().map_err(|error| millrace_control::hub_error(&error))?;
        let mut record = Record::new(name.clone(), new_keys()?, clock::now(), salt);
        record.managed_by = Some(MANAGER.to_owned());
        match self.shared.control.create(&record).await {
            // Somebody else was faster.
            Err(error) if error.code == HubError::MODULE_EXISTS.code => Ok(()),
            created => created,
        }
    }

    async fn hold(&self, name: &IdentityName, settings: &Settings) -> Result<(), HubError> {
        let change = self.shared.control.change_twin(name, |twin, now| {
            let Some(patch) = settings.patch(twin.desired()) else { return Ok(None) };
            Ok(Some(twin.patch_service(None, &json!({ "properties": { "desired": patch } }), now)?))
        });
        change.await.map(drop)
    }
}

/// The row of a module.
pub(super) fn row_of<'a>(rows: &'a [Row], name: &IdentityName) -> Option<&'a Value> {
    let is_its = |key: &[Box<str>]| {
        key.first().is_some_and(|id| **id == *name.device_id()) && key.get(1).map(|id| &**id) == name.module_id()
    };
    rows.iter().find(|(key, _)| is_its(key)).map(|(_, row)| row)
}
