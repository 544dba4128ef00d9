//! A small file that is replaced as a whole: after a crash it holds the old bytes or the new ones, never a mixture.
//! - Errors: [`JournalError::Storage`] names the step; the old file is then still there.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::error::JournalError;

/// Replaces the file at `path` by `bytes`: writes beside it, syncs, renames over it, syncs the directory.
///
/// # Errors
/// The step that failed.
pub fn durable_write(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    let temporary = beside(path);
    write_synced(&temporary, bytes).map_err(JournalError::storage("write", &temporary))?;
    fs::rename(&temporary, path).map_err(JournalError::storage("rename", &temporary))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(JournalError::storage("sync the directory", directory))
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_whole_file_and_leaves_nothing_beside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cursor");
        durable_write(&path, b"a long first text").unwrap();
        durable_write(&path, b"short").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(durable_write(&directory.path().join("absent/cursor"), b"x").is_err());
    }
}
