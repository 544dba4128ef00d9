//! The configuration of one alerts sink, as it stands in the TOML file, and everything that can be wrong with it.
//! - Units: the last word of each name (`_seconds`, `_ms`, `_max`).
//! - Invariants: a secret never shows in `Debug`; [`AlertsConfig::validate`] names every problem, not only the first.
//! - Not here: what a rule does ([`crate::rule`]), whether an address may be called ([`crate::request`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::limits::{ACTIONS_MAX, NAME_BYTES_MAX, PERIOD_SECONDS_MAX, RULES_MAX, SUMMARY_BYTES_MAX};
use crate::path::Path;
use crate::request;

/// Name of the action that writes events to the log; needs no table of its own.
pub const LOG_ACTION: &str = "log";

/// One alerts sink.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertsConfig {
    /// What is watched for. Default: nothing.
    pub rules: Vec<RuleConfig>,
    /// Webhooks by action name. Default: none.
    pub webhooks: BTreeMap<String, WebhookConfig>,
    /// Kafka topics by action name. Default: none.
    pub topics: BTreeMap<String, TopicConfig>,
    /// Most devices (and modules) with state. When full, a long idle one without a firing alert makes room. Default 1,000,000.
    pub devices_max: usize,
    /// Most events that wait for one webhook or topic. When full, the oldest waiting one is given up. Default 10,000.
    pub queue_events_max: usize,
    /// Shortest time between two writings of the state, milliseconds. Default 1,000.
    pub snapshot_interval_ms: u64,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            webhooks: BTreeMap::new(),
            topics: BTreeMap::new(),
            devices_max: 1_000_000,
            queue_events_max: 10_000,
            snapshot_interval_ms: 1000,
        }
    }
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    /// No message of a device for `seconds`.
    Silence,
    /// Each value by itself.
    #[default]
    Threshold,
    /// An aggregate of the values of the last `seconds`.
    Window,
}

/// How a window is summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregate {
    /// Arithmetic mean.
    Avg,
    /// How many messages (or, with `value`, how many that hold one).
    Count,
    /// Largest value.
    Max,
    /// Smallest value.
    Min,
    /// Change per second from the oldest to the newest value.
    Rate,
}

/// How bad it is when a rule fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody has to act now.
    Critical,
    /// Something is broken.
    Error,
    /// Worth knowing.
    Info,
    /// Worth a look.
    #[default]
    Warning,
}

/// One rule. It is applied to each device (and module) by itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleConfig {
    /// Unique name; required.
    pub name: String,
    /// `threshold` (default), `window` or `silence`.
    pub kind: RuleKind,
    /// JSON path of the number in the body, such as `$.temperature`. Required unless `kind` is `silence` or `aggregate` is `count`.
    pub value: Option<String>,
    /// `count`, `min`, `max`, `avg` or `rate`; required for `window`.
    pub aggregate: Option<Aggregate>,
    /// Length of the window or of the silence; required for both.
    pub seconds: Option<u64>,
    /// Fires when the value is above this. One of `above` and `below` is required unless `kind` is `silence`.
    pub above: Option<f64>,
    /// Fires when the value is below this.
    pub below: Option<f64>,
    /// With `below`: clears only when the value is above this. Default: as soon as it is not below any more.
    pub clear_above: Option<f64>,
    /// With `above`: clears only when the value is below this. Default: as soon as it is not above any more.
    pub clear_below: Option<f64>,
    /// Shortest time between two firings for one device. Default 0.
    pub cooldown_seconds: u64,
    /// `info`, `warning` (default), `error` or `critical`.
    pub severity: Severity,
    /// Text for people. Default empty.
    pub summary: String,
    /// Names of webhooks and topics, and `log`. Required.
    pub actions: Vec<String>,
}

/// A webhook that gets events by POST.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookConfig {
    /// `https://` or `http://`; required.
    pub url: String,
    /// Key of the signature. This or `secret_file` is required.
    pub secret: Option<Secret>,
    /// File that holds the key; white space at its ends is not part of it.
    pub secret_file: Option<PathBuf>,
    /// Whether loopback and private addresses may be called. Link-local ones never may. Default false.
    pub allow_private: bool,
    /// PEM file of the authorities to trust instead of the platform's. Default none.
    pub ca_file: Option<PathBuf>,
    /// How long one attempt may take, milliseconds. Default 5,000.
    pub timeout_ms: u64,
    /// First pause after a failure, milliseconds; doubles each time. Default 500.
    pub retry_first_ms: u64,
    /// Longest pause, milliseconds. Default 60,000.
    pub retry_pause_ms: u64,
    /// How long an event is tried before it is given up, seconds. Default 86,400 (24 hours).
    pub retry_seconds: u64,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            secret: None,
            secret_file: None,
            allow_private: false,
            ca_file: None,
            timeout_ms: 5000,
            retry_first_ms: 500,
            retry_pause_ms: 60_000,
            retry_seconds: 86_400,
        }
    }
}

