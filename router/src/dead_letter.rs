//! The store of messages that an endpoint can never take: files of JSON lines that people and tools can read.
//! - Shape: `DIR/dead-letter-NNNNNN.jsonl`, a line for each message ([`Letter`]); the file with the highest number is written.
//! - Invariants: what [`DeadLetters::put`] answered with `Ok` is synced. A line is never written twice into one file by a retry:
//!   a failed write is cut off again, a failed sync moves on to a new file.
//! - Limits: a file is closed at [`DEAD_LETTER_FILE_BYTES_MAX`], or at a quarter of the store. All files together take at most the
//!   bytes given: the oldest file makes room, so that a device that sends poison costs old letters and holds up no sink. Letters
//!   of one call that are larger than the whole store are kept alone (a call brings at most one batch).
//! - Errors: those of the disk; only they make callers wait. A torn last line, left by a crash, is ended and stands by itself.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millrace_model::{Classify, DeadLetter, Fault, Kind, Message, PropertyName};
use serde::Serialize;

use crate::events::{DeadLetterMeters, DeadLettersDropped};
use crate::limits::DEAD_LETTER_FILE_BYTES_MAX;

/// See the module's documentation.
#[derive(Debug)]
pub struct DeadLetters {
    directory: PathBuf,
    bytes_max: u64,
    file_bytes_max: u64,
    meters: DeadLetterMeters,
    writer: Mutex<Writer>,
}

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}")]
pub struct DeadLetterError {
    /// What was tried.
    action: &'static str,
    /// On what.
    path: PathBuf,
    /// What the system said.
    #[source]
    source: io::Error,
}

#[derive(Debug)]
struct Writer {
    /// `None` before the first letter and after a failed sync.
    file: Option<File>,
    number: u64,
    file_bytes: u64,
}

/// One line. `body` is base64.
#[derive(Serialize)]
struct Letter<'a> {
    time: String,
    endpoint: &'a str,
    reason: &'a str,
    shard: u16,
    offset: u64,
    enqueued_time: String,
    source: &'static str,
    device_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    module_id: Option<&'a str>,
    system_properties: BTreeMap<&'static str, Option<String>>,
    properties: BTreeMap<String, Option<String>>,
    body: String,
}

impl Classify for DeadLetterError {
    fn kind(&self) -> Kind {
        Kind::Unavailable
    }

    fn fault(&self) -> Fault {
        Fault::Operator
    }
}

impl DeadLetters {
    /// Opens the store in `directory` (made if absent), for at most `bytes_max` bytes.
    ///
    /// # Errors
    /// When the directory cannot be made or listed.
    pub fn open(directory: &Path, bytes_max: u64) -> Result<Self, DeadLetterError> {
        // Several files, so that what is given up is a part.
        let file_bytes_max = DEAD_LETTER_FILE_BYTES_MAX.min(bytes_max / 4);
        let failed = |action| move |source| DeadLetterError { action, path: directory.to_owned(), source };
        fs::create_dir_all(directory).map_err(failed("create"))?;
        let files = list(directory).map_err(failed("list"))?;
        let meters = DeadLetterMeters::new();
        meters.size(files.iter().map(|(_, bytes)| bytes).sum());
        let number = files.iter().map(|&(number, _)| number).max().unwrap_or(0);
        let writer = Mutex::new(Writer { file: None, number, file_bytes: 0 });
        Ok(Self { directory: directory.to_owned(), bytes_max, file_bytes_max, meters, writer })
    }

    fn append(&self, lines: &[u8], letters: usize) -> io::Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let added = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        let stored = self.make_room(&mut writer, added)?;
        match writer.write(&self.directory, lines, self.file_bytes_max) {
            // On a full disk sinks that wait for a letter hold the journal, and the journal the disk: an old letter has to go.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                self.give_up_oldest(&mut writer)?;
                writer.write(&self.directory, lines, self.file_bytes_max)?;
            }
            result => result?,
        }
        self.meters.stored(letters);
        self.meters.size(stored.saturating_add(added));
        Ok(())
    }

    /// Gives up the oldest files until `added` bytes fit; what the others hold.
    fn make_room(&self, writer: &mut Writer, added: u64) -> io::Result<u64> {
        // Asked each time, so that a file that somebody removed makes room at once.
        let mut files = list(&self.directory)?;
        files.sort_unstable();
        let mut stored: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        for (number, bytes) in files {
            if stored.saturating_add(added) <= self.bytes_max {
                break;
            }
            self.give_up(writer, number, bytes)?;
            stored = stored.saturating_sub(bytes);
        }
        Ok(stored)
    }

    fn give_up_oldest(&self, writer: &mut Writer) -> io::Result<()> {
        match list(&self.directory)?.into_iter().min() {
            Some((number, bytes)) => self.give_up(writer, number, bytes),
            None => Ok(()),
        }
    }

    fn give_up(&self, writer: &mut Writer, number: u64, bytes: u64) -> io::Result<()> {
        let path = path_of(&self.directory, number);
        // As far as they can be counted: a file that cannot be read is given up all the same.
        let letters = count_lines(&path).unwrap_or(0);
        if number == writer.number {
            writer.next_file();
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                DeadLettersDropped { path: &path, letters, bytes }.emit(&self.meters);
                Ok(())
            }
        }
    }
}

