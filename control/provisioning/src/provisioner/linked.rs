//! The linked hubs, out of the settings.

use std::sync::Arc;
use std::time::Duration;

use millrace_protocols_identity::ConnectionString;

use crate::config::{LinkedHubConfig, ProvisioningConfig};
use crate::error::StartError;
use crate::hub::{HubRegistry, Hubs, LinkedHub, RemoteHub};

/// How long a call to another hub may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The hubs that the settings name; this program's own one when they name none.
pub(super) fn open(
    config: &ProvisioningConfig,
    host_name: &str,
    own: &Arc<dyn HubRegistry>,
) -> Result<Hubs, StartError> {
    if config.linked_hubs.is_empty() {
        return Ok(Hubs::new(vec![LinkedHub::new(host_name, 1, None, Arc::clone(own))]));
    }
    let hubs = config.linked_hubs.iter().enumerate().map(|(index, hub)| link(index, hub, host_name, own));
    hubs.collect::<Result<_, _>>().map(Hubs::new)
}

fn link(
    index: usize,
    hub: &LinkedHubConfig,
    host_name: &str,
    own: &Arc<dyn HubRegistry>,
) -> Result<LinkedHub, StartError> {
    let (dialled, registry): (_, Arc<dyn HubRegistry>) = match &hub.connection_string {
        None => (host_name.to_owned(), Arc::clone(own)),
        Some(text) => {
            let problem = "the connection string cannot be read";
            let connection = ConnectionString::parse(text).map_err(|_| StartError::LinkedHub { index, problem })?;
            let url = hub.service_url.as_deref();
            let remote =
                RemoteHub::new(&connection, url, hub.ca_file.as_deref(), CALL_TIMEOUT).map_err(
                    |error| match error {
                        StartError::LinkedHub { problem, .. } => StartError::LinkedHub { index, problem },
                        other => other,
                    },
                )?;
            (connection.host_name.clone(), Arc::new(remote))
        }
    };
    let name = hub.host_name.as_deref().unwrap_or(&dialled);
    Ok(LinkedHub::new(name, hub.weight.unwrap_or(1), hub.latency_ms, registry))
}
