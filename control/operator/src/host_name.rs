//! What a hub leaves in its data directory for the command line: its host name, which `device create` needs without a running hub, and
//! where a running one can be asked.
//! - Shape: `DIR/hub.json`: `{"host_name": "...", "admin": "127.0.0.1:9464", "has_database": true}`; members that are not known are skipped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::limits::SMALL_FILE_BYTES_MAX;
use millrace_control_store::error::RegistryError;

/// Name of the file in the data directory.
pub const FILE_NAME: &str = "hub.json";
/// Host name of a hub that was not told another one.
pub const DEFAULT: &str = "localhost";

#[derive(Serialize, Deserialize)]
struct Stored {
    host_name: String,
    /// Address of the admin listener. It outlives the hub: whether one answers there is for the caller to see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    admin: Option<SocketAddr>,
    /// Whether identities are in a database and not in the data directory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    has_database: bool,
}

/// Saves the host name, replacing the file as a whole.
///
/// # Errors
/// When the file cannot be written.
pub fn save(data_dir: &Path, host_name: &str) -> Result<(), RegistryError> {
    replace(data_dir, &Stored { host_name: host_name.to_owned(), admin: None, has_database: false })
}

/// Saves the host name and the address of the admin listener, replacing the file as a whole.
///
/// # Errors
/// When the file cannot be written.
pub fn announce(data_dir: &Path, host_name: &str, admin: SocketAddr) -> Result<(), RegistryError> {
    replace(data_dir, &Stored { host_name: host_name.to_owned(), admin: Some(admin), has_database: false })
}

/// Likewise, of a hub whose identities are in a database.
///
/// # Errors
/// When the file cannot be written.
pub fn announce_database(data_dir: &Path, host_name: &str, admin: Option<SocketAddr>) -> Result<(), RegistryError> {
    replace(data_dir, &Stored { host_name: host_name.to_owned(), admin, has_database: true })
}

/// Whether the hub's identities are in a database, so that only the hub can be asked for them.
///
/// # Errors
/// When the file is there but cannot be read or understood.
pub fn has_database(data_dir: &Path) -> Result<bool, RegistryError> {
    Ok(stored(data_dir)?.is_some_and(|stored| stored.has_database))
}

/// The saved host name, or [`DEFAULT`] when none is saved.
///
/// # Errors
/// When the file is there but cannot be read or understood.
pub fn load(data_dir: &Path) -> Result<String, RegistryError> {
    Ok(stored(data_dir)?.map_or_else(|| DEFAULT.to_owned(), |stored| stored.host_name))
}

/// Where the hub's admin listener can be asked; `None` when no hub has said so. One that listens on all addresses is asked on loopback.
///
/// # Errors
/// When the file is there but cannot be read or understood.
pub fn load_admin(data_dir: &Path) -> Result<Option<SocketAddr>, RegistryError> {
    let admin = stored(data_dir)?.and_then(|stored| stored.admin);
    Ok(admin.map(|mut address| {
        if address.ip().is_unspecified() {
            let is_v4 = address.is_ipv4();
            address.set_ip(if is_v4 {
                std::net::Ipv4Addr::LOCALHOST.into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            });
        }
        address
    }))
}

fn stored(data_dir: &Path) -> Result<Option<Stored>, RegistryError> {
    let path = data_dir.join(FILE_NAME);
    match read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some).map_err(|source| RegistryError::File { path, source }),
    }
}

fn replace(data_dir: &Path, stored: &Stored) -> Result<(), RegistryError> {
    let path = data_dir.join(FILE_NAME);
    write(data_dir, &path, stored).map_err(|source| RegistryError::File { path, source })
}

fn write(data_dir: &Path, path: &Path, stored: &Stored) -> io::Result<()> {
    let text = serde_json::to_vec(stored)?;
    let temporary = data_dir.join(format!("{FILE_NAME}.new"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(data_dir)?.sync_all()
}

fn read(path: &Path) -> io::Result<Stored> {
    let mut text = Vec::new();
    File::open(path)?.take(SMALL_FILE_BYTES_MAX).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_was_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(super::load(dir.path()).unwrap(), "localhost");
        assert_eq!(super::load_admin(dir.path()).unwrap(), None);
        super::save(dir.path(), "hub.example").unwrap();
        super::announce(dir.path(), "hub2.example", "0.0.0.0:9464".parse().unwrap()).unwrap();
        assert_eq!(super::load(dir.path()).unwrap(), "hub2.example");
        assert_eq!(super::load_admin(dir.path()).unwrap(), Some("127.0.0.1:9464".parse().unwrap()));
        assert!(!super::has_database(dir.path()).unwrap());
        super::announce_database(dir.path(), "hub3.example", None).unwrap();
        assert_eq!(super::load(dir.path()).unwrap(), "hub3.example");
        assert!(super::has_database(dir.path()).unwrap());
        std::fs::write(dir.path().join(super::FILE_NAME), r#"{"host_name":"h","admin":"[::]:1","new":{}}"#).unwrap();
        assert_eq!(super::load_admin(dir.path()).unwrap(), Some("[::1]:1".parse().unwrap()));
        std::fs::write(dir.path().join(super::FILE_NAME), "{").unwrap();
        assert!(super::load(dir.path()).is_err());
    }
}
