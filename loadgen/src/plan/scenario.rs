//! Named scenarios: the shapes that published figures use, so that results compare.
//! - Source: `conn-tcp-10K-500` and its like are names of EMQ's mqttbs suite; the rest are the shapes of this project's own tables.
//! - Not here: scenarios with subscribers; this generator only publishes.

use crate::plan::{Phase, PhaseKind, Plan};

/// What `--help` says about the names.
pub(crate) const HELP: &str = "conn-tcp-N-R and conn-tls-N-R (N idle connections, R new ones a second; 10K = 10,000), \
    pipelined (20 publishers, window 16), alone (500 publishers, window 1), fleet (10,000 connections, 1 message a second each), \
    CxW (C publishers, window W, such as 100x4)";

/// Fills in a plan after a scenario's name.
///
/// # Errors
/// The name is not known; the text lists those that are.
pub(crate) fn apply(name: &str, plan: &mut Plan) -> Result<(), String> {
    let measured = vec![Phase::new(PhaseKind::Warm, 2.0), Phase::hold(10.0)];
    let parts: Vec<&str> = name.split('-').collect();
    match parts.as_slice() {
        ["conn", transport @ ("tcp" | "tls"), connections, rate] => {
            plan.connections = number(connections).ok_or_else(|| unknown(name))?;
            plan.connect_rate = f64::from(number(rate).ok_or_else(|| unknown(name))?);
            plan.tls = *transport == "tls";
            plan.rate = 0.0;
            plan.phases = vec![Phase::hold(30.0)];
        }
        ["pipelined"] => closed(plan, 20, 16, measured),
        ["alone"] => closed(plan, 500, 1, measured),
        ["fleet"] => {
            plan.connections = 10_000;
            plan.rate_per_connection = Some(1.0);
            plan.window = None;
            plan.phases = measured;
        }
        [shape] => {
            let (connections, window) = shape.split_once('x').ok_or_else(|| unknown(name))?;
            let connections = number(connections).ok_or_else(|| unknown(name))?;
            let window = window.parse().map_err(|_| unknown(name))?;
            closed(plan, connections, window, measured);
        }
        _ => return Err(unknown(name)),
    }
    Ok(())
}

fn closed(plan: &mut Plan, connections: u32, window: u16, phases: Vec<Phase>) {
    plan.connections = connections;
    plan.window = Some(window);
    plan.phases = phases;
}

fn number(text: &str) -> Option<u32> {
    let (digits, factor) = match text.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 1_000),
        None => (text, 1),
    };
    digits.parse::<u32>().ok()?.checked_mul(factor)
}

fn unknown(name: &str) -> String {
    format!("unknown scenario {name:?}; there are {HELP}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_shapes() {
        let mut plan = Plan::default();
        apply("conn-tls-10K-500", &mut plan).unwrap();
        assert_eq!((plan.connections, plan.connect_rate, plan.tls), (10_000, 500.0, true));
        apply("100x4", &mut plan).unwrap();
        assert_eq!((plan.connections, plan.window), (100, Some(4)));
        for name in ["", "x", "conn-udp-1-1", "99999999Kx1", "fleet-2"] {
            assert!(apply(name, &mut plan).unwrap_err().contains("pipelined"), "{name}");
        }
    }
}
