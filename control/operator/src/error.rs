//! Why an operator's command failed.
//! - Invariants: no variant carries a key or a connection string.

use std::borrow::Cow;
use std::path::PathBuf;

use millrace_model::{Classify, Fault, HubError, Kind};
use millrace_protocols_identity::{ConnectionStringError, KeyError};

use millrace_control_store::error::RegistryError;

/// Why an operator's command failed.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The arguments do not go together.
    #[error("{0}")]
    Usage(Cow<'static, str>),
    /// A key is not one.
    #[error("the key is not usable")]
    Key(#[source] KeyError),
    /// The connection string is not one.
    #[error("the connection string is not usable")]
    ConnectionString(#[source] ConnectionStringError),
    /// The registry refused or failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// There is no registry where one should be read.
    #[error("there is no registry in {0}: is --data-dir right?")]
    NoRegistry(PathBuf),
    /// What is asked needs a running hub, and none has said where it listens.
    #[error("no hub runs on {0}: start one with `millrace serve --data-dir {0}`, or name another with --hub")]
    NotRunning(PathBuf),
    /// A file cannot be read or written.
    #[error("{path} could not be read or written")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The import's text cannot be read.
    #[error("the import stopped at line {line}")]
    Input {
        /// Number of the line, from 1.
        line: u64,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The hub does not answer.
    #[error("the hub does not answer")]
    Unreachable(#[source] reqwest::Error),
    /// The hub refused.
    #[error("the hub refused: {text} ({name}, code {code}, status {status})")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The hub's own code; 0 when it gave none.
        code: u64,
        /// Its name.
        name: String,
        /// The hub's explanation.
        text: String,
    },
    /// The hub's answer makes no sense.
    #[error("the hub's answer makes no sense")]
    Answer,
    /// A job that was waited for did not complete.
    #[error("the job ended as {status}: {reason}")]
    Job {
        /// Its last status.
        status: String,
        /// The hub's explanation.
        reason: String,
    },
    /// Results could not be written.
    #[error("the result could not be written")]
    Output(#[source] std::io::Error),
}

impl OperatorError {
    /// Wrong usage, in these words.
    pub(crate) fn usage(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Usage(text.into())
    }

    /// Exit code of a program that stops for this: 2 for wrong usage, else 1.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Key(_) | Self::ConnectionString(_) => 2,
            Self::Registry(RegistryError::Name(_) | RegistryError::StatusReason) => 2,
            _ => 1,
        }
    }

    /// The same refusal with another explanation.
    pub(crate) fn explained(self, text: &str) -> Self {
        match self {
            Self::Refused { status, code, name, .. } => Self::Refused { status, code, name, text: text.to_owned() },
            other => other,
        }
    }

    /// Whether the hub refused because what is meant is not there.
    pub(crate) const fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

impl Classify for OperatorError {
    fn kind(&self) -> Kind {
        match self {
            Self::Usage(_) | Self::Key(_) | Self::ConnectionString(_) => Kind::Malformed,
            Self::Registry(error) => error.kind(),
            Self::NoRegistry(_) => Kind::NotFound,
            Self::File { .. } | Self::Input { .. } | Self::Output(_) => Kind::Unavailable,
            Self::NotRunning(_) | Self::Unreachable(_) => Kind::Unavailable,
            Self::Refused { status, .. } => match status {
                401 => Kind::Unauthenticated,
                403 => Kind::Forbidden,
                404 => Kind::NotFound,
                409 | 412 => Kind::Conflict,
                429 => Kind::Throttled,
                500.. => Kind::Unavailable,
                _ => Kind::Malformed,
            },
            Self::Answer => Kind::Corrupt,
            Self::Job { .. } => Kind::Conflict,
        }
    }

    fn fault(&self) -> Fault {
        Fault::Operator
    }
}

impl From<millrace_model::NameError> for OperatorError {
    fn from(error: millrace_model::NameError) -> Self {
        Self::Registry(error.into())
    }
}

impl From<HubError> for OperatorError {
    fn from(error: HubError) -> Self {
        Self::Refused {
            status: error.status,
            code: error.code.into(),
            name: error.name.to_owned(),
            text: error.text.into_owned(),
        }
    }
}
