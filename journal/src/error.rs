//! Why the journal could not do what was asked.

use std::io;
use std::path::PathBuf;

use millrace_model::{Classify, Fault, Kind, Offset, Retry};

/// The step that failed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The journal was closed while batches could not be written; they were never acknowledged.
    #[error("closed with {batches} batches not durable, from offset {from}")]
    CloseUnwritten {
        /// How many.
        batches: usize,
        /// Offset of the first message among them.
        from: Offset,
    },
    /// No segment may be added for want of space.
    #[error("no room for another segment: {reason}")]
    Full {
        /// Which bound was met.
        reason: String,
    },
    /// A segment was made by a later version of this program, or is of another shard.
    #[error("{file} has {what}, which this program cannot read")]
    Foreign {
        /// The segment.
        file: PathBuf,
        /// What is foreign about it.
        what: String,
    },
    /// The directory belongs to another running program.
    #[error("another program has the journal {directory} open")]
    Locked {
        /// Directory of the shard.
        directory: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A record is intact, but its contents are no batch.
    #[error("the record of offset {offset} cannot be decoded: {reason}")]
    Record {
        /// Offset of its first message.
        offset: Offset,
        /// What does not fit.
        reason: String,
    },
    /// A call to the file system failed.
    #[error("cannot {action} {path}")]
    Storage {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The writer's thread could not be started or ended by a panic.
    #[error("the writer's thread {what}")]
    Thread {
        /// What happened to it.
        what: String,
    },
}

impl JournalError {
    pub(crate) fn storage(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Storage { action, path, source }
    }

    /// This error and its cause in one line, for a status that people read.
    pub(crate) fn in_full(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}

impl Classify for JournalError {
    fn kind(&self) -> Kind {
        match self {
            Self::CloseUnwritten { .. } | Self::Full { .. } | Self::Storage { .. } => Kind::Unavailable,
            Self::Foreign { .. } | Self::Locked { .. } => Kind::Conflict,
            Self::Record { .. } => Kind::Corrupt,
            Self::Thread { .. } => Kind::Bug,
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Thread { .. } => Fault::Us,
            _ => Fault::Operator,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Full { .. } | Self::Storage { .. } | Self::Locked { .. } => Retry::Later,
            _ => Retry::Never,
        }
    }
}
