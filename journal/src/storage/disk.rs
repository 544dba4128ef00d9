//! [`Storage`] over the real file system.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

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
        Ok(Box::new(DiskFile(file)))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn StoredFile>> {
        let file = OpenOptions::new().read(true).write(access == Access::ReadWrite).open(path)?;
        Ok(Box::new(DiskFile(file)))
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
struct DiskFile(File);

impl StoredFile for DiskFile {
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, position)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut filled = 0_usize;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = position.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
            match self.0.read_at(rest, at) {
                Ok(0) => break,
                Ok(count) => filled = filled.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

#[derive(Debug)]
struct HeldLock {
    /// The lock goes when the file is closed.
    _file: File,
}

impl Lock for HeldLock {}
