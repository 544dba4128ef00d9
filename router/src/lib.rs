//! Which message goes to which sink, and the threads that carry them there.
//! - Shape: `query` (the condition language) -> `table` (routes, endpoints, fallback) -> `routes` (the live table, one evaluation for
//!   all sinks) -> `driver` (a thread for each sink, pulling from the journals); `dead_letter` keeps what nobody can take.
//! - Invariants: the language and the table are pure; only drivers, trimmer and the dead-letter store do I/O.
//! - Not here: what a sink does with a message (`sinks/*`), what is in the journal (`journal`).

pub mod cursor;
mod dead_letter;
pub mod driver;
mod events;
#[doc(hidden)]
pub mod fuzz;
pub mod limits;
pub mod query;
pub mod route;
mod routes;
mod table;
mod trimmer;

pub use cursor::CursorError;
pub use dead_letter::{DeadLetterError, DeadLetters};
pub use driver::{Drained, DriverConfig, DriverError, DriverHandle, DriverState, Wake};
pub use query::{Explanation, Program, Scratch, explain};
pub use route::{EnrichmentSpec, FallbackSpec, RouteError, RouteSpec, Source};
pub use routes::{Routes, Shared};
pub use table::{Poison, RouteTable, Routed};
pub use trimmer::Trimmer;
