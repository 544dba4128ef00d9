//! What is wrong with a model, a value, or a request for a digital twin.
//! - Limits: at most `PROBLEMS_MAX` problems are told of one document; the paths and texts of each are cut.

use std::fmt;

use millrace_model::{Classify, HubError, Kind};

use crate::json::JsonError;
use crate::limits::PROBLEMS_MAX;
use crate::path::Path;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path in the document, as in `contents[2].schema.fields[0].name`; empty for the document itself.
    pub path: String,
    /// What is wrong there.
    pub text: String,
}

/// All that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems(Vec<Problem>);

/// A refused request for a digital twin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigitalTwinError {
    /// The body cannot be parsed, or is a bomb.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The body is not a JSON Patch.
    #[error("{0}")]
    NotAPatch(&'static str),
    /// An operation cannot be carried out.
    #[error("operation {operation}, path {path:?}: {why}")]
    Operation {
        /// Its position, from 0.
        operation: usize,
        /// Its path, cut.
        path: String,
        /// Why not.
        why: String,
    },
    /// A command cannot be called.
    #[error("command {name:?}: {why}")]
    Command {
        /// Its name with its component, cut.
        name: String,
        /// Why not.
        why: String,
    },
}

impl Problems {
    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether all is well.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes one, unless there are many already.
    pub(crate) fn add(&mut self, path: Path<'_>, text: impl Into<String>) {
        if self.0.len() < PROBLEMS_MAX {
            self.0.push(Problem { path: path.text(), text: text.into() });
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.text) } else { write!(f, "{}: {}", self.path, self.text) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problems> for HubError {
    fn from(problems: Problems) -> Self {
        Self::ARGUMENT.because(problems.to_string())
    }
}

impl From<DigitalTwinError> for HubError {
    fn from(error: DigitalTwinError) -> Self {
        let hub = match &error {
            DigitalTwinError::Json(JsonError::TooLong(_)) => Self::TOO_LARGE,
            DigitalTwinError::Json(JsonError::Malformed(_)) | DigitalTwinError::NotAPatch(_) => Self::FORMAT,
            _ => Self::ARGUMENT,
        };
        hub.because(error.to_string())
    }
}

impl Classify for Problems {
    fn kind(&self) -> Kind {
        Kind::Malformed
    }
}

impl Classify for DigitalTwinError {
    fn kind(&self) -> Kind {
        Kind::Malformed
    }
}
