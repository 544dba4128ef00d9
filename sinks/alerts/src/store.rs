//! The state file: frames appended and synced by a thread of their own, so that no rule waits for a disk.
//! - Shape: magic 8 B | frame*, frame = length u32 | crc32c u32 | payload (`state.rs`), little endian.
//! - Invariants: at most one frame is on its way; it is durable when `written` counts it. A file handle that failed once is never
//!   used again: the frames known to be good and the one that failed go to a new file, which replaces the old one.
//! - Limits: rewritten as one base frame when it has grown to four times its size and to [`COMPACT_BYTES_MIN`]. Memory for
//!   that: twice the state.
//! - Errors: reading stops at the first frame that is not whole; a file without a readable base is set aside, not deleted.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::encode::{Reader, Writer};
use crate::limits::{COMPACT_BYTES_MIN, FRAME_BYTES_MAX};
use crate::state::Image;

const MAGIC: &[u8; 8] = b"MRALERT1";

/// Pause after a failure to write.
const RETRY: Duration = Duration::from_secs(1);

/// What reading found.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    pub(crate) image: Image,
    /// Bytes at the end that were no whole frame.
    pub(crate) cut_bytes: usize,
    /// Where a file that could not be read at all was put.
    pub(crate) set_aside: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct Progress {
    written: Mutex<u64>,
    changed: Condvar,
    /// Why the last attempt to write failed.
    failure: Mutex<Option<String>>,
    closing: AtomicBool,
}

impl Progress {
    fn tell(&self, failure: Option<String>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

/// The sink's end of the state file.
#[derive(Debug)]
pub(crate) struct Store {
    frames: Option<SyncSender<Vec<u8>>>,
    submitted: u64,
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

/// Reads a state file; an absent one is empty.
pub(crate) fn read(path: &Path) -> io::Result<Opened> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Opened::default()),
        Err(error) => return Err(error),
    };
    let (image, good) = replay(&bytes);
    if image.alive_until.is_some() {
        return Ok(Opened { image, cut_bytes: bytes.len().saturating_sub(good), set_aside: None });
    }
    let aside = path.with_extension("unreadable");
    fs::rename(path, &aside)?;
    Ok(Opened { set_aside: Some(aside), ..Opened::default() })
}

/// Applies all whole frames; answers how many bytes they take.
fn replay(bytes: &[u8]) -> (Image, usize) {
    let mut image = Image::default();
    let mut good = 0;
    let Some(rest) = bytes.strip_prefix(MAGIC) else { return (image, good) };
    let mut from = Reader(rest);
    while let Some(payload) = next_frame(&mut from)
        && image.apply(payload).is_some()
    {
        good = bytes.len().saturating_sub(from.0.len());
    }
    (image, good)
}

fn next_frame<'a>(from: &mut Reader<'a>) -> Option<&'a [u8]> {
    let mut header = *from;
    let (length, checksum) = (usize::try_from(header.u32()?).ok()?, header.u32()?);
    let (payload, rest) = header.0.split_at_checked(length)?;
    if length > FRAME_BYTES_MAX || crc32c::crc32c(payload) != checksum {
        return None;
    }
    from.0 = rest;
    Some(payload)
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(payload.len() + 8));
    out.length(payload.len());
    out.u32(crc32c::crc32c(payload));
    out.0.extend_from_slice(payload);
    out.0
}

impl Store {
    /// Replaces the file by one that holds `base` alone, and starts the thread that appends to it.
    pub(crate) fn open(path: &Path, base: &[u8]) -> io::Result<Self> {
        let mut writer = StateFile::create(path, base)?;
        let progress = Arc::new(Progress::default());
        let (frames, inbox) = sync_channel(1);
        let shared = Arc::clone(&progress);
        let thread = std::thread::Builder::new()
            .name("alerts-state".to_owned())
            .spawn(move || write_frames(&mut writer, &inbox, &shared))?;
        Ok(Self { frames: Some(frames), submitted: 0, progress, thread: Some(thread) })
    }

    /// Whether everything submitted is durable.
    pub(crate) fn is_idle(&self) -> bool {
        *self.progress.written.lock().unwrap_or_else(PoisonError::into_inner) >= self.submitted
    }

    /// Why the last attempt to write failed; `None` when it did not.
    pub(crate) fn failure(&self) -> Option<String> {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            return Some("the thread that writes it has ended".to_owned());
        }
        self.progress.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Hands a frame over; only when idle, else it is refused.
    pub(crate) fn submit(&mut self, payload: &[u8]) -> bool {
        let taken =
            self.is_idle() && self.frames.as_ref().is_some_and(|frames| frames.try_send(framed(payload)).is_ok());
        if taken {
            self.submitted += 1;
        }
        taken
    }

    /// Waits until everything submitted is durable; false when `deadline` came first.
    pub(crate) fn wait_idle(&self, deadline: Instant) -> bool {
        let mut written = self.progress.written.lock().unwrap_or_else(PoisonError::into_inner);
        while *written < self.submitted {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            written = match self.progress.changed.wait_timeout(written, left) {
                Ok((written, _)) => written,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        true
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.progress.closing.store(true, Ordering::Release);
        self.frames = None;
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic there was already reported by the panic hook; nothing is left to do with it.
            drop(thread.join());
        }
    }
}

fn write_frames(file: &mut StateFile, inbox: &Receiver<Vec<u8>>, progress: &Progress) {
    while let Ok(frame) = inbox.recv() {
        let mut outcome = file.append(&frame);
        while let Err(error) = outcome {
            progress.tell(Some(error.to_string()));
            if progress.closing.load(Ordering::Acquire) {
                return;
            }
            std::thread::park_timeout(RETRY);
            outcome = file.rewrite(&frame);
        }
        progress.tell(None);
        *progress.written.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        progress.changed.notify_all();
        file.compact_if_large();
    }
}

#[derive(Debug)]
struct StateFile {
    path: PathBuf,
    file: File,
    /// Length of what is known to be good.
    good: u64,
    /// Length after the last rewriting.
    base: u64,
    /// Whether the file's name is not yet known to be on disk.
    is_name_unsafe: bool,
}

impl StateFile {
    fn create(path: &Path, base: &[u8]) -> io::Result<Self> {
        let (file, length) = replace(path, &framed(base))?;
        sync_directory_of(path)?;
        Ok(Self { path: path.to_owned(), file, good: length, base: length, is_name_unsafe: false })
    }

