//! All that is asked by HTTP, put together: for devices and services on the HTTPS listener, for operators on the admin listener.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use millrace_control_files::Files;
use millrace_control_jobs::{Containers, Jobs};
use millrace_control_provisioning::ProvisioningApi;
use millrace_control_rest::ServiceState;
use millrace_ingest::Doorway;
use millrace_ingest_https::{ControlSide, DeviceApi};

use super::registry::Registry;
use crate::config::ControlSections;

/// See the module's documentation.
pub(crate) struct Apis {
    device: DeviceApi,
    service: ServiceState,
    files: Arc<Files>,
    provisioning: Option<ProvisioningApi>,
}

impl Apis {
    pub(crate) async fn open(
        config: ControlSections,
        host_names: &[String],
        path: &Path,
        registry: &Registry,
        provisioning: Option<ProvisioningApi>,
        doorway: &Doorway,
    ) -> anyhow::Result<Self> {
        let of_devices = config.files.container.clone();
        let host = host_names.first().map_or("localhost", String::as_str).to_owned();
        let control = &registry.control;
        let files = Files::open(config.files, Arc::clone(control.documents()), path, &host).await;
        let files = files.context("cannot open the store for file uploads")?;
        // It goes on until the runtime ends.
        drop(tokio::spawn(Arc::clone(&files).run(std::future::pending())));
        let other_hosts = config.jobs.jobs.container_hosts.clone();
        let containers = Containers::new(Some(Arc::clone(files.store())), host_names.to_vec(), other_hosts);
        let containers = containers.without(&of_devices);
        let jobs = Jobs::start(config.jobs, control.clone(), containers).await.context("cannot start jobs")?;
        let device = DeviceApi {
            directory: control.directory().clone(),
            host_names: host_names.into(),
            intake: Arc::new(doorway.clone()),
            commands: Arc::new(ControlSide { control: control.clone(), refresher: registry.refresher.clone() }),
            files: Some(Arc::clone(&files)),
        };
        let service = ServiceState {
            control: control.clone(),
            jobs,
            files: Some(Arc::clone(&files)),
            policies: Arc::clone(&registry.policies),
            host_name: host.into(),
            token_skew_seconds: config.registry.token_skew_seconds,
        };
        Ok(Self { device, service, files, provisioning })
    }

    /// For the HTTPS listener.
    pub(crate) fn public(&self) -> Router {
        let service = millrace_control_rest::router(self.service.clone());
        let router = self.device.clone().router().merge(service).merge(self.files.router());
        match &self.provisioning {
            Some(provisioning) => router.merge(provisioning.clone().router()),
            None => router,
        }
    }

    /// For the admin listener, which is no device's.
    pub(crate) fn service(&self) -> Router {
        let router = millrace_control_rest::router(self.service.clone());
        match &self.provisioning {
            Some(provisioning) => router.merge(provisioning.clone().service_router()),
            None => router,
        }
    }

    /// Lets go of the jobs under way, so that they go on after the next start, and ends registrations.
    pub(crate) async fn stop(&self) {
        self.service.jobs.shutdown().await;
        if let Some(provisioning) = &self.provisioning {
            provisioning.provisioner.shutdown().await;
        }
    }
}
