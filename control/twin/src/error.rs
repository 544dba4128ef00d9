//! Why a request for a twin is refused, in words that say where.
//! - Errors: each maps to the hub's own error: 400 for what cannot be, 412 for what has changed meanwhile, 413 for what is too large.

use millrace_model::{Classify, HubError, Kind};

use crate::json::JsonError;
use crate::limits;

/// A section of a twin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectionName {
    /// Tags: only the service sees them.
    Tags,
    /// Desired properties.
    Desired,
    /// Reported properties.
    Reported,
}

/// A refused request. Paths are those of the service's view of a twin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TwinError {
    /// The body cannot be parsed, or is a bomb.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Something else than an object where only an object can be.
    #[error("{0} is not an object")]
    NotObject(String),
    /// A member that does not belong where it is.
    #[error("{path}: {why}")]
    Member {
        /// Where.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A name that no member can have.
    #[error("{path}: a name {why}")]
    Name {
        /// Where.
        path: String,
        /// What names have or do not have.
        why: &'static str,
    },
    /// A text that is too long.
    #[error("{0} has more than {max} bytes", max = limits::TEXT_BYTES_MAX)]
    Text(String),
    /// An integer that is too large.
    #[error("{0} is beyond plus or minus 2^52")]
    Integer(String),
    /// Too many levels.
    #[error("{0} lies more than {max} levels deep", max = limits::DEPTH_MAX)]
    Depth(String),
    /// The section would be too large. Nothing has changed.
    #[error("{section} would have more than {max} {unit}")]
    Size {
        /// Which.
        section: &'static str,
        /// Its limit.
        max: usize,
        /// Of what.
        unit: &'static str,
    },
    /// The etag is another one.
    #[error("the twin has changed: its etag is {found}")]
    Etag {
        /// The twin's etag.
        found: String,
    },
    /// The version of the reported properties is another one.
    #[error("the reported properties have changed: their version is {found}, not {expected}")]
    Version {
        /// As asked for.
        expected: u64,
        /// As it is.
        found: u64,
    },
    /// More configurations than a twin remembers.
    #[error("a twin remembers at most {max} configurations", max = limits::CONFIGURATIONS_MAX)]
    Configurations,
}

/// A stored twin that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It was written by a newer program.
    #[error("the stored twin has format {0}, which this program does not know")]
    Format(u64),
    /// It is not what was written.
    #[error("the stored twin cannot be read")]
    Shape(#[source] serde_json::Error),
}

impl SectionName {
    /// As in the service's view.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Tags => "tags",
            Self::Desired => "properties.desired",
            Self::Reported => "properties.reported",
        }
    }
}

impl From<TwinError> for HubError {
    fn from(error: TwinError) -> Self {
        let hub = match &error {
            TwinError::Json(JsonError::TooLong(_)) | TwinError::Size { .. } => Self::TOO_LARGE,
            TwinError::Json(JsonError::Malformed(_)) | TwinError::NotObject(_) => Self::FORMAT,
            TwinError::Etag { .. } | TwinError::Version { .. } => Self::PRECONDITION,
            _ => Self::ARGUMENT,
        };
        hub.because(error.to_string())
    }
}

impl Classify for TwinError {
    fn kind(&self) -> Kind {
        match self {
            Self::Etag { .. } | Self::Version { .. } => Kind::Conflict,
            _ => Kind::Malformed,
        }
    }
}

impl Classify for DecodeError {
    fn kind(&self) -> Kind {
        Kind::Corrupt
    }
}
