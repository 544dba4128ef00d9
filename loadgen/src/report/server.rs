//! Processor time and memory of the server's processes, as the system counts them.
//! - Source: proc(5), `/proc/PID/stat` fields 14 and 15, `/proc/PID/status` `VmRSS`.
//! - Errors: a process that is gone is reported as such; its last figures stay.

use rustix::param::clock_ticks_per_second;
use serde::{Deserialize, Serialize};

use crate::number;

/// One look at a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    /// User and system time.
    pub(crate) cpu_ns: u64,
    /// Resident memory.
    pub(crate) memory_bytes: u64,
}

/// A process, watched through a run.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    pid: u32,
    first: Option<Sample>,
    measured_from: Option<Sample>,
    measured_to: Option<Sample>,
    last: Option<Sample>,
    memory_bytes_max: u64,
    is_gone: bool,
}

/// What a report says of a process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerProcess {
    /// Its id.
    pub pid: u32,
    /// Processor seconds within the measured phases.
    pub cpu_seconds: f64,
    /// Microseconds of processor time per acknowledged message (per sent one at QoS 0), measured phases.
    pub cpu_us_per_message: f64,
    /// Processor seconds of the whole run, connecting included.
    pub cpu_seconds_whole_run: f64,
    /// Resident memory at the start.
    pub memory_bytes_start: u64,
    /// Resident memory at the end.
    pub memory_bytes_end: u64,
    /// Largest resident memory seen.
    pub memory_bytes_max: u64,
    /// It ended during the run.
    pub is_gone: bool,
}

impl Watched {
    /// Starts to watch a process.
    pub(crate) fn new(pid: u32) -> Self {
        let first = sample(pid);
        let memory_bytes_max = first.map_or(0, |first| first.memory_bytes);
        Self {
            pid,
            first,
            measured_from: None,
            measured_to: None,
            last: first,
            memory_bytes_max,
            is_gone: first.is_none(),
        }
    }

    /// Looks at it; `is_measured` says whether this instant belongs to a measured phase.
    pub(crate) fn look(&mut self, is_measured: bool) {
        let Some(now) = sample(self.pid) else {
            self.is_gone = true;
            return;
        };
        self.last = Some(now);
        self.memory_bytes_max = self.memory_bytes_max.max(now.memory_bytes);
        if is_measured {
            self.measured_from.get_or_insert(now);
            self.measured_to = Some(now);
        }
    }

    /// What the report says.
    pub(crate) fn report(&self, messages: u64) -> ServerProcess {
        let between = |from: Option<Sample>, to: Option<Sample>| match (from, to) {
            (Some(from), Some(to)) => to.cpu_ns.saturating_sub(from.cpu_ns),
            _ => 0,
        };
        let measured_ns = between(self.measured_from, self.measured_to);
        ServerProcess {
            pid: self.pid,
            cpu_seconds: number::seconds(measured_ns),
            cpu_us_per_message: number::ratio(measured_ns, messages) / 1e3,
            cpu_seconds_whole_run: number::seconds(between(self.first, self.last)),
            memory_bytes_start: self.first.map_or(0, |first| first.memory_bytes),
            memory_bytes_end: self.last.map_or(0, |last| last.memory_bytes),
            memory_bytes_max: self.memory_bytes_max,
            is_gone: self.is_gone,
        }
    }
}

fn sample(pid: u32) -> Option<Sample> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(Sample { cpu_ns: cpu_ns(&stat)?, memory_bytes: memory_bytes(&status).unwrap_or(0) })
}

/// The name in brackets may contain anything, so fields count from the last bracket.
fn cpu_ns(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let ticks = user.saturating_add(system);
    ticks.saturating_mul(1_000_000_000).checked_div(clock_ticks_per_second())
}

fn memory_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes.saturating_mul(1_024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_process_can_be_watched() {
        let mut watched = Watched::new(std::process::id());
        watched.look(true);
        let report = watched.report(1);
        assert!(report.memory_bytes_max > 0 && !report.is_gone);
    }

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b) R 1 2 3 4 5 6 7 8 9 10 250 50 0 0";
        assert_eq!(cpu_ns(stat), Some(300 * 1_000_000_000 / clock_ticks_per_second()));
        assert_eq!(cpu_ns("nonsense"), None);
        assert_eq!(memory_bytes("VmRSS:\t  12 kB\n"), Some(12_288));
    }
}
