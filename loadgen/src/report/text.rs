//! The report as text, for people.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use crate::number;
use crate::report::{Quantiles, RunReport};

impl Display for RunReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let messages = &self.messages;
        writeln!(f, "run {} against {}: {}", self.run, self.target, self.load)?;
        writeln!(f, "messages     {:.0}/s over {:.1} s", messages.throughput_per_second, self.measured_seconds)?;
        writeln!(
            f,
            "             sent {}, again {}, acknowledged {}, late {}, unsent {}, unacknowledged {}{}",
            messages.sent,
            messages.sent_again,
            messages.acknowledged,
            messages.late,
            messages.unsent,
            messages.unacknowledged,
            reasons("; rejected", &messages.rejected)
        )?;
        writeln!(f, "latency      {}", Times(&self.latency_us))?;
        let connections = &self.connections;
        writeln!(
            f,
            "connections  {} of {} open, {} accepted, {} of them again, {} resumed{}{}",
            connections.open,
            connections.wanted,
            connections.accepted,
            connections.reconnected,
            connections.resumed,
            reasons("; refused", &connections.refused),
            reasons("; lost", &connections.lost)
        )?;
        writeln!(f, "connecting   {}", Times(&connections.latency_us))?;
        writeln!(
            f,
            "generator    {:.2} us of processor a message, busiest of {} threads {:.0} %, lag {}",
            self.generator.cpu_us_per_message,
            self.generator.threads,
            self.generator.busiest_thread * 100.0,
            Times(&self.lag_us)
        )?;
        for server in &self.servers {
            writeln!(
                f,
                "server {:<6}{:.2} us of processor a message, {:.2} s in all, {:.1} MiB resident at most{}",
                server.pid,
                server.cpu_us_per_message,
                server.cpu_seconds_whole_run,
                number::float(server.memory_bytes_max) / 1_048_576.0,
                if server.is_gone { ", ended during the run" } else { "" }
            )?;
        }
        if self.verdict.is_valid {
            return writeln!(f, "verdict      valid");
        }
        writeln!(f, "verdict      INVALID: {}", self.verdict.reasons.join("; "))
    }
}

struct Times<'a>(&'a Quantiles);

impl Display for Times<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let times = self.0;
        if times.count == 0 {
            return write!(f, "none");
        }
        write!(
            f,
            "p50 {} p90 {} p99 {} p99.9 {} p99.99 {} max {} us",
            times.p50, times.p90, times.p99, times.p99_9, times.p99_99, times.max
        )
    }
}

fn reasons(title: &str, counts: &BTreeMap<String, u64>) -> String {
    if counts.is_empty() {
        return String::new();
    }
    let parts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} x {name}")).collect();
    format!("{title} {}", parts.join(", "))
}
