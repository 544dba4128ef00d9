//! What this sink tells about itself: metrics, and the log lines that need a human.
//! - Invariants: labels are sink and action names from the configuration, never a device. Handles are made once.

use metrics::{Counter, counter};

/// Names of this sink's metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metric {
    Cleared,
    Delivered,
    Evicted,
    Fired,
    GivenUp,
    Queued,
    Refused,
    Retried,
    Unreadable,
}

impl Metric {
    const fn name(self) -> &'static str {
        match self {
            Self::Cleared => "millrace_alerts_cleared_total",
            Self::Delivered => "millrace_alerts_delivered_total",
            Self::Evicted => "millrace_alerts_devices_evicted_total",
            Self::Fired => "millrace_alerts_fired_total",
            Self::GivenUp => "millrace_alerts_given_up_total",
            Self::Queued => "millrace_alerts_queued_total",
            Self::Refused => "millrace_alerts_devices_refused_total",
            Self::Retried => "millrace_alerts_retried_total",
            Self::Unreadable => "millrace_alerts_unreadable_total",
        }
    }

    fn of_sink(self, sink: &str) -> Counter {
        counter!(self.name(), "sink" => sink.to_owned())
    }

    fn of_action(self, sink: &str, action: &str) -> Counter {
        counter!(self.name(), "sink" => sink.to_owned(), "action" => action.to_owned())
    }
}

/// Counters of the rules.
pub(crate) struct RuleMetrics {
    pub(crate) fired: Counter,
    pub(crate) cleared: Counter,
    pub(crate) evicted: Counter,
    pub(crate) refused: Counter,
    pub(crate) unreadable: Counter,
}

impl RuleMetrics {
    pub(crate) fn new(sink: &str) -> Self {
        Self {
            fired: Metric::Fired.of_sink(sink),
            cleared: Metric::Cleared.of_sink(sink),
            evicted: Metric::Evicted.of_sink(sink),
            refused: Metric::Refused.of_sink(sink),
            unreadable: Metric::Unreadable.of_sink(sink),
        }
    }
}

/// Counters of one webhook or topic. What waits is `queued` less `delivered` less `given_up`.
pub(crate) struct ActionMetrics {
    pub(crate) queued: Counter,
    pub(crate) delivered: Counter,
    pub(crate) retried: Counter,
    pub(crate) given_up: Counter,
}

impl ActionMetrics {
    pub(crate) fn new(sink: &str, action: &str) -> Self {
        Self {
            queued: Metric::Queued.of_action(sink, action),
            delivered: Metric::Delivered.of_action(sink, action),
            retried: Metric::Retried.of_action(sink, action),
            given_up: Metric::GivenUp.of_action(sink, action),
        }
    }
}

/// An event will not reach its target: lost there, so a human must know.
pub(crate) fn given_up(action: &str, id: &str, device: &str, reason: &str) {
    tracing::error!(action, event_id = id, device = ?device, reason, "alert event given up");
}
