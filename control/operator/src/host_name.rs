//! The hub's host name, saved where `device create` finds it without a running hub.
//! - Shape: `DIR/hub.json`: `{"host_name": "..."}`

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
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
}

/// Saves the host name, replacing the file as a whole.
///
/// # Errors
/// When the file cannot be written.
pub fn save(data_dir: &Path, host_name: &str) -> Result<(), RegistryError> {
    let path = data_dir.join(FILE_NAME);
    write(data_dir, &path, host_name).map_err(|source| RegistryError::File { path, source })
}

/// The saved host name, or [`DEFAULT`] when none is saved.
///
/// # Errors
/// When the file is there but cannot be read or understood.
pub fn load(data_dir: &Path) -> Result<String, RegistryError> {
    let path = data_dir.join(FILE_NAME);
    match read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(DEFAULT.to_owned()),
        result => result.map_err(|source| RegistryError::File { path, source }),
    }
}

fn write(data_dir: &Path, path: &Path, host_name: &str) -> io::Result<()> {
    let text = serde_json::to_vec(&Stored { host_name: host_name.to_owned() })?;
    let temporary = data_dir.join(format!("{FILE_NAME}.new"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(data_dir)?.sync_all()
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = Vec::new();
    File::open(path)?.take(SMALL_FILE_BYTES_MAX).read_to_end(&mut text)?;
    let stored: Stored = serde_json::from_slice(&text)?;
    Ok(stored.host_name)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_was_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(super::load(dir.path()).unwrap(), "localhost");
        super::save(dir.path(), "hub.example").unwrap();
        super::save(dir.path(), "hub2.example").unwrap();
        assert_eq!(super::load(dir.path()).unwrap(), "hub2.example");
        std::fs::write(dir.path().join(super::FILE_NAME), "{").unwrap();
        assert!(super::load(dir.path()).is_err());
    }
}