/// A Kafka topic that gets events; the connection is that of a Kafka sink.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopicConfig {
    /// Name of the Kafka sink whose connection is used; required.
    pub kafka: String,
    /// Name of the topic; required.
    pub topic: String,
}

/// A text that is never shown, and wiped when it is dropped.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// The text, for signing only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// All problems of a configuration.
#[must_use]
pub fn check(config: &AlertsConfig) -> Vec<String> {
    config.validate()
}

impl AlertsConfig {
    /// All problems; empty when the sink can be started with it, files and addresses aside.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        range(&mut problems, "devices_max", self.devices_max, 1, 100_000_000);
        range(&mut problems, "queue_events_max", self.queue_events_max, 1, 1_000_000);
        range(&mut problems, "snapshot_interval_ms", self.snapshot_interval_ms, 10, 3_600_000);
        if self.rules.len() > RULES_MAX {
            problems.push(format!("{} rules are more than {RULES_MAX}", self.rules.len()));
        }
        if self.webhooks.len() + self.topics.len() > ACTIONS_MAX {
            problems.push(format!("more than {ACTIONS_MAX} webhooks and topics"));
        }
        let mut names = BTreeSet::new();
        for rule in &self.rules {
            if !names.insert(rule.name.as_str()) {
                problems.push(format!("rule \"{}\": the name is used twice", rule.name));
            }
            let found = rule.problems().into_iter().chain(self.action_problems(rule));
            problems.extend(found.map(|problem| format!("rule \"{}\": {problem}", rule.name)));
        }
        for (name, webhook) in &self.webhooks {
            let found = self.name_problem(name).into_iter().chain(webhook.problems());
            problems.extend(found.map(|problem| format!("webhook \"{name}\": {problem}")));
        }
        for (name, topic) in &self.topics {
            let empty = topic.kafka.is_empty() || topic.topic.is_empty();
            let found = self.name_problem(name).into_iter().chain(empty.then(|| "needs kafka and topic".to_owned()));
            let twice = self.webhooks.contains_key(name).then(|| "a webhook has the same name".to_owned());
            problems.extend(found.chain(twice).map(|problem| format!("topic \"{name}\": {problem}")));
        }
        problems
    }

    fn name_problem(&self, name: &str) -> Option<String> {
        if name == LOG_ACTION {
            return Some(format!("\"{LOG_ACTION}\" is taken by the log"));
        }
        (!is_name(name)).then(|| "a name is 1 to 128 letters, digits and -_.".to_owned())
    }

    fn action_problems(&self, rule: &RuleConfig) -> Vec<String> {
        let known = |action: &&String| {
            *action == LOG_ACTION || self.webhooks.contains_key(*action) || self.topics.contains_key(*action)
        };
        let mut problems: Vec<String> =
            rule.actions.iter().filter(|action| !known(action)).map(|name| format!("no action \"{name}\"")).collect();
        if rule.actions.is_empty() {
            problems.push("needs actions".to_owned());
        }
        if rule.actions.iter().collect::<BTreeSet<_>>().len() < rule.actions.len() {
            problems.push("names an action twice".to_owned());
        }
        problems
    }
}

