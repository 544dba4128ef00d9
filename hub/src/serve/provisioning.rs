//! The provisioning service of this hub, if it is wanted.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use millrace_control::{Control, Policies};
use millrace_control_provisioning::{LocalHub, Provisioner, ProvisioningApi, ProvisioningConfig, Surroundings};
use millrace_ingest::Doorway;

/// Starts it on the stores of the control side.
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
    let local = Arc::new(LocalHub::new(control.clone()));
    let surroundings = Surroundings {
        documents: Arc::clone(control.documents()),
        doors: Arc::new(doorway.clone()),
        book: local.clone(),
        host_name: host.to_owned(),
        registry: local,
    };
    let provisioner = Provisioner::start(config.clone(), surroundings).await;
    let policies = Policies::open_provisioning(path).context("cannot open the provisioning service's keys")?;
    Ok(Some(ProvisioningApi {
        provisioner: provisioner.context("cannot start the provisioning service")?,
        policies: Arc::new(policies),
    }))
}
