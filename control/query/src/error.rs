//! What is wrong with a query, and where.

use millrace_model::{Classify, Fault, HubError, Kind};

/// A query or condition that cannot be understood.
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
    /// Two columns of the answer would have the same name.
    #[error("two items are called {0}: give one another name with AS")]
    NameTwice(String),
    /// The result can never be true or false.
    #[error("{0} is not a condition: it is never true or false; compare it with something")]
    NotBoolean(&'static str),
    /// A member beside aggregates that is not the same for all rows of a group.
    #[error("{0} differs within a group: name it in GROUP BY, or aggregate it")]
    NotGrouped(String),
    /// The collection is not asked here.
    #[error("here only {0} can be queried")]
    OtherSource(&'static str),
    /// Nesting beyond [`crate::limits::EXPRESSION_DEPTH_MAX`].
    #[error("nested more than {} levels deep", crate::limits::EXPRESSION_DEPTH_MAX)]
    TooDeep,
    /// Text beyond [`crate::limits::QUERY_CHARACTERS_MAX`].
    #[error("longer than {} characters", crate::limits::QUERY_CHARACTERS_MAX)]
    TooLong,
    /// A list beyond its limit.
    #[error("more than {0} entries")]
    TooMany(usize),
    /// No such function.
    #[error("there is no function {0}")]
    UnknownFunction(String),
    /// No such collection.
    #[error("there is no collection {0}; known are {known}", known = crate::source::SOURCE_NAMES)]
    UnknownSource(String),
    /// `SELECT *` together with `GROUP BY`.
    #[error("GROUP BY needs named items, not *")]
    WholeGrouped,
}

/// The answer has more groups than [`crate::limits::GROUPS_MAX`], or longer ones than [`crate::limits::GROUP_BYTES_MAX`].
/// It is refused as a whole: counts of only some groups would look complete and be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer has more than {} groups", crate::limits::GROUPS_MAX)]
pub struct GroupsFull;

/// A continuation that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContinuationError {
    /// It is not one that was given out, or part of it is missing.
    #[error("the continuation is not one that this hub gave out: pass it back unchanged")]
    Garbage,
    /// It belongs to another query.
    #[error("the continuation belongs to another query: pass it back with the same query, or start without one")]
    OtherQuery,
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

macro_rules! malformed {
    ($($error:ty),*) => {$(
        impl Classify for $error {
            fn kind(&self) -> Kind {
                Kind::Malformed
            }

            fn fault(&self) -> Fault {
                Fault::Operator
            }
        }

        impl From<$error> for HubError {
            fn from(error: $error) -> Self {
                Self::ARGUMENT.because(error.to_string())
            }
        }
    )*};
}

malformed!(QueryError, GroupsFull, ContinuationError);
