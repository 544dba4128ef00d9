//! What can go wrong with the registry.
//! - Invariants: no variant carries a key, a token or the text of one.

use std::path::PathBuf;

use millrace_model::{Classify, Fault, Kind, NameError};
use millrace_protocols_identity::KeyError;
use sqlx::postgres::PgDatabaseError;

/// Why the registry refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// An id breaks the alphabet or the length of ids.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The reason for a status is too long or holds control characters.
    #[error("a status reason has at most 128 characters and no control characters")]
    StatusReason,
    /// The name of what manages a module is too long or holds control characters.
    #[error("a manager's name has at most 128 characters and no control characters")]
    ManagedBy,
    /// A scope is too long, empty or holds control characters, or there are too many.
    #[error("a scope has 1 to 512 characters and no control characters, and there are at most 5")]
    Scope,
    /// A key that cannot be one.
    #[error("not a usable key")]
    Key(#[from] KeyError),
    /// No such device.
    #[error("no such device")]
    DeviceNotFound,
    /// The device is there, but has no such module.
    #[error("no such module")]
    ModuleNotFound,
    /// A device of that id is there already.
    #[error("the device exists already")]
    DeviceExists,
    /// A module of that id is there already.
    #[error("the module exists already")]
    ModuleExists,
    /// The device has as many modules as it may have.
    #[error("a device has at most 50 modules")]
    TooManyModules,
    /// The identity has changed since the caller read it.
    #[error("the identity has changed since it was read")]
    EtagMismatch,
    /// The store is busy with another writer for too long.
    #[error("the registry is busy with another writer")]
    Busy,
    /// The store failed in the middle of work that was done for several callers, or is closed: nobody knows what became of it.
    #[error("the registry's store does not answer: {why}")]
    Unavailable {
        /// What the store said; never a secret.
        why: String,
    },
    /// The address of a database cannot be read. Not repeated here: it may hold a password.
    #[error("the database's address is not postgres://USER:PASSWORD@HOST/DATABASE")]
    Url,
    /// The store failed.
    #[error("the registry's store failed")]
    Store(#[source] sqlx::Error),
    /// A file of the registry could not be read or written.
    #[error("{path} could not be read or written")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What is stored is not what was once written.
    #[error("the registry holds a {what} that cannot be")]
    Corrupt {
        /// What it is.
        what: &'static str,
    },
    /// A newer version of this program has written the store.
    #[error("the registry has schema version {found}, this program knows up to {known}")]
    Newer {
        /// Version of the file.
        found: i64,
        /// Version of this program.
        known: i64,
    },
    /// The operating system gave no randomness.
    #[error("the system gives no randomness")]
    Random,
}

impl Classify for RegistryError {
    fn kind(&self) -> Kind {
        match self {
            Self::Name(_) | Self::StatusReason | Self::ManagedBy | Self::Scope | Self::Key(_) | Self::Url => {
                Kind::Malformed
            }
            Self::DeviceNotFound | Self::ModuleNotFound => Kind::NotFound,
            Self::DeviceExists | Self::ModuleExists | Self::TooManyModules | Self::EtagMismatch => Kind::Conflict,
            Self::Busy | Self::Unavailable { .. } | Self::Store(_) | Self::File { .. } | Self::Random => {
                Kind::Unavailable
            }
            Self::Corrupt { .. } | Self::Newer { .. } => Kind::Corrupt,
        }
    }

    fn fault(&self) -> Fault {
        Fault::Operator
    }
}

impl From<sqlx::Error> for RegistryError {
    fn from(error: sqlx::Error) -> Self {
        let is_busy = match &error {
            sqlx::Error::PoolTimedOut => true,
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default();
                // The two databases' codes are numbers of different kinds.
                if error.try_downcast_ref::<PgDatabaseError>().is_some() {
                    is_busy_in_postgres(&code)
                } else {
                    is_busy_in_sqlite(&code)
                }
            }
            _ => false,
        };
        if is_busy { Self::Busy } else { Self::Store(error) }
    }
}

/// `SQLITE_BUSY` and its extended forms share the low byte 5, `SQLITE_LOCKED` has 6.
fn is_busy_in_sqlite(code: &str) -> bool {
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6))
}

/// A lock not granted in time, a session ended for idling, too many connections, a server that stops or starts.
fn is_busy_in_postgres(code: &str) -> bool {
    matches!(code, "55P03" | "25P03" | "53300" | "57P01" | "57P02" | "57P03")
}
