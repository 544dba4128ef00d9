//! A hub that serves everything on plain sockets, and a caller that may do everything with it.

use anyhow::Result;
use millrace_protocols_identity::Key;

use crate::device::Device;
use crate::hub::Hub;
use crate::rest::{Rest, free_address};

/// See the module's documentation.
#[derive(Debug)]
pub struct Scene {
    /// The hub; devices know it as `localhost`.
    pub hub: Hub,
    /// A caller with the policy `iothubowner`.
    pub rest: Rest,
}

/// The key of all devices of a scene.
///
/// # Errors
/// None.
pub fn key() -> Result<Key> {
    Ok(Key::from_bytes(&[b'k'; 32])?)
}

impl Scene {
    /// Starts a hub with this configuration, which says nothing of `[hub]` and `[https]`.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn new(configuration: &str) -> Result<Self> {
        Self::with_https("", configuration)
    }

    /// Likewise, with more settings of `[https]`.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn with_https(settings: &str, configuration: &str) -> Result<Self> {
        let address = free_address()?;
        let hub = Hub::start(&format!(
            "[hub]\nname = \"hub\"\nhost_names = [\"localhost\"]\n\
             [https]\nlisten_plain = \"{address}\"\n{settings}\n{configuration}"
        ))?;
        let rest = Rest::new(&hub, address, "iothubowner")?;
        Ok(Self { hub, rest })
    }

    /// Makes devices `device-0` and so on; answers their ids.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn devices(&self, count: usize) -> Result<Vec<String>> {
        let ids: Vec<String> = (0..count).map(|number| format!("device-{number}")).collect();
        let key = key()?;
        ids.iter().try_for_each(|id| self.rest.create(id, &key))?;
        Ok(ids)
    }

    /// Connects a device.
    ///
    /// # Errors
    /// When the hub does not take it.
    pub fn connect(&self, id: &str) -> Result<Device> {
        Ok(Device::connect(self.hub.mqtt, id, &key()?)?.0)
    }
}
