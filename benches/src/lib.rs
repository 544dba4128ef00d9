//! What the benches, and the binary whose instructions are counted, share.
//! - Shape: `inputs` makes frames and batches, `clock` measures CPU instead of wall time, `log` is a journal in a scratch
//!   directory, `sinks` are sinks with nothing behind them that costs, `tier` is a whole ingest tier with a client.
//! - Invariants: the same call makes the same bytes each time, so that figures of two runs can be compared.
//! - Not here: load over many connections (`loadgen`).

pub mod clock;
pub mod inputs;
pub mod log;
pub mod sinks;
pub mod tier;

/// `full` in a release build; a sliver of it in the dev profile, where a bench only has to prove that it runs.
#[must_use]
pub const fn scaled(full: u64) -> u64 {
    if cfg!(debug_assertions) { full.div_ceil(64) } else { full }
}
