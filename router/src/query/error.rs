//! What is wrong with a condition, and where.

use millrace_model::{Classify, Fault, Kind};

/// A condition that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct QueryError {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong at a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A function got too few or too many arguments.
    #[error("{function} takes {expected}, not {found} arguments")]
    Arguments {
        /// Its name.
        function: &'static str,
        /// What it takes.
        expected: String,
        /// What it got.
        found: usize,
    },
    /// Something else should stand here.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What may stand here.
        expected: &'static str,
        /// What stands here.
        found: String,
    },
    /// The result can never be true or false.
    #[error("{0} is not a condition: it is never true or false; compare it with something")]
    NotBoolean(&'static str),
    /// Nesting beyond [`crate::limits::CONDITION_DEPTH_MAX`].
    #[error("nested more than {} levels deep", crate::limits::CONDITION_DEPTH_MAX)]
    TooDeep,
    /// Text beyond [`crate::limits::CONDITION_BYTES_MAX`].
    #[error("longer than {} bytes", crate::limits::CONDITION_BYTES_MAX)]
    TooLong,
    /// More operands than a table keeps.
    #[error("more distinct properties or body paths than one route table can hold")]
    TooManyFields,
    /// A list beyond [`crate::limits::LIST_LEN_MAX`] or a path beyond [`crate::limits::PATH_STEPS_MAX`].
    #[error("more than {0} entries")]
    TooMany(usize),
    /// No such function.
    #[error("there is no function {0}")]
    UnknownFunction(String),
    /// No such system property.
    #[error("there is no system property ${0}; known are {known}", known = super::fields::SYSTEM_NAMES)]
    UnknownSystemProperty(String),
}

impl QueryError {
    /// Places a problem at a byte position of `text`.
    pub(crate) fn at(text: &str, position: usize, problem: Problem) -> Self {
        let position = (0..=position.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        let before = text.get(..position).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            problem,
        }
    }
}

impl Classify for QueryError {
    fn kind(&self) -> Kind {
        Kind::Malformed
    }

    fn fault(&self) -> Fault {
        Fault::Operator
    }
}
