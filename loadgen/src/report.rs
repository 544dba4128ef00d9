//! What a run comes to: tallies, their sum, the verdict, and how all of it is shown.

pub(crate) mod distribution;
pub(crate) mod live;
pub(crate) mod run;
pub(crate) mod server;
pub(crate) mod tally;
pub(crate) mod text;
pub(crate) mod verdict;

pub use distribution::Quantiles;
pub use run::{Connections, Generator, Messages, PhaseReport, RunReport, Second};
pub use server::ServerProcess;
pub use verdict::Verdict;

pub(crate) use distribution::Distribution;
pub(crate) use tally::Tally;
