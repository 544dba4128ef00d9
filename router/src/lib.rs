//! Which message goes to which sink, and the threads that carry them there.
//! - Shape: `query` (the condition language) -> `table` (routes, endpoints, fallback) -> `routes` (the live table, one evaluation for
//!   all sinks) -> `driver` (a thread for each sink, pulling from the journals); `dead_letter` keeps what nobody can take.
//! - Invariants: the language and the table are pure; only drivers and the dead-letter store do I/O.
//! - Not here: what a sink does with a message (`sinks/*`), what is in the journal (`journal`).

pub mod limits;
pub mod query;

pub use query::{Explanation, Program, Scratch, explain};
