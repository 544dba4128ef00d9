//! The data directory: what lies where, who may read it, and that only one hub uses it.
//! - Shape: `lock`, `hub.json`, `registry.sqlite`, `policies.json`, `tls/`, `journal/shard-N/`, `cursors/`, `alerts/`, `dead-letter/`, `parquet/`.
//! - Invariants: the directory is 0700, because keys and messages lie in it.

use std::fs::{DirBuilder, File, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// A data directory that this process alone uses, for as long as the value lives.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
    _lock: File,
}

impl DataDirectory {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        make(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o700))
            .with_context(|| format!("cannot make {} private", path.display()))?;
        let lock = File::create(path.join("lock")).with_context(|| format!("cannot write to {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!("another hub uses the data directory {}", path.display()),
            Err(TryLockError::Error(error)) => Err(error).context("cannot lock the data directory"),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A directory in it, made if it does not exist.
    pub(crate) fn part(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        make(&path)?;
        Ok(path)
    }

    /// How many shards have a journal here.
    pub(crate) fn shards(&self) -> anyhow::Result<u16> {
        let journals = self.part("journal")?;
        let entries = std::fs::read_dir(&journals).with_context(|| format!("cannot read {}", journals.display()))?;
        let numbers =
            entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("shard-")?.parse::<u16>().ok());
        Ok(numbers.max().map_or(0, |last| last.saturating_add(1)))
    }
}

fn make(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the directory {}", path.display()))
}