impl DeadLetter for DeadLetters {
    fn put(&self, message: &Message<'_>, endpoint: &str, reason: &str) -> io::Result<()> {
        self.put_all(&[(*message, endpoint, reason)])
    }

    /// With one sync for all of them.
    fn put_all(&self, letters: &[(Message<'_>, &str, &str)]) -> io::Result<()> {
        let mut lines = Vec::new();
        for (message, endpoint, reason) in letters {
            serde_json::to_writer(&mut lines, &letter(message, endpoint, reason))?;
            lines.push(b'\n');
        }
        self.append(&lines, letters.len())
    }
}

impl Writer {
    fn write(&mut self, directory: &Path, lines: &[u8], file_bytes_max: u64) -> io::Result<()> {
        if self.file_bytes >= file_bytes_max {
            self.next_file();
        }
        let before = self.file_bytes;
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.open(directory)?,
        };
        if self.file_bytes == 0 || before != self.file_bytes {
            // The file may be new: its name has to be as safe as its contents.
            File::open(directory)?.sync_all()?;
        }
        if let Err(error) = file.write_all(lines) {
            // Cut off what arrived; if that fails too, opening the file again ends the torn line.
            if file.set_len(self.file_bytes).is_ok() {
                self.file = Some(file);
            }
            return Err(error);
        }
        if let Err(error) = file.sync_data() {
            // After a failed sync nothing is known about this file's newest bytes: never ask it again.
            self.next_file();
            return Err(error);
        }
        self.file_bytes = self.file_bytes.saturating_add(u64::try_from(lines.len()).unwrap_or(u64::MAX));
        self.file = Some(file);
        Ok(())
    }

    /// Has the next write begin a new file.
    fn next_file(&mut self) {
        self.file = None;
        self.number += 1;
        self.file_bytes = 0;
    }

    /// Goes on with the newest file, or begins one.
    fn open(&mut self, directory: &Path) -> io::Result<File> {
        let path = path_of(directory, self.number);
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        self.file_bytes = file.seek(SeekFrom::End(0))?;
        if self.file_bytes > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                self.file_bytes += 1;
            }
        }
        Ok(file)
    }
}

fn path_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("dead-letter-{number:06}.jsonl"))
}

fn count_lines(path: &Path) -> io::Result<u64> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut count = 0;
    loop {
        let read = reader.fill_buf()?;
        if read.is_empty() {
            return Ok(count);
        }
        count += read.iter().map(|&byte| u64::from(byte == b'\n')).sum::<u64>();
        let len = read.len();
        reader.consume(len);
    }
}

/// Number and size of the files.
fn list(directory: &Path) -> io::Result<Vec<(u64, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let number =
            name.to_str().and_then(|name| name.strip_prefix("dead-letter-")?.strip_suffix(".jsonl")?.parse().ok());
        if let Some(number) = number {
            files.push((number, entry.metadata()?.len()));
        }
    }
    Ok(files)
}

fn letter<'a>(message: &Message<'a>, endpoint: &'a str, reason: &'a str) -> Letter<'a> {
    let (mut system_properties, mut properties) = (BTreeMap::new(), BTreeMap::new());
    for property in message.properties() {
        let value = property.value.map(std::borrow::Cow::into_owned);
        match property.name {
            PropertyName::System(name) => drop(system_properties.insert(name.delivered_name(), value)),
            PropertyName::Application(name) => drop(properties.insert(name.into_owned(), value)),
        }
    }
    Letter {
        time: format!("{:.3}", jiff::Timestamp::now()),
        endpoint,
        reason,
        shard: message.shard.0,
        offset: message.offset.0,
        enqueued_time: time(message.enqueued_at.0),
        source: message.source.name(),
        device_id: message.identity.device_id,
        module_id: message.identity.module_id,
        system_properties,
        properties,
        body: STANDARD.encode(message.body),
    }
}

