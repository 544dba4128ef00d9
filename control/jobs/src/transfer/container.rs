//! Containers: where the files of imports and exports are.
//! - Shape: a name alone, or `https://HOST/NAME` with a name of this hub, is a container of the hub's own store;
//!   `https://ACCOUNT.blob.core.windows.net/NAME?SIGNATURE`, or one of another host that the configuration names, is one of Azure Storage.
//! - Invariants: no other address is ever contacted, so that nobody makes the hub a client of what only it can reach. Where devices upload,
//!   nothing is imported or exported.
//! - Errors: texts for `failureReason`; none holds a signature.

use std::sync::Arc;
use std::time::Duration;

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::path::Path;
use object_store::{ObjectStore, RetryConfig};

use super::request::ContainerAddress;

const AZURE_SUFFIX: &str = ".blob.core.windows.net";

/// How long one request to a container is repeated before it counts as failed.
const RETRY_PERIOD: Duration = Duration::from_secs(30);

/// The containers that imports and exports may use.
#[derive(Clone)]
pub struct Containers {
    local: Option<Arc<dyn ObjectStore>>,
    /// Names of this hub, without port.
    host_names: Arc<[String]>,
    other_hosts: Arc<[String]>,
    /// The one of the hub's own that devices read and write.
    of_devices: Option<Arc<str>>,
}

/// One of them.
#[derive(Clone)]
pub(super) struct Container {
    pub(super) store: Arc<dyn ObjectStore>,
    folder: Path,
}

/// The parts of an address.
struct Parts<'a> {
    host: Option<&'a str>,
    name: &'a str,
    signature: &'a str,
}

impl Containers {
    /// Those of the hub's own store `local`, each a folder there, under the hub's names; and those of `other_hosts` besides Azure's own.
    #[must_use]
    pub fn new(local: Option<Arc<dyn ObjectStore>>, host_names: Vec<String>, other_hosts: Vec<String>) -> Self {
        let without_port = |host: String| host.split(':').next().unwrap_or_default().to_ascii_lowercase();
        Self {
            local,
            host_names: host_names.into_iter().map(without_port).collect(),
            other_hosts: other_hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect(),
            of_devices: None,
        }
    }

    /// Without the container `name` of the own store, because devices upload there: a file of keys must not lie where one of them could
    /// read it, nor an import come from what one of them wrote.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.of_devices = Some(name.into());
        self
    }

    pub(super) fn open(&self, address: &ContainerAddress) -> Result<Container, String> {
        let parts = Parts::read(&address.0)?;
        match parts.host {
            None => self.open_local(parts.name),
            Some(host) if self.is_own(host) => self.open_local(parts.name),
            Some(host) if host.ends_with(AZURE_SUFFIX) || self.other_hosts.iter().any(|known| known == host) => {
                open_azure(host, &parts)
            }
            Some(_) => Err("the hub's configuration does not name the container's host".to_owned()),
        }
    }

    fn is_own(&self, host: &str) -> bool {
        let name = host.split(':').next().unwrap_or_default();
        self.local.is_some() && self.host_names.iter().any(|own| own == name)
    }

    fn open_local(&self, name: &str) -> Result<Container, String> {
        let store = self.local.clone().ok_or("the hub has no containers of its own")?;
        if self.of_devices.as_deref() == Some(name) {
            return Err("this container is for the uploads of devices: name another one".to_owned());
        }
        Ok(Container { store, folder: Path::from(name) })
    }
}

impl Container {
    /// The place of a blob.
    pub(super) fn blob(&self, name: &str) -> Path {
        name.split('/').fold(self.folder.clone(), |path, part| path.join(part))
    }
}

impl<'a> Parts<'a> {
    fn read(address: &'a str) -> Result<Parts<'a>, String> {
        let (place, signature) = address.split_once('?').unwrap_or((address, ""));
        let (host, name) = match place.split_once("://") {
            None => (None, place),
            Some(("https", rest)) => {
                let (host, name) = rest.split_once('/').ok_or("the address names no container")?;
                (Some(host), name)
            }
            Some(_) => return Err("a container is a name, or an address that begins with https://".to_owned()),
        };
        let name = name.strip_suffix('/').unwrap_or(name);
        let is_host = |host: &str| {
            host.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:".contains(&byte))
        };
        if !host.is_none_or(is_host) {
            return Err("the address has no host name in lower case".to_owned());
        }
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(3..=63).contains(&name.len()) || !name.bytes().all(is_allowed) {
            return Err("the name of a container has 3 to 63 lower-case letters, digits and -".to_owned());
        }
        Ok(Parts { host, name, signature })
    }
}

fn open_azure(host: &str, parts: &Parts<'_>) -> Result<Container, String> {
    let account = host.split('.').next().unwrap_or_default();
    let retry = RetryConfig { max_retries: 5, retry_timeout: RETRY_PERIOD, ..RetryConfig::default() };
    let builder = MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_endpoint(format!("https://{host}"))
        .with_container_name(parts.name)
        .with_config(AzureConfigKey::SasKey, parts.signature)
        .with_retry(retry);
    match builder.build() {
        Ok(store) => Ok(Container { store: Arc::new(store), folder: Path::default() }),
        // Its text may quote the signature.
        Err(_) => Err("the address or the signature of the container cannot be used".to_owned()),
    }
}

impl std::fmt::Debug for Containers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Containers").field("host_names", &self.host_names).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    fn containers() -> Containers {
        let hosts = vec!["hub.example.net:443".to_owned()];
        Containers::new(Some(Arc::new(InMemory::new())), hosts, vec!["blobs.example.net:8443".to_owned()])
    }

    fn place(address: &str) -> Result<String, String> {
        let container = containers().open(&ContainerAddress(address.to_owned()))?;
        Ok(format!("{} {}", container.store, container.blob("a/b.txt")))
    }

    #[test]
    fn containers_are_found() {
        for own in ["exports", "https://hub.example.net/exports", "https://hub.example.net:8443/exports/?sv=1&sig=x"] {
            assert_eq!(place(own).unwrap(), "InMemory exports/a/b.txt", "{own}");
        }
        for azure in [
            "https://acc.blob.core.windows.net/exports?sv=2021-01-01&sr=c&sig=abc%3D",
            "https://blobs.example.net:8443/exports?sig=abc",
        ] {
            assert!(place(azure).unwrap().contains("Azure"), "{azure}");
        }
    }

    #[test]
    fn devices_read_no_export_and_write_no_import() {
        let containers = containers().without("uploads");
        let open = |address: &str| containers.open(&ContainerAddress(address.to_owned())).is_ok();
        for address in ["uploads", "uploads/", "https://hub.example.net/uploads?sig=x"] {
            assert!(!open(address), "{address}");
        }
        assert!(open("exports") && open("https://acc.blob.core.windows.net/uploads?sig=x"));
    }

    #[test]
    fn nothing_else_is_contacted() {
        for address in [
            "https://169.254.169.254/latest",
            "https://blobs.example.net/exports",
            "https://evilblob.core.windows.net.example.net/exports",
            "https://user@acc.blob.core.windows.net/exports",
            "http://hub.example.net/exports",
            "file:///etc",
            "../etc",
            "https://hub.example.net/../etc",
            "https://hub.example.net",
            "",
            "UPPER",
        ] {
            assert!(place(address).is_err(), "{address}");
        }
        let none = Containers::new(None, Vec::new(), Vec::new());
        assert!(none.open(&ContainerAddress("exports".to_owned())).is_err());
    }
}
