//! The phases of a run, in the order of the plan. Every run starts with a ramp: all connections are opened.
//! - Invariants: phases after the ramp have a length of their own, so all threads know from one instant when each begins.

use serde::{Deserialize, Serialize};

/// What happens in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PhaseKind {
    /// Connections stay and messages flow, but nothing is measured.
    Warm,
    /// Connections stay and messages flow.
    #[default]
    Hold,
    /// As hold, while a share of the connections is cut every second and comes back.
    Churn,
    /// All connections are cut at the start of the phase and come back.
    Storm,
}

/// One phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Phase {
    /// What happens. Default `hold`.
    pub kind: PhaseKind,
    /// Length. Default 10.
    pub seconds: f64,
    /// Messages a second of all connections together. Default: the plan's.
    pub rate: Option<f64>,
    /// Churn: how many of 100 connections are cut each second. Default 1.
    pub churn_percent: f64,
    /// Reconnections a second; 0 is as fast as possible. Default: the plan's.
    pub connect_rate: Option<f64>,
}

impl Default for Phase {
    fn default() -> Self {
        Self { kind: PhaseKind::Hold, seconds: 10.0, rate: None, churn_percent: 1.0, connect_rate: None }
    }
}

impl Phase {
    /// A plain hold.
    #[must_use]
    pub fn hold(seconds: f64) -> Self {
        Self { seconds, ..Self::default() }
    }

    /// A phase of another kind.
    #[must_use]
    pub fn new(kind: PhaseKind, seconds: f64) -> Self {
        Self { kind, seconds, ..Self::default() }
    }

    /// Whether what happens in it counts.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.kind != PhaseKind::Warm
    }

    /// Its name in reports.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self.kind {
            PhaseKind::Warm => "warm",
            PhaseKind::Hold => "hold",
            PhaseKind::Churn => "churn",
            PhaseKind::Storm => "storm",
        }
    }
}
