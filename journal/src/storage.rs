//! The file operations that a journal needs, and nothing else, so that tests can put a disk of their own beneath it.
//! - Invariants: a write is safe only after `sync_data` (or as `write_through`), a name only after `sync_directory`. [`Storage::create`] always gives a
//!   file that nobody has seen before: after a failed sync the old one's cached pages are not to be trusted.
//! - Not here: retries, formats.

use std::fmt::Debug;
use std::io;
use std::path::Path;

pub(crate) mod disk;
#[cfg(test)]
pub(crate) mod simulated;

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    ReadWrite,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

/// One open file. Positions are bytes from its start.
pub(crate) trait StoredFile: Debug + Send + Sync {
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Fills as much of `buffer` as the file has there; less only at its end.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    fn sync_data(&self) -> io::Result<()>;
    /// Writes whole blocks, which are safe when this returns; `blocks` begins at a multiple of [`crate::limits::BLOCK_BYTES`] in
    /// memory, too. What was written with [`Self::write_at`] before is safe only after a `sync_data`.
    fn write_through(&self, blocks: &[u8], position: u64) -> io::Result<()>;
    fn truncate(&self, bytes: u64) -> io::Result<()>;
    fn bytes(&self) -> io::Result<u64>;
}

/// Keeps other programs out for as long as it lives.
pub(crate) trait Lock: Debug + Send + Sync {}

/// A file system.
pub(crate) trait Storage: Debug + Send + Sync {
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;
    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>>;
    /// A new file of `bytes` zero bytes whose blocks are allocated; an old one of that name goes.
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn StoredFile>>;
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn StoredFile>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    fn free_bytes(&self, directory: &Path) -> io::Result<u64>;
}