fn time(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds)
        .map_or_else(|_| milliseconds.to_string(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use millrace_model::{IdentityRef, MessageSource, Offset, ShardId, Timestamp};

    use super::*;

    fn message(offset: u64, body: &[u8]) -> Message<'_> {
        Message {
            shard: ShardId(2),
            offset: Offset(offset),
            identity: IdentityRef { device_id: "d1", ..IdentityRef::default() },
            enqueued_at: Timestamp(1_000),
            source: MessageSource::Telemetry,
            bag: b"%24.ct=application%2Fjson&k&l=%20",
            body,
        }
    }

    fn lines(directory: &Path) -> Vec<serde_json::Value> {
        let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    #[test]
    fn letters_can_be_read_and_go_on_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        DeadLetters::open(directory.path(), 10_000).unwrap().put(&message(1, b"\xff{"), "kafka", "broken").unwrap();
        // A crash in the middle of a line.
        let file = directory.path().join("dead-letter-000000.jsonl");
        OpenOptions::new().append(true).open(file).unwrap().write_all(b"{\"torn").unwrap();
        DeadLetters::open(directory.path(), 10_000).unwrap().put(&message(2, b""), "kafka", "broken").unwrap();
        let found = lines(directory.path());
        assert_eq!(found.len(), 2);
        assert_eq!((&found[0]["shard"], &found[0]["offset"], &found[1]["offset"]), (&2.into(), &1.into(), &2.into()));
        assert_eq!(found[0]["body"], "/3s=");
        assert_eq!(found[0]["system_properties"]["content-type"], "application/json");
        assert_eq!(
            (&found[0]["properties"]["k"], &found[0]["properties"]["l"]),
            (&serde_json::Value::Null, &" ".into())
        );
        assert_eq!(found[0]["enqueued_time"], "1970-01-01T00:00:01.000Z");
    }

    /// Offsets of the letters that are in the store.
    fn offsets(directory: &Path) -> Vec<u64> {
        lines(directory).iter().map(|line| line["offset"].as_u64().unwrap()).collect()
    }

    #[test]
    fn a_full_store_gives_up_its_oldest_file_and_never_refuses() {
        let directory = tempfile::tempdir().unwrap();
        let letters = DeadLetters::open(directory.path(), 8_000).unwrap();
        for offset in 0..200 {
            letters.put(&message(offset, b"x"), "e", "r").unwrap();
            let stored: u64 = list(directory.path()).unwrap().iter().map(|(_, bytes)| bytes).sum();
            assert!(stored <= 8_000, "{stored}");
        }
        let kept = offsets(directory.path());
        assert!((10..40).contains(&kept.len()), "{kept:?}");
        let newest: Vec<_> = (0..200).skip(200 - kept.len()).collect();
        assert_eq!(kept, newest, "without a hole");
        // Whoever opens it again goes on at the same bound.
        let letters = DeadLetters::open(directory.path(), 4_000).unwrap();
        letters.put(&message(200, b"x"), "e", "r").unwrap();
        let after = offsets(directory.path());
        assert!(after.len() < kept.len() && after.last() == Some(&200), "{after:?}");
    }

    #[test]
    fn letters_larger_than_the_store_are_kept_alone() {
        let directory = tempfile::tempdir().unwrap();
        let letters = DeadLetters::open(directory.path(), 1_000).unwrap();
        letters.put(&message(0, b"x"), "e", "r").unwrap();
        letters.put(&message(1, &[0; 2_000]), "e", "r").unwrap();
        assert_eq!(offsets(directory.path()), [1]);
        letters.put(&message(2, b"x"), "e", "r").unwrap();
        assert_eq!(offsets(directory.path()), [2]);
    }

    #[test]
    fn an_error_of_the_disk_is_the_callers_to_wait_for() {
        let directory = tempfile::tempdir().unwrap();
        let letters = DeadLetters::open(directory.path(), 1_000).unwrap();
        // What stands where the file should be is no file.
        fs::create_dir(path_of(directory.path(), 0)).unwrap();
        assert!(letters.put(&message(0, b"x"), "e", "r").is_err());
        fs::remove_dir(path_of(directory.path(), 0)).unwrap();
        letters.put(&message(0, b"x"), "e", "r").unwrap();
        assert_eq!(offsets(directory.path()), [0]);
    }
}
