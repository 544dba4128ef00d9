//! How far a sink has come in a shard, on disk.
//! - Shape: `DIR/cursors/NAME-shard-N`: the offset in decimal and a line feed; replaced as a whole.
//! - Invariants: a stored cursor never lies beyond what the sink called safe, so a crash repeats messages and loses none.
//! - Errors: a file that holds no number is reported, never taken for 0: the operator may have copied something else there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use millrace_journal::JournalError;
use millrace_journal::files::durable_write;
use millrace_model::{Classify, Fault, Kind, Offset, ShardId};

/// A cursor cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// The file holds no offset.
    #[error("{path} holds no offset; remove it to deliver everything again")]
    Corrupt {
        /// The file.
        path: PathBuf,
    },
    /// The name of the sink cannot be part of a file name.
    #[error("a sink cannot be called '{name}': letters, digits and - _ . only, not beginning with a dot, at most 100")]
    Name {
        /// The name.
        name: String,
    },
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot store a cursor")]
    Write(#[source] JournalError),
}

impl Classify for CursorError {
    fn kind(&self) -> Kind {
        match self {
            Self::Corrupt { .. } => Kind::Corrupt,
            Self::Name { .. } => Kind::Malformed,
            Self::Read { .. } | Self::Write(_) => Kind::Unavailable,
        }
    }

    fn fault(&self) -> Fault {
        Fault::Operator
    }
}

/// The highest cursor of any sink in a shard; what the journal must not give again to other messages, even if the disk lost some.
///
/// # Errors
/// When a cursor cannot be read.
pub fn highest(directory: &Path, shard: ShardId) -> Result<Offset, CursorError> {
    let directory = directory.join("cursors");
    let read = |source| CursorError::Read { path: directory.clone(), source };
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Offset(0)),
        Err(error) => return Err(read(error)),
    };
    let suffix = format!("-shard-{shard}");
    let mut highest = Offset(0);
    for entry in entries {
        let path = entry.map_err(read)?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(&suffix)) {
            highest = highest.max(read_offset(&path)?.unwrap_or_default());
        }
    }
    Ok(highest)
}

/// One cursor file.
#[derive(Debug)]
pub(crate) struct Cursor {
    path: PathBuf,
}

impl Cursor {
    pub(crate) fn new(directory: &Path, sink: &str, shard: ShardId) -> Result<Self, CursorError> {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=100).contains(&sink.len()) || sink.starts_with('.') || !sink.bytes().all(is_fine) {
            return Err(CursorError::Name { name: sink.to_owned() });
        }
        let directory = directory.join("cursors");
        fs::create_dir_all(&directory).map_err(|source| CursorError::Read { path: directory.clone(), source })?;
        Ok(Self { path: directory.join(format!("{sink}-shard-{shard}")) })
    }

    /// `None` when nothing was stored yet.
    pub(crate) fn read(&self) -> Result<Option<Offset>, CursorError> {
        read_offset(&self.path)
    }

    pub(crate) fn store(&self, offset: Offset) -> Result<(), CursorError> {
        durable_write(&self.path, format!("{offset}\n").as_bytes()).map_err(CursorError::Write)
    }
}

fn read_offset(path: &Path) -> Result<Option<Offset>, CursorError> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let offset = text.strip_suffix('\n').and_then(|digits| digits.parse().ok());
            offset.map(|offset| Some(Offset(offset))).ok_or_else(|| CursorError::Corrupt { path: path.to_owned() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(CursorError::Corrupt { path: path.to_owned() }),
        Err(source) => Err(CursorError::Read { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_and_damage_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (ShardId(0), ShardId(10));
        assert_eq!(highest(directory.path(), one).unwrap(), Offset(0));
        let cursor = Cursor::new(directory.path(), "kafka", one).unwrap();
        assert_eq!(cursor.read().unwrap(), None);
        cursor.store(Offset(42)).unwrap();
        Cursor::new(directory.path(), "alerts-shard-0", two).unwrap().store(Offset(7)).unwrap();
        assert_eq!(cursor.read().unwrap(), Some(Offset(42)));
        assert_eq!(highest(directory.path(), one).unwrap(), Offset(42));
        assert_eq!(highest(directory.path(), two).unwrap(), Offset(7));
        for damage in [&b""[..], b"12", b"x\n", b"\xff\n", b"-1\n"] {
            fs::write(directory.path().join("cursors/kafka-shard-0"), damage).unwrap();
            assert!(matches!(cursor.read(), Err(CursorError::Corrupt { .. })));
        }
        for name in ["", "../x", "a/b", ".a"] {
            assert!(matches!(Cursor::new(directory.path(), name, one), Err(CursorError::Name { .. })), "{name}");
        }
    }
}
