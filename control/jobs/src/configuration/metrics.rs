//! How many twins a configuration means, was applied to, and how they fare.
//! - Shape: counted in each round over all twins; what is shown are the numbers of the last whole round on this node.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::document::{Configuration, Kind};
use super::plan::Status;

/// Numbers of one configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Twins that it means.
    pub targeted: u64,
    /// Those of them that it is applied to.
    pub applied: u64,
    /// Edge devices whose runtime reports that it runs the deployment.
    pub successful: u64,
    /// Those whose runtime reports that it cannot.
    pub failed: u64,
    /// Matches of the configuration's own queries.
    pub custom: BTreeMap<String, u64>,
}

impl Counts {
    /// Counts a twin that is meant.
    pub(super) fn add(&mut self, status: Status) {
        self.targeted = self.targeted.saturating_add(1);
        self.applied = self.applied.saturating_add(u64::from(status == Status::Applied));
    }

    /// Counts what the runtime of an edge device reports: the row of its module `$edgeAgent`.
    pub(super) fn add_report(&mut self, agent: &Value) {
        let member = |path: &str| agent.pointer(path);
        let is_current = member("/properties/desired/$version") == member("/properties/reported/lastDesiredVersion");
        match member("/properties/reported/lastDesiredStatus/code").and_then(Value::as_i64) {
            Some(200) if is_current => self.successful = self.successful.saturating_add(1),
            Some(200) | None => {}
            Some(_) => self.failed = self.failed.saturating_add(1),
        }
    }

    /// Counts a match of a query.
    pub(super) fn add_match(&mut self, name: &str) {
        let count = self.custom.entry(name.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    /// `systemMetrics`.
    pub(super) fn system(&self, configuration: &Configuration) -> Value {
        let id = configuration.id();
        let rows = if configuration.kind() == Kind::Module { "devices.modules" } else { "devices" };
        let targeted = format!(
            "select deviceId from {rows} where configurations.[[{id}]].status = 'Targeted' or configurations.[[{id}]].status = 'Applied'"
        );
        let applied = format!("select deviceId from {rows} where configurations.[[{id}]].status = 'Applied'");
        let mut results = json!({ "targetedCount": self.targeted, "appliedCount": self.applied });
        let mut queries = json!({ "targetedCount": targeted, "appliedCount": applied });
        if configuration.kind() == Kind::Deployment {
            let agent = "select deviceId from devices.modules where moduleId = '$edgeAgent' and properties.reported.lastDesiredStatus.code";
            results["reportedSuccessfulCount"] = self.successful.into();
            results["reportedFailedCount"] = self.failed.into();
            queries["reportedSuccessfulCount"] = format!("{agent} = 200").into();
            queries["reportedFailedCount"] = format!("{agent} != 200").into();
        }
        json!({ "results": results, "queries": queries })
    }

    /// `metrics`.
    pub(super) fn custom(&self, configuration: &Configuration, queries: Value) -> Value {
        let count = |name: &String| Value::from(self.custom.get(name).copied().unwrap_or_default());
        let results: Value = configuration.metrics().iter().map(|(name, _)| (name.clone(), count(name))).collect();
        json!({ "results": results, "queries": queries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_count_only_for_the_version_they_are_about() {
        let agent = |code: i64, version: i64| {
            json!({"properties": {"desired": {"$version": 4},
                "reported": {"lastDesiredVersion": version, "lastDesiredStatus": {"code": code}}}})
        };
        let mut counts = Counts::default();
        for report in [agent(200, 4), agent(200, 3), agent(400, 4), json!({})] {
            counts.add_report(&report);
        }
        assert_eq!((counts.successful, counts.failed), (1, 1));
    }
}
