//! Settings of file uploads, section `[files]` of the configuration file.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::limits::CONTAINER_NAMES_TAKEN;
use crate::target;

/// Settings of file uploads.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilesConfig {
    /// Where files go: `file:///folder`, `s3://bucket/folder`, `az://container/folder`, `gs://bucket/folder`. Default: the folder `files`
    /// of the data directory.
    pub url: String,
    /// Passed to the object store's client, under its names (`region`, `endpoint`, ..). Values are never logged. Default: none.
    pub options: Options,
    /// Host name, with port if it is not 443, at which devices reach the blob endpoint. Default: the hub's own.
    pub host_name: String,
    /// Name of the container, first part of a blob's path. Default `uploads`.
    pub container: String,
    /// Largest file. Default 268435456 (256 MiB).
    pub upload_bytes_max: u64,
    /// Largest block of a file that comes in blocks. Default 104857600 (100 MiB).
    pub block_bytes_max: u64,
    /// Uploads that a device may have under way. Default 10.
    pub uploads_per_device_max: usize,
    /// Seconds that a device has for an upload. Default 3600.
    pub upload_seconds: u64,
    /// Requests that write at once; each holds at most 10 MiB, or 30 MiB for a list of 50,000 blocks. More wait, then are told to come again. Default 32.
    pub writes_max: usize,
    /// Whether services are told of finished uploads. Default false.
    pub notifications: bool,
    /// Seconds that a notification waits for a service. Default 3600.
    pub notification_seconds: u64,
    /// Seconds for which a service that receives a notification has it for itself. Default 60.
    pub notification_lock_seconds: u64,
    /// How often a notification is handed out at most. Default 10.
    pub notification_deliveries_max: u32,
}

/// Options of an object store's client; its `Debug` shows names only.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Options(pub BTreeMap<String, String>);

impl Default for FilesConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            options: Options::default(),
            host_name: String::new(),
            container: "uploads".to_owned(),
            upload_bytes_max: 256 * 1024 * 1024,
            block_bytes_max: 100 * 1024 * 1024,
            uploads_per_device_max: 10,
            upload_seconds: 3_600,
            writes_max: 32,
            notifications: false,
            notification_seconds: 3_600,
            notification_lock_seconds: 60,
            notification_deliveries_max: 10,
        }
    }
}

impl FilesConfig {
    /// All that is wrong with these settings.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let mut problems = target::problems(self);
        let mut require = |holds: bool, problem: &str| {
            if !holds {
                problems.push(format!("files.{problem}"));
            }
        };
        let is_name = (3..=63).contains(&self.container.len())
            && self.container.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        require(is_name, "container has to be 3 to 63 lower-case letters, digits and hyphens");
        require(
            !CONTAINER_NAMES_TAKEN.contains(&self.container.as_str()),
            "container is the name of a part of the hub's own addresses",
        );
        require(self.upload_bytes_max > 0, "upload_bytes_max is 0");
        require((1..=4_000 << 20).contains(&self.block_bytes_max), "block_bytes_max has to be 1 to 4194304000");
        require((1..=100).contains(&self.uploads_per_device_max), "uploads_per_device_max has to be 1 to 100");
        require((60..=86_400).contains(&self.upload_seconds), "upload_seconds has to be 60 to 86400");
        require((1..=10_000).contains(&self.writes_max), "writes_max has to be 1 to 10000");
        require((60..=172_800).contains(&self.notification_seconds), "notification_seconds has to be 60 to 172800");
        require((5..=300).contains(&self.notification_lock_seconds), "notification_lock_seconds has to be 5 to 300");
        require(
            (1..=100).contains(&self.notification_deliveries_max),
            "notification_deliveries_max has to be 1 to 100",
        );
        problems
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_all_problems_are_told() {
        assert!(FilesConfig::default().validate().is_empty());
        let bad = FilesConfig {
            url: "ftp://x".to_owned(),
            container: "devices".to_owned(),
            upload_bytes_max: 0,
            block_bytes_max: 0,
            uploads_per_device_max: 0,
            upload_seconds: 1,
            writes_max: 0,
            notification_seconds: 1,
            notification_lock_seconds: 1,
            notification_deliveries_max: 0,
            ..FilesConfig::default()
        };
        assert_eq!(bad.validate().len(), 10, "{:?}", bad.validate());
    }

    #[test]
    fn option_values_are_not_shown() {
        let options = Options([("secret_access_key".to_owned(), "hunter2".to_owned())].into());
        let shown = format!("{:?}", FilesConfig { options, ..FilesConfig::default() });
        assert!(shown.contains("secret_access_key") && !shown.contains("hunter2"), "{shown}");
    }
}
