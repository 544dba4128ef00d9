//! Whether a run may be quoted: a generator that was the bottleneck has measured itself.
//! - Source: the rules are those of open-loop measurement: the schedule must have been kept, and the generator must have had time to spare.

use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::report::Quantiles;
use crate::report::run::Generator;

/// A schedule kept worse than this was not kept.
const LAG_P99_US_MAX: u64 = 1_000;
/// A thread busier than this has no time to spare.
const BUSY_MAX: f64 = 0.9;

/// Whether the figures may be quoted, and why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Verdict {
    /// They may.
    pub is_valid: bool,
    /// They may not because of these.
    pub reasons: Vec<String>,
}

/// Judges a run.
pub(crate) fn judge(plan: &Plan, generator: &Generator, lag_us: &Quantiles, messages: u64) -> Verdict {
    let mut reasons = Vec::new();
    if plan.window.is_none() && lag_us.p99 > LAG_P99_US_MAX {
        reasons.push(format!(
            "schedule lag p99 is {} us, above {LAG_P99_US_MAX}: the generator sent late by itself",
            lag_us.p99
        ));
    }
    if generator.busiest_thread > BUSY_MAX {
        let percent = generator.busiest_thread * 100.0;
        reasons
            .push(format!("a generator thread was busy {percent:.0} % of the time: the server may be able to do more"));
    }
    let expects = plan.window.is_some() || plan.replay.is_some() || plan.connection_rate(None) > 0.0;
    if expects && messages == 0 {
        reasons.push("no message came through".to_owned());
    }
    Verdict { is_valid: reasons.is_empty(), reasons }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_own_reason() {
        let plan = Plan { rate: 10.0, ..Plan::default() };
        let calm = Generator { busiest_thread: 0.5, ..Generator::default() };
        let busy = Generator { busiest_thread: 0.95, ..Generator::default() };
        let prompt = Quantiles { p99: 900, ..Quantiles::default() };
        let slow = Quantiles { p99: 1_001, ..Quantiles::default() };
        assert!(judge(&plan, &calm, &prompt, 1).is_valid);
        assert!(judge(&plan, &calm, &slow, 1).reasons[0].contains("lag"));
        assert!(judge(&plan, &busy, &prompt, 1).reasons[0].contains("95 %"));
        assert!(judge(&plan, &calm, &prompt, 0).reasons[0].contains("no message"));
        assert!(judge(&Plan { window: Some(1), ..plan }, &calm, &slow, 1).is_valid);
        assert!(judge(&Plan::default(), &calm, &prompt, 0).is_valid, "idle connections are a load too");
    }
}
