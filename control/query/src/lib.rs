//! The query language over twins, outcomes of jobs and enrollments: text -> [`Query`] -> rows of an answer. Pure.
//! - Source: Azure IoT Hub query language for device and module twins and jobs; Device Provisioning Service queries.
//! - Shape: `lexer` -> `cursor` -> `parser` (conditions) and `statement` (whole queries) -> `evaluate`, `aggregation` -> `run` (pages).
//! - Invariants: same query, same rows, same answer. A query is grammar and never becomes part of another language, so there is nothing
//!   to inject. A row is taken only if the condition is true; what is not there makes no comparison true.
//! - Limits: see [`limits`]. Reading a query takes time in proportion to its length, a row in proportion to query and row.
//! - Errors: [`QueryError`] with line, column and what was expected. Nothing panics.
//! - Not here: where rows come from (`control`), the language of routes (`router`), which is another one and differs in what is undefined.

mod aggregation;
mod condition;
mod continuation;
mod cursor;
mod datum;
mod error;
mod evaluate;
mod expression;
mod functions;
mod keys;
mod lexer;
pub mod limits;
mod needs;
mod parser;
mod path;
mod query;
mod run;
mod source;
mod statement;

pub use aggregation::Aggregation;
pub use condition::Condition;
pub use continuation::Continuation;
pub use error::{ContinuationError, GroupsFull, Problem, QueryError};
pub use keys::KeyHint;
pub use needs::Needs;
pub use query::Query;
pub use run::{Answer, End, Run};
pub use source::{ItemType, Source};
