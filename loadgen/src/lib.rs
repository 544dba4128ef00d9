//! Load generator and verifier for MQTT: keeps a schedule whatever the server does, and knows afterwards what must have arrived.
//! - Shape: [`Plan`] (flags or TOML) -> conductor -> threads with an event loop each -> [`RunReport`]; with a ledger, [`verify`] then
//!   compares what was acknowledged with what Kafka or Parquet hold.
//! - Invariants: latency counts from the intended send time; a run in which the generator was the bottleneck calls itself invalid.
//! - Not here: the MQTT codec (`protocols/mqtt`), tokens (`protocols/identity`), the floor server (`benches`).

mod cli;
mod conductor;
mod engine;
mod ledger;
mod number;
mod plan;
mod random;
mod report;
mod stamp;
mod verify;

pub use cli::command_line;
pub use conductor::run;
pub use plan::{Arrival, Phase, PhaseKind, Plan, Protocol, Replay, StampPlace, TraceDevices};
pub use report::{Connections, Generator, Messages, PhaseReport, Quantiles, RunReport, Second, ServerProcess, Verdict};
pub use verify::{Source, VerifyOptions, VerifyReport, verify};