impl RuleConfig {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut say = |wrong: bool, text: &str| {
            if wrong {
                problems.push(text.to_owned());
            }
        };
        let silence = self.kind == RuleKind::Silence;
        let window = self.kind == RuleKind::Window;
        say(!is_name(&self.name), "a name is 1 to 128 letters, digits and -_.");
        say(self.summary.len() > SUMMARY_BYTES_MAX, "summary is too long");
        say(window != self.aggregate.is_some(), "aggregate belongs to kind = \"window\", which needs it");
        say((window || silence) != self.seconds.is_some(), "seconds belongs to window and silence, which need it");
        say(
            self.seconds.is_some_and(|seconds| !(1..=PERIOD_SECONDS_MAX).contains(&seconds)),
            "seconds must be from 1 to 2678400",
        );
        say(self.cooldown_seconds > PERIOD_SECONDS_MAX, "cooldown_seconds is above 2678400");
        let bounds = [self.above, self.below, self.clear_above, self.clear_below];
        say(bounds.iter().flatten().any(|bound| !bound.is_finite()), "bounds must be finite numbers");
        if silence {
            say(bounds.iter().any(Option::is_some) || self.value.is_some(), "silence takes no value and no bounds");
            return problems;
        }
        say(self.above.is_some() == self.below.is_some(), "needs one of above and below");
        say(self.clear_below.is_some() && self.above.is_none(), "clear_below belongs to above");
        say(self.clear_above.is_some() && self.below.is_none(), "clear_above belongs to below");
        say(matches!((self.above, self.clear_below), (Some(fire), Some(clear)) if clear > fire), "clear_below > above");
        say(matches!((self.below, self.clear_above), (Some(fire), Some(clear)) if clear < fire), "clear_above < below");
        match &self.value {
            None => say(self.aggregate != Some(Aggregate::Count), "needs value"),
            Some(value) => {
                if let Err(reason) = Path::parse(value) {
                    problems.push(format!("value: {reason}"));
                }
            }
        }
        problems
    }
}

impl WebhookConfig {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        range(&mut problems, "timeout_ms", self.timeout_ms, 1, 600_000);
        range(&mut problems, "retry_first_ms", self.retry_first_ms, 1, 3_600_000);
        range(&mut problems, "retry_pause_ms", self.retry_pause_ms, self.retry_first_ms, 86_400_000);
        range(&mut problems, "retry_seconds", self.retry_seconds, 0, PERIOD_SECONDS_MAX);
        if self.secret.is_some() == self.secret_file.is_some() {
            problems.push("needs one of secret and secret_file".to_owned());
        }
        if self.secret.as_ref().is_some_and(|secret| secret.expose().is_empty()) {
            problems.push("secret is empty".to_owned());
        }
        if let Err(reason) = request::check_url(&self.url, self.allow_private) {
            problems.push(format!("url: {reason}"));
        }
        problems
    }
}

fn range<T: PartialOrd + std::fmt::Display>(problems: &mut Vec<String>, name: &str, value: T, low: T, high: T) {
    if value < low || value > high {
        problems.push(format!("{name} = {value} is not from {low} to {high}"));
    }
}

/// Whether a text may name a sink, a rule or an action: safe in file names, metric labels and logs.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        toml::from_str::<AlertsConfig>(text).unwrap().validate()
    }

    #[test]
    fn a_full_configuration_is_accepted_and_keeps_its_secret() {
        let text = r#"
            [webhooks.ops]
            url = "https://alerts.example/in"
            secret = "hush-hush"
            [topics.bus]
            kafka = "main"
            topic = "alerts"
            [[rules]]
            name = "hot"
            value = "$.temperature"
            above = 30
            clear_below = 28.5
            cooldown_seconds = 60
            severity = "critical"
            actions = ["ops", "bus", "log"]
            [[rules]]
            name = "busy"
            kind = "window"
            aggregate = "count"
            seconds = 60
            above = 100
            actions = ["log"]
            [[rules]]
            name = "gone"
            kind = "silence"
            seconds = 300
            actions = ["log"]
        "#;
        let config: AlertsConfig = toml::from_str(text).unwrap();
        assert_eq!(config.validate(), Vec::<String>::new());
        assert!(!format!("{config:?}").contains("hush"));
        assert!(AlertsConfig::default().validate().is_empty());
    }

    #[test]
    fn every_problem_is_named() {
        let found = problems(
            r#"
            devices_max = 0
            [webhooks.log]
            url = "ftp://x/"
            [topics.t]
            [[rules]]
            name = "a b"
            kind = "window"
            clear_below = 1
            actions = ["nowhere"]
            [[rules]]
            name = "s"
            kind = "silence"
            seconds = 0
            above = nan
            value = "$.x"
            "#,
        );
        for wanted in [
            "devices_max = 0",
            "\"log\" is taken",
            "url:",
            "needs one of secret",
            "needs kafka",
            "letters, digits",
            "aggregate belongs",
            "seconds belongs",
            "needs one of above",
            "clear_below belongs",
            "needs value",
            "no action \"nowhere\"",
            "seconds must be",
            "finite",
            "silence takes no value",
            "needs actions",
        ] {
            assert!(found.iter().any(|problem| problem.contains(wanted)), "{wanted}: {found:#?}");
        }
        assert!(toml::from_str::<AlertsConfig>("rulez = []").is_err());
    }
}