    fn append(&mut self, frame: &[u8]) -> io::Result<()> {
        if self.is_name_unsafe {
            return self.rewrite(frame);
        }
        self.file.write_all(frame)?;
        self.file.sync_data()?;
        self.good += length_of(frame);
        Ok(())
    }

    /// A new file out of what is good in the old one, and `frame`.
    fn rewrite(&mut self, frame: &[u8]) -> io::Result<()> {
        let bytes = fs::read(&self.path)?;
        let good = bytes.get(..usize::try_from(self.good).unwrap_or(usize::MAX)).unwrap_or(&bytes);
        let (mut image, _) = replay(good);
        if let Some(payload) = next_frame(&mut Reader(frame)) {
            image.apply(payload).ok_or(io::ErrorKind::InvalidData)?;
        }
        drop(bytes);
        let (file, length) = replace(&self.path, &framed(&image.to_base()))?;
        // From here on the new file is the one that has the name, whatever becomes of the directory.
        *self = Self { path: std::mem::take(&mut self.path), file, good: length, base: length, is_name_unsafe: true };
        sync_directory_of(&self.path)?;
        self.is_name_unsafe = false;
        Ok(())
    }

    fn compact_if_large(&mut self) {
        if self.good < COMPACT_BYTES_MIN || self.good < self.base.saturating_mul(4) {
            return;
        }
        if let Err(error) = self.rewrite(&[]) {
            // The file that has the name is whole, the old one or the new one; the next frame tries again.
            tracing::warn!(path = %self.path.display(), %error, "alert state could not be compacted");
        }
    }
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(directory)?.sync_all()
}

/// Puts a file with `frame` in the place of `path` and opens it for appending; an error leaves the old one there. The name
/// is safe after [`sync_directory_of`].
fn replace(path: &Path, frame: &[u8]) -> io::Result<(File, u64)> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(MAGIC)?;
    file.write_all(frame)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    Ok((file, length_of(MAGIC) + length_of(frame)))
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Frame;

    fn base(alive_until: i64) -> Vec<u8> {
        Frame { rules: Some(vec![1]), alive_until, ..Frame::default() }.encode()
    }

    fn delta(alive_until: i64, done: u64) -> Vec<u8> {
        Frame { alive_until, done: vec![("q".to_owned(), done)], ..Frame::default() }.encode()
    }

    fn written(path: &Path, frames: u64) {
        let mut store = Store::open(path, &base(0)).unwrap();
        for number in 1..=frames {
            assert!(store.submit(&delta(i64::try_from(number).unwrap(), number)));
            assert!(store.wait_idle(Instant::now() + Duration::from_secs(10)));
        }
    }

    #[test]
    fn frames_come_back_and_a_torn_tail_is_cut_at_every_byte() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.state");
        written(&path, 3);
        let whole = fs::read(&path).unwrap();
        assert_eq!(read(&path).unwrap().image.alive_until, Some(3));
        let frame = framed(&delta(3, 3)).len();
        for cut in 1..=frame {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let opened = read(&path).unwrap();
            assert_eq!((opened.image.alive_until, opened.cut_bytes), (Some(2), frame - cut));
        }
    }

    #[test]
    fn damage_is_noticed_at_every_byte() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.state");
        written(&path, 1);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            fs::write(&path, &damaged).unwrap();
            let opened = read(&path).unwrap();
            assert!(opened.set_aside.is_some() || opened.cut_bytes > 0, "byte {at}");
        }
        assert_eq!(read(&directory.path().join("none")).unwrap().image, Image::default());
    }

    #[test]
    fn a_failed_write_goes_to_a_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.state");
        let mut file = StateFile::create(&path, &base(0)).unwrap();
        file.append(&framed(&delta(1, 1))).unwrap();
        // Half a frame, as a full disk leaves it.
        file.file.write_all(&framed(&delta(2, 2))[..10]).unwrap();
        file.rewrite(&framed(&delta(2, 2))).unwrap();
        file.append(&framed(&delta(3, 3))).unwrap();
        let opened = read(&path).unwrap();
        assert_eq!((opened.image.alive_until, opened.cut_bytes), (Some(3), 0));
    }

    #[test]
    fn a_file_whose_name_may_not_be_on_disk_is_replaced_before_it_is_trusted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.state");
        let mut file = StateFile::create(&path, &base(0)).unwrap();
        file.append(&framed(&delta(1, 1))).unwrap();
        // As after a rewriting whose last step failed.
        file.is_name_unsafe = true;
        file.append(&framed(&delta(2, 2))).unwrap();
        assert_eq!((file.is_name_unsafe, file.good), (false, file.base));
        file.append(&framed(&delta(3, 3))).unwrap();
        assert_eq!(read(&path).unwrap().image.alive_until, Some(3));
    }
}
