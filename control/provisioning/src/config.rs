//! Settings of the provisioning service, section `[provisioning]` of the configuration file.

use std::path::PathBuf;

use millrace_protocols_identity::ConnectionString;
use millrace_protocols_identity::connection_string::Credential;
use serde::Deserialize;

use crate::limits::LINKED_HUBS_MAX;

/// Settings of the provisioning service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProvisioningConfig {
    /// Whether there is a provisioning service. Default false.
    pub enabled: bool,
    /// Id scope that devices name. Default: made on the first start and kept in the store.
    pub id_scope: Option<String>,
    /// Names under which the service's API is reached, as in connection strings. Default: whatever name a caller dials.
    pub host_names: Vec<String>,
    /// Hubs that devices are assigned to. Default: this one alone.
    pub linked_hubs: Vec<LinkedHubConfig>,
    /// Seconds after which a device is told to ask again. Default 3.
    pub retry_after_seconds: u32,
    /// Registrations a minute; behind that devices are told to come later. Default 1,000.
    pub registrations_per_minute: u32,
    /// Times that one device may ask, about its operation or for a new one, in ten seconds. Default 5 each.
    pub polls_per_ten_seconds: u32,
    /// Assignments under way at a time. Default 64.
    pub assignments_max: usize,
    /// Assignments waiting for their turn; behind that devices are told to come later. Default 2,000.
    pub assignments_waiting_max: usize,
    /// How long choosing and telling a hub may take, in seconds. Default 40.
    pub assignment_seconds: u64,
    /// How long an allocation webhook may take to answer, in seconds. Default 5.
    pub webhook_seconds: u64,
    /// Allows allocation webhooks over plain HTTP beyond this machine. Default false.
    pub insecure_webhooks: bool,
    /// File with further authorities (PEM) that webhooks' certificates may come from. Default: none.
    pub webhook_ca_file: Option<PathBuf>,
    /// How far a device's clock may be off when it makes a token, in seconds. Default 300.
    pub token_skew_seconds: u64,
}

/// A hub that devices are assigned to.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinkedHubConfig {
    /// Its host name, as devices are to dial it. Default: the one in the connection string.
    pub host_name: Option<String>,
    /// Connection string of one of its service policies with the rights to write identities and twins. Left out: this hub itself.
    pub connection_string: Option<String>,
    /// Its share under the hashed policy, compared with the others. Default 1.
    pub weight: Option<u32>,
    /// How long devices need to reach it, in milliseconds. Default: as long as its API takes to answer this service.
    pub latency_ms: Option<u32>,
    /// File with further authorities (PEM) that its certificate may come from. Default: none.
    pub ca_file: Option<PathBuf>,
    /// Address of its service API. Default `https://` and the host name of the connection string.
    pub service_url: Option<String>,
}

impl Default for ProvisioningConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            id_scope: None,
            host_names: Vec::new(),
            linked_hubs: Vec::new(),
            retry_after_seconds: 3,
            registrations_per_minute: 1_000,
            polls_per_ten_seconds: 5,
            assignments_max: 64,
            assignments_waiting_max: 2_000,
            assignment_seconds: 40,
            webhook_seconds: 5,
            insecure_webhooks: false,
            webhook_ca_file: None,
            token_skew_seconds: 300,
        }
    }
}

impl ProvisioningConfig {
    /// All that is wrong with these settings.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.id_scope.as_deref().is_some_and(|scope| !is_id_scope(scope)) {
            problems.push("provisioning.id_scope: 1 to 64 letters and digits".to_owned());
        }
        let mut range = |name: &str, value: u64, from: u64, to: u64| {
            if !(from..=to).contains(&value) {
                problems.push(format!("provisioning.{name} is {value}, allowed are {from} to {to}"));
            }
        };
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        range("retry_after_seconds", self.retry_after_seconds.into(), 1, 600);
        range("registrations_per_minute", self.registrations_per_minute.into(), 1, 1_000_000);
        range("polls_per_ten_seconds", self.polls_per_ten_seconds.into(), 1, 1_000);
        range("assignments_max", count(self.assignments_max), 1, 1_000);
        range("assignments_waiting_max", count(self.assignments_waiting_max), 1, 100_000);
        // The lease of an assignment is 60 seconds; what runs longer could run twice.
        range("assignment_seconds", self.assignment_seconds, 1, 50);
        range("webhook_seconds", self.webhook_seconds, 1, 50);
        range("token_skew_seconds", self.token_skew_seconds, 0, 3_600);
        range("linked_hubs (their number)", count(self.linked_hubs.len()), 0, count(LINKED_HUBS_MAX));
        for (index, hub) in self.linked_hubs.iter().enumerate() {
            hub.validate(index, &mut problems);
        }
        problems
    }
}

impl LinkedHubConfig {
    fn validate(&self, index: usize, problems: &mut Vec<String>) {
        if let Some(text) = &self.connection_string {
            match ConnectionString::parse(text) {
                Err(error) => problems.push(format!("provisioning.linked_hubs[{index}].connection_string: {error}")),
                Ok(parsed) if parsed.policy.is_none() || !matches!(parsed.credential, Credential::Key(_)) => {
                    let text = "connection_string: the name and the key of a service policy are needed";
                    problems.push(format!("provisioning.linked_hubs[{index}].{text}"));
                }
                Ok(_) => {}
            }
        }
        let is_secure = |url: &String| url.starts_with("https://") || url.starts_with("http://127.0.0.1:");
        if !self.service_url.as_ref().is_none_or(is_secure) {
            problems.push(format!("provisioning.linked_hubs[{index}].service_url: https is needed"));
        }
    }
}

impl std::fmt::Debug for LinkedHubConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkedHubConfig").field("host_name", &self.host_name).finish_non_exhaustive()
    }
}

/// An id scope is a segment of user names, paths and tokens.
pub(crate) fn is_id_scope(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_all_problems_are_told() {
        assert!(ProvisioningConfig::default().validate().is_empty());
        let hub = LinkedHubConfig {
            connection_string: Some("HostName=h;DeviceId=d;SharedAccessKey=a2tra2tra2tra2tra2tra2tra2s=".to_owned()),
            service_url: Some("http://far.example.net".to_owned()),
            ..LinkedHubConfig::default()
        };
        let bad = ProvisioningConfig {
            id_scope: Some("a/b".to_owned()),
            retry_after_seconds: 0,
            registrations_per_minute: 0,
            polls_per_ten_seconds: 0,
            assignments_max: 0,
            assignments_waiting_max: 0,
            assignment_seconds: 0,
            webhook_seconds: 0,
            token_skew_seconds: 9_999,
            linked_hubs: vec![hub],
            ..ProvisioningConfig::default()
        };
        let problems = bad.validate();
        assert_eq!(problems.len(), 11, "{problems:?}");
        assert!(!format!("{bad:?}").contains("a2tra"), "keys are not shown");
    }
}
