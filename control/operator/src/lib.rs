//! What `millrace device`, `twin`, `job` and their like do: the arguments, the work and the results. Prints nothing: the program does.
//! - Shape: `commands` are the arguments and the work, a file for each noun; [`Operator`] looks after identities, [`LocalOperator`] in the
//!   registry of a data directory, whether a hub runs on it or not, [`HubOperator`] through a hub's REST API; all else goes to a running hub
//!   by [`ServiceClient`]. [`Presenter`] turns an [`Outcome`] into text.
//! - Invariants: a key leaves only as an [`Outcome::Secret`] or [`Outcome::ConnectionString`], for the commands that ask for one.

pub mod commands;
mod context;
mod error;
pub mod host_name;
mod hub;
mod identity;
pub mod import;
mod input;
pub mod limits;
mod local;
mod present;
mod service;
mod table;
mod target;

pub use commands::{OperatorCommand, run};
pub use context::{Context, Outcome};
pub use error::OperatorError;
pub use hub::HubOperator;
pub use identity::{Device, Operator, Work};
pub use import::{BadLine, ImportReport, ImportRows, Problem};
pub use local::LocalOperator;
pub use present::{Presenter, Shown};
pub use service::{Answer, Call, ServiceClient};
pub use table::{Cell, Columns, Rows};
pub use target::{Secret, Target};

#[cfg(test)]
mod tests;
