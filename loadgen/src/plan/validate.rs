//! What is wrong with a plan: all of it at once, each problem with the field to change.

use crate::engine::source;
use crate::engine::template::Template;
use crate::plan::{Phase, Plan, StampPlace};

/// Longest run: 31 days; keeps every time in nanoseconds far from its limit.
const SECONDS_MAX: f64 = 31.0 * 86_400.0;
/// A message larger than this is refused by every hub; the packet needs room for its topic.
const PAYLOAD_BYTES_MAX: u32 = 256 * 1024;
/// Threads are counted by cores; this only catches a typing error.
const THREADS_MAX: u16 = 256;

impl Plan {
    /// Every problem of the plan, none when it can be run.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        self.check_connections(&mut problems);
        self.check_load(&mut problems);
        self.check_messages(&mut problems);
        for (index, phase) in self.phases.iter().enumerate() {
            check_phase(index, phase, &mut problems);
        }
        problems
    }

    fn check_connections(&self, problems: &mut Vec<String>) {
        let mut check = |wrong: bool, text: &str| {
            if wrong {
                problems.push(text.to_owned());
            }
        };
        check(self.connections == 0, "connections: at least 1");
        check(self.threads == 0 || self.threads > THREADS_MAX, "threads: 1 to 256");
        check(self.processes == 0 || self.processes > THREADS_MAX, "processes: 1 to 256");
        check(u32::from(self.processes) > self.connections, "processes: more than there are connections");
        check(!is_rate(self.connect_rate), "connect_rate: a number of connections a second, 0 for no limit");
        check(self.connect_timeout_seconds == 0, "connect_timeout_seconds: at least 1");
        check(
            self.tls && self.ca_file.is_none() && !self.insecure_skip_verify,
            "tls: needs ca_file (--ca FILE) or insecure_skip_verify",
        );
        check(!self.tls && self.ca_file.is_some(), "ca_file: means nothing without tls");
        check(self.tls_resume_percent > 100, "tls_resume_percent: 0 to 100");
        check(!self.target.contains(':'), "target: HOST:PORT");
        check(self.devices_file.is_some() && self.key_file.is_some(), "key_file: devices_file already has the keys");
        check(
            self.topic.is_none() && self.user_name.is_some(),
            "user_name: only with topic; to a hub every device has a name of its own",
        );
        check(self.topic.is_some() && self.key_file.is_some(), "key_file: only to a hub, not with topic");
        if let Some(text) = &self.source
            && let Err(problem) = source::parse(text)
        {
            problems.push(format!("source: {problem}"));
        }
    }

    fn check_load(&self, problems: &mut Vec<String>) {
        let mut check = |wrong: bool, text: &str| {
            if wrong {
                problems.push(text.to_owned());
            }
        };
        check(self.qos > 1, "qos: 0 or 1");
        check(!is_rate(self.rate), "rate: a number of messages a second");
        check(self.rate_per_connection.is_some_and(|rate| !is_rate(rate)), "rate_per_connection: messages a second");
        check(self.window == Some(0), "window: at least 1");
        check(self.window.is_some() && self.qos == 0, "window: counts acknowledgements, so it needs qos 1");
        check(self.in_flight_max == 0, "in_flight_max: at least 1");
        check(self.phases.is_empty(), "phases: at least one");
        check(self.phases.len() > 1_000, "phases: at most 1,000");
        check(self.replay.is_some() && self.window.is_some(), "replay: has its own times, so no window");
        if let Some(replay) = &self.replay {
            let compression = replay.time_compression;
            check(!(compression.is_finite() && compression > 0.0), "replay.time_compression: above 0");
        }
    }

    fn check_messages(&self, problems: &mut Vec<String>) {
        let mut check = |wrong: bool, text: &str| {
            if wrong {
                problems.push(text.to_owned());
            }
        };
        check(self.payload_bytes > PAYLOAD_BYTES_MAX, "payload_bytes: at most 262,144");
        check(
            self.ledger.is_some() && self.stamp == StampPlace::None,
            "ledger: needs stamp (--verify), or nothing could be found again",
        );
        check(self.ledger.is_some() && self.qos == 0, "ledger: needs qos 1; nothing is acknowledged at qos 0");
        check(
            self.stamp == StampPlace::Property && self.topic.is_some() && self.protocol == super::Protocol::Mqtt311,
            "stamp: a plain 3.1.1 broker has no properties; use the body",
        );
        if let Some(text) = &self.template {
            match Template::parse(text) {
                Ok(_) => {}
                Err(problem) => problems.push(format!("template: {problem}")),
            }
            if self.stamp == StampPlace::Body && !text.trim_start().starts_with('{') {
                problems.push("stamp: the template is no JSON object, so the stamp needs a property".to_owned());
            }
        }
    }
}

fn check_phase(index: usize, phase: &Phase, problems: &mut Vec<String>) {
    let mut check = |wrong: bool, text: &str| {
        if wrong {
            problems.push(format!("phases[{index}].{text}"));
        }
    };
    check(!(phase.seconds > 0.0 && phase.seconds <= SECONDS_MAX), "seconds: above 0, at most 31 days");
    check(phase.rate.is_some_and(|rate| !is_rate(rate)), "rate: a number of messages a second");
    check(phase.connect_rate.is_some_and(|rate| !is_rate(rate)), "connect_rate: connections a second");
    check(!(0.0..=100.0).contains(&phase.churn_percent), "churn_percent: 0 to 100");
}

fn is_rate(rate: f64) -> bool {
    rate.is_finite() && (0.0..=1e9).contains(&rate)
}

#[cfg(test)]
mod tests {
    use crate::plan::{Phase, Plan, StampPlace};

    #[test]
    fn all_problems_come_at_once() {
        let plan = Plan {
            connections: 0,
            tls: true,
            qos: 2,
            rate: f64::NAN,
            source: Some("10.0.0.9-10.0.0.1".to_owned()),
            template: Some("{random:5}".to_owned()),
            stamp: StampPlace::None,
            ledger: Some("x".into()),
            phases: vec![Phase::hold(-1.0)],
            ..Plan::default()
        };
        let problems = plan.validate();
        for field in ["connections", "tls", "qos", "rate", "source", "template", "ledger", "phases[0].seconds"] {
            assert!(problems.iter().any(|problem| problem.starts_with(field)), "{field} not in {problems:?}");
        }
        assert_eq!(Plan::default().validate(), Vec::<String>::new());
    }
}
