//! [`Storage`] over the real file system.
//! - Shape: a file that is created can be written in two ways: through the system's cache, and past it, from the program's memory
//!   to the disk, which spares a copy, the cache's book-keeping and a call. Where the file system or the device refuses the
//!   latter, [`StoredFile::write_through`] is a write and a sync.
//! - Invariants: readers go through the cache; the system drops from it what is written past it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::{Access, Listed, Lock, Storage, StoredFile};

/// The file system of this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disk;

impl Storage for Disk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)?;
        // The directory's own name and its parent's, which may be new as well.
        path.ancestors().skip(1).take(2).try_for_each(|above| self.sync_directory(above))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.try_lock()?;
        Ok(Box::new(HeldLock { _file: file }))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            // A name that is not UTF-8 is none of ours; it shows as a stray.
            found.push(Listed { name: entry.file_name().to_string_lossy().into_owned(), bytes: metadata.len() });
        }
        Ok(found)
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn StoredFile>> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().create_new(true).read(true).write(true).open(path)?;
        if let Err(error) = allocate(&file, bytes) {
            // Half an allocation would keep the disk full.
            drop(fs::remove_file(path));
            return Err(error);
        }
        Ok(Box::new(DiskFile { file, through: Through::open(path) }))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn StoredFile>> {
        let file = OpenOptions::new().read(true).write(access == Access::ReadWrite).open(path)?;
        Ok(Box::new(DiskFile { file, through: None }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        File::open(path)?.sync_all()
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        let stat = statvfs(directory)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Reserves blocks; on file systems that cannot, the file only gets its length.
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(bytes),
        other => other.map_err(io::Error::from),
    }
}

#[derive(Debug)]
struct DiskFile {
    file: File,
    through: Option<Through>,
}

/// The way past the cache.
#[derive(Debug)]
struct Through {
    file: File,
    /// Some devices ask for larger blocks than ours, and say so only when they are written.
    is_refused: AtomicBool,
}

impl Through {
    /// `None` where the file system does not know of it.
    fn open(path: &Path) -> Option<Self> {
        let file = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT | libc::O_DSYNC).open(path).ok()?;
        Some(Self { file, is_refused: AtomicBool::new(false) })
    }

    /// Whether the device took it; `false`: nobody may count on anything of it being written.
    fn write(&self, blocks: &[u8], position: u64) -> io::Result<bool> {
        if self.is_refused.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match self.file.write_all_at(blocks, position) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                self.is_refused.store(true, Ordering::Relaxed);
                Ok(false)
            }
            other => other.map(|()| true),
        }
    }
}

impl StoredFile for DiskFile {
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, position)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut filled = 0_usize;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = position.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
            match self.file.read_at(rest, at) {
                Ok(0) => break,
                Ok(count) => filled = filled.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write_through(&self, blocks: &[u8], position: u64) -> io::Result<()> {
        if let Some(through) = &self.through
            && through.write(blocks, position)?
        {
            return Ok(());
        }
        self.write_at(blocks, position)?;
        self.sync_data()
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

#[derive(Debug)]
struct HeldLock {
    /// The lock goes when the file is closed.
    _file: File,
}

impl Lock for HeldLock {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::BLOCK_BYTES;

    #[repr(align(4096))]
    struct Blocks([u8; 3 * BLOCK_BYTES]);

    #[test]
    fn what_is_written_past_the_cache_is_read_through_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let written = Disk.create(&path, 1 << 20).unwrap();
        let read = Disk.open(&path, Access::Read).unwrap();
        let mut found = vec![1; 3 * BLOCK_BYTES];
        for value in 0..20 {
            let blocks = Blocks([value; 3 * BLOCK_BYTES]);
            written.write_through(&blocks.0[..2 * BLOCK_BYTES], 4096).unwrap();
            assert_eq!(read.read_at(&mut found, 4096).unwrap(), found.len());
            assert!(found[..2 * BLOCK_BYTES].iter().all(|&byte| byte == value));
            assert!(found[2 * BLOCK_BYTES..].iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn where_the_way_past_the_cache_is_refused_a_sync_does_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let written = Disk.create(&path, 1 << 20).unwrap();
        // Neither aligned in memory nor whole blocks: what a device with larger blocks would find in any write.
        let odd = &Blocks([7; 3 * BLOCK_BYTES]).0[1..BLOCK_BYTES];
        written.write_through(odd, 0).unwrap();
        let aligned = Blocks([8; 3 * BLOCK_BYTES]);
        written.write_through(&aligned.0, 4096).unwrap();
        let file = DiskFile { file: File::options().read(true).write(true).open(&path).unwrap(), through: None };
        file.write_through(&aligned.0, 16384).unwrap();
        let contents = fs::read(&path).unwrap();
        assert_eq!((&contents[..odd.len()], &contents[4096..16384]), (odd, &aligned.0[..]));
        assert_eq!(&contents[16384..28672], &aligned.0);
    }
}
