//! The webhooks and topics of a sink, and which rule goes to which: takes events, never waits.
//! - Limits: a full queue gives up its oldest event; the other targets are not touched by that.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use millrace_model::{SinkError, Timestamp};

use crate::client::Target;
use crate::config::{AlertsConfig, LOG_ACTION};
use crate::devices::split_key;
use crate::engine::Decision;
use crate::event::{Event, EventKind, EventPublisher, event_id};
use crate::events::{self, ActionMetrics};
use crate::queue::Queue;
use crate::rule::{Change, Rule};
use crate::sink::AlertsCounters;
use crate::state::{Frame, Image};

/// Where the events of a rule go.
#[derive(Debug, Default)]
struct Actions {
    log: bool,
    queues: Vec<usize>,
}

struct Outlet {
    queue: Arc<Queue>,
    metrics: Arc<ActionMetrics>,
}

/// See the module's documentation.
pub(crate) struct Outlets {
    list: Vec<Outlet>,
    /// One per rule.
    actions: Vec<Actions>,
    counters: Arc<AlertsCounters>,
}

/// Opens a queue for each webhook and topic, with what an earlier run left in it.
pub(crate) fn open(
    sink: &str,
    config: &AlertsConfig,
    image: &Image,
    publishers: &mut HashMap<String, Box<dyn EventPublisher>>,
    counters: &Arc<AlertsCounters>,
) -> Result<(Outlets, Vec<Target>), SinkError> {
    let (mut list, mut targets) = (Vec::new(), Vec::new());
    let mut open = |action: &str| {
        let left = image.waiting.iter().filter(|((queue, _), _)| queue == action).map(|(_, event)| Arc::clone(event));
        let queue = Arc::new(Queue::new(action, config.queue_events_max, left.collect()));
        let metrics = Arc::new(ActionMetrics::new(sink, action));
        list.push(Outlet { queue: Arc::clone(&queue), metrics: Arc::clone(&metrics) });
        (queue, metrics)
    };
    for (action, webhook) in &config.webhooks {
        let (queue, metrics) = open(action);
        let target = Target::webhook(webhook, queue, metrics, Arc::clone(counters));
        targets.push(target.map_err(|error| {
            let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            SinkError::Broken(format!("webhook \"{action}\": {error}{source}"))
        })?);
    }
    for action in config.topics.keys() {
        if let Some(publisher) = publishers.remove(action) {
            let (queue, metrics) = open(action);
            targets.push(Target::topic(publisher, queue, metrics, Arc::clone(counters)));
        }
    }
    let actions = config.rules.iter().map(|rule| actions(&rule.actions, &list)).collect();
    Ok((Outlets { list, actions, counters: Arc::clone(counters) }, targets))
}

fn actions(names: &[String], list: &[Outlet]) -> Actions {
    let numbers = names.iter().filter_map(|name| list.iter().position(|outlet| outlet.queue.name == *name));
    Actions { log: names.iter().any(|name| name == LOG_ACTION), queues: numbers.collect() }
}

impl Outlets {
    /// Gives an event of a rule to all targets of the rule.
    pub(crate) fn hand_out(&self, rule: usize, event: &Event<'_>, created: Timestamp) {
        let Some(actions) = self.actions.get(rule) else { return };
        if actions.log {
            log(event);
        }
        if actions.queues.is_empty() {
            return;
        }
        let payload = event.to_json();
        for outlet in actions.queues.iter().filter_map(|&number| self.list.get(number)) {
            outlet.metrics.queued.increment(1);
            let device = event.device.to_owned();
            if let Some(gone) = outlet.queue.push(created, event.id.clone(), device, payload.clone()) {
                outlet.metrics.given_up.increment(1);
                self.counters.failed.fetch_add(1, Ordering::Relaxed);
                events::given_up(&outlet.queue.name, &gone.id, &gone.key, "the queue is full");
            }
        }
    }

    /// Adds to a frame what changed in the queues.
    pub(crate) fn record(&self, frame: &mut Frame) {
        for Outlet { queue, .. } in &self.list {
            let (fresh, done) = queue.record();
            frame.waiting.extend(fresh.into_iter().map(|event| (queue.name.clone(), event)));
            frame.done.extend(done.into_iter().map(|number| (queue.name.clone(), number)));
        }
    }

    /// Whether [`Self::record`] would add something.
    pub(crate) fn has_changed(&self) -> bool {
        self.list.iter().any(|outlet| outlet.queue.has_changed())
    }

    /// Whether there is a queue of this name.
    pub(crate) fn holds(&self, queue: &str) -> bool {
        self.list.iter().any(|outlet| outlet.queue.name == queue)
    }

    /// How many events wait, by name.
    pub(crate) fn waiting(&self) -> Vec<(String, usize)> {
        self.list.iter().map(|outlet| (outlet.queue.name.clone(), outlet.queue.len())).collect()
    }

    /// Waits until every queue is empty or its target takes nothing, at most until `deadline`.
    pub(crate) fn wait_settled(&self, deadline: Instant) {
        for outlet in &self.list {
            outlet.queue.wait_settled(deadline);
        }
    }
}

fn log(event: &Event<'_>) {
    tracing::info!(
        target: "alerts",
        id = event.id,
        kind = ?event.kind,
        rule = event.rule,
        severity = ?event.severity,
        device = ?event.device,
        module = ?event.module,
        value = event.value,
        threshold = event.threshold,
        source = event.source,
        summary = ?event.summary,
        "alert"
    );
}

/// What a decision of `rule` for the device `key` tells the world.
pub(crate) fn event<'a>(rule: &'a Rule, key: &'a str, decision: &Decision) -> Event<'a> {
    let (device, module) = split_key(key);
    let (kind, firing, value) = match decision.change {
        Change::Cleared(firing, value) => (EventKind::Cleared, firing, value),
        Change::Fired(firing) => (EventKind::Fired, firing, firing.value),
    };
    Event {
        id: event_id(kind, &rule.name, key, &firing.cause),
        alert: event_id(EventKind::Fired, &rule.name, key, &firing.cause),
        kind,
        rule: &rule.name,
        severity: rule.severity,
        summary: &rule.summary,
        device,
        module,
        value: Some(value).filter(|value| value.is_finite()),
        threshold: rule.threshold(),
        window: rule.window(),
        fired_at: firing.at,
        cleared_at: (kind == EventKind::Cleared).then_some(decision.at),
        source: format!("{}:{}", decision.source.shard, decision.source.offset),
    }
}
