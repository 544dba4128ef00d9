//! Settings of jobs and configurations.

use std::ops::RangeInclusive;

use serde::Deserialize;

/// Settings of scheduled jobs, imports and exports, section `[jobs]` of the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobsConfig {
    /// Scheduled jobs that this node works on at a time. Default 4.
    pub jobs_at_once: usize,
    /// Devices that one job works on at a time. Default 100.
    pub devices_at_once: usize,
    /// How often to look for jobs of other nodes, and for those that are too old, in seconds. Default 10.
    pub poll_seconds: u64,
    /// How long a job stays with a node that has stopped to work on it, in seconds. Default 15.
    pub lease_seconds: u64,
    /// How long jobs are kept after their end, in days. Default 30.
    pub kept_days: u32,
    /// Largest file that is imported, in bytes. Default 4 GiB.
    pub import_bytes_max: u64,
    /// Hosts besides `*.blob.core.windows.net` whose containers imports and exports may use. Default none.
    pub container_hosts: Vec<String>,
}

/// Settings of automatic configurations, section `[configurations]` of the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigurationsConfig {
    /// How often all twins are compared with the configurations, in seconds. Default 300.
    pub evaluation_seconds: u64,
    /// How often new and changed devices are looked for, in seconds. Default 5.
    pub changes_seconds: u64,
}

impl Default for JobsConfig {
    fn default() -> Self {
        Self {
            jobs_at_once: 4,
            devices_at_once: 100,
            poll_seconds: 10,
            lease_seconds: 15,
            kept_days: 30,
            import_bytes_max: 4 * 1024 * 1024 * 1024,
            container_hosts: Vec::new(),
        }
    }
}

impl Default for ConfigurationsConfig {
    fn default() -> Self {
        Self { evaluation_seconds: 300, changes_seconds: 5 }
    }
}

impl JobsConfig {
    /// All that is wrong with these settings.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let bounded = [
            ("jobs.jobs_at_once", number(self.jobs_at_once), 1..=64),
            ("jobs.devices_at_once", number(self.devices_at_once), 1..=10_000),
            ("jobs.poll_seconds", self.poll_seconds, 1..=3_600),
            ("jobs.lease_seconds", self.lease_seconds, 1..=300),
            ("jobs.kept_days", u64::from(self.kept_days), 1..=365),
            ("jobs.import_bytes_max", self.import_bytes_max, 1..=1 << 40),
        ];
        let mut problems: Vec<String> = bounded.into_iter().filter_map(out_of_bounds).collect();
        let is_host = |host: &String| {
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte))
        };
        let wrong = self.container_hosts.iter().filter(|host| !is_host(host));
        problems.extend(wrong.map(|host| format!("jobs.container_hosts: `{host}` is not a host name")));
        problems
    }
}

impl ConfigurationsConfig {
    /// All that is wrong with these settings.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let bounded = [
            ("configurations.evaluation_seconds", self.evaluation_seconds, 1..=86_400),
            ("configurations.changes_seconds", self.changes_seconds, 1..=3_600),
        ];
        bounded.into_iter().filter_map(out_of_bounds).collect()
    }
}

fn out_of_bounds((name, value, allowed): (&str, u64, RangeInclusive<u64>)) -> Option<String> {
    let (least, most) = (allowed.start(), allowed.end());
    (!allowed.contains(&value)).then(|| format!("{name} is {value}, allowed are {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_all_problems_are_told() {
        assert!(JobsConfig::default().validate().is_empty());
        assert!(ConfigurationsConfig::default().validate().is_empty());
        let jobs = JobsConfig {
            jobs_at_once: 0,
            devices_at_once: 0,
            poll_seconds: 0,
            lease_seconds: 0,
            kept_days: 0,
            import_bytes_max: 0,
            container_hosts: vec!["a/b".to_owned(), "blobs.example.net:8443".to_owned()],
        };
        assert_eq!(jobs.validate().len(), 7);
        let configurations = ConfigurationsConfig { evaluation_seconds: 0, changes_seconds: 0 };
        assert_eq!(configurations.validate().len(), 2);
    }
}
