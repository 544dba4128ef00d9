//! The registry's file and directory, with the rights that keys call for.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::error::RegistryError;

/// Creates what is missing: the directory for its owner only (0700), the file likewise (0600). SQLite gives the file's rights
/// to the two files it puts beside it. Rights of what is there already are the operator's choice.
pub(super) fn prepare(data_dir: &Path, path: &Path) -> Result<(), RegistryError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| RegistryError::File { path, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(failed(data_dir))?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result.map(drop).map_err(failed(path)),
    }
}
