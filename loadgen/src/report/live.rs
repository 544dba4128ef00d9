//! The live view: one line a second on standard error, rewritten in place on a terminal.

use std::io::{IsTerminal, Write};

use crate::report::Tally;

/// Shows how a run is going.
pub(crate) struct Live {
    is_terminal: bool,
    is_quiet: bool,
}

impl Live {
    /// On standard error, or nowhere.
    pub(crate) fn new(is_quiet: bool) -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), is_quiet }
    }

    /// Shows the sum of what all threads told since the last line.
    pub(crate) fn show(&self, phase: &str, tally: &Tally, (open, in_flight): (u64, u64)) {
        if self.is_quiet {
            return;
        }
        let latency = tally.latency.quantiles();
        let line = format!(
            "{phase:<6} open {open:>6}  sent {:>8}/s  acked {:>8}/s  in flight {in_flight:>6}  p50 {:>7} us  p99 {:>7} us  max {:>8} us  lost {}",
            tally.sent,
            tally.acknowledged,
            latency.p50,
            latency.p99,
            latency.max,
            tally.lost.values().sum::<u64>(),
        );
        let mut error = std::io::stderr().lock();
        let (before, after) = if self.is_terminal { ("\r\u{1b}[K", "") } else { ("", "\n") };
        // A closed standard error is no reason to end a run.
        write!(error, "{before}{line}{after}").and_then(|()| error.flush()).unwrap_or_default();
    }

    /// Leaves the line.
    pub(crate) fn finish(&self) {
        if self.is_terminal && !self.is_quiet {
            writeln!(std::io::stderr()).unwrap_or_default();
        }
    }
}
