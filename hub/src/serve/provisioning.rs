//! The provisioning service of this hub: what it asks of the control side, which knows nothing of it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use millrace_control::{Control, Policies};
use millrace_control_provisioning::enrollment::InitialTwin;
use millrace_control_provisioning::hub::{PendingHub, without_metadata};
use millrace_control_provisioning::{
    CertificateBook, DeviceSpec, HubRegistry, Provisioner, ProvisioningApi, ProvisioningConfig, Surroundings,
};
use millrace_control_store::registry::{Expected, Record, Update};
use millrace_control_store::{clock, random};
use millrace_ingest::Doorway;
use millrace_model::{HubError, IdentityName};
use serde_json::json;

/// Starts it, if it is wanted.
pub(crate) async fn start(
    config: &ProvisioningConfig,
    path: &Path,
    host: &str,
    control: &Control,
    doorway: &Doorway,
) -> anyhow::Result<Option<ProvisioningApi>> {
    if !config.enabled {
        return Ok(None);
    }
    let surroundings = Surroundings {
        documents: Arc::clone(control.documents()),
        doors: Arc::new(doorway.clone()),
        book: Arc::new(Book(control.clone())),
        host_name: host.to_owned(),
        registry: Arc::new(OwnHub(control.clone())),
    };
    let provisioner = Provisioner::start(config.clone(), surroundings).await;
    let policies = Policies::open_provisioning(path).context("cannot open the provisioning service's keys")?;
    Ok(Some(ProvisioningApi {
        provisioner: provisioner.context("cannot start the provisioning service")?,
        policies: Arc::new(policies),
    }))
}

/// Authorities that the hub's operators have added.
struct Book(Control);

impl CertificateBook for Book {
    fn verified_certificate(&self, name: &str) -> Option<Vec<u8>> {
        self.0.trusted().certificates.get(name).cloned()
    }

    fn revocation_lists(&self) -> Vec<Vec<u8>> {
        self.0.trusted().revocation_lists.clone()
    }

    fn revision(&self) -> u64 {
        self.0.trusted().revision
    }
}

/// The registry of this hub.
struct OwnHub(Control);

impl OwnHub {
    async fn put(&self, device: &DeviceSpec) -> Result<(), HubError> {
        let name = name(&device.device_id)?;
        let update = Update {
            authentication: Some(device.authentication.clone()),
            capabilities_iot_edge: device.iot_edge,
            ..Update::default()
        };
        match self.0.update(&name, Expected::Any, update).await {
            Err(error) if error.code == HubError::DEVICE_NOT_FOUND.code => {}
            other => return other.map(drop),
        }
        let salt = random::salt().map_err(|_| HubError::UNAVAILABLE)?;
        let mut record = Record::new(name, device.authentication.clone(), clock::now(), salt);
        record.capabilities_iot_edge = device.iot_edge.unwrap_or_default();
        self.0.create(&record).await
    }

    async fn read(&self, device_id: &str) -> Result<Option<InitialTwin>, HubError> {
        match self.0.twin(&name(device_id)?).await {
            Ok(twin) => Ok(Some(without_metadata(&twin))),
            Err(error) if error.status == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn replace(&self, device_id: &str, twin: &InitialTwin) -> Result<(), HubError> {
        let body = json!({"tags": twin.tags, "properties": {"desired": twin.properties.desired}});
        self.0.replace_twin(&name(device_id)?, None, &body).await.map(drop)
    }

    async fn remove(&self, device_id: &str) -> Result<(), HubError> {
        match self.0.delete(&name(device_id)?, Expected::Any).await {
            Err(error) if error.status == 404 => Ok(()),
            other => other,
        }
    }
}

impl HubRegistry for OwnHub {
    fn put_device<'a>(&'a self, device: &'a DeviceSpec) -> PendingHub<'a, ()> {
        Box::pin(self.put(device))
    }

    fn twin<'a>(&'a self, device_id: &'a str) -> PendingHub<'a, Option<InitialTwin>> {
        Box::pin(self.read(device_id))
    }

    fn replace_twin<'a>(&'a self, device_id: &'a str, twin: &'a InitialTwin) -> PendingHub<'a, ()> {
        Box::pin(self.replace(device_id, twin))
    }

    fn delete_device<'a>(&'a self, device_id: &'a str) -> PendingHub<'a, ()> {
        Box::pin(self.remove(device_id))
    }
}

fn name(device_id: &str) -> Result<IdentityName, HubError> {
    IdentityName::new(device_id, None).map_err(|error| HubError::ARGUMENT.because(error.to_string()))
}
