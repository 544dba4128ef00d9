//! Settings of the registry and of the executor, sections `[registry]` and `[control]` of the configuration file.

use serde::Deserialize;

/// Settings of the registry.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryConfig {
    /// How often a running hub looks for changes that another process has made, in milliseconds. Default 200.
    pub poll_ms: u64,
    /// Identities that the hub holds in memory at most; those behind it cannot connect. Default 5,000,000 (about 800 MB).
    pub identities_max: usize,
    /// How far a client's clock may be off when it makes a token for the service API, in seconds. Default 300.
    pub token_skew_seconds: u64,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self { poll_ms: 200, identities_max: 5_000_000, token_skew_seconds: 300 }
    }
}

impl RegistryConfig {
    /// All that is wrong with these settings.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(10..=60_000).contains(&self.poll_ms) {
            problems.push(format!("registry.poll_ms is {}, allowed are 10 to 60000", self.poll_ms));
        }
        if self.identities_max == 0 {
            problems.push("registry.identities_max is 0: nobody could connect".to_owned());
        }
        if self.token_skew_seconds > 3600 {
            let seconds = self.token_skew_seconds;
            problems.push(format!("registry.token_skew_seconds is {seconds}, allowed are 0 to 3600"));
        }
        problems
    }
}

/// Settings of the executor.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlConfig {
    /// Whether changes of twins are events that routes can select. Default true.
    pub twin_change_events: bool,
    /// Whether identities that are created and deleted are events that routes can select. Default true.
    pub lifecycle_events: bool,
    /// Whether changes of digital twins are events that routes can select. Default true.
    pub digital_twin_change_events: bool,
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self { twin_change_events: true, lifecycle_events: true, digital_twin_change_events: true }
    }
}

impl ControlConfig {
    /// All that is wrong with these settings: nothing can be yet.
    #[must_use]
    pub const fn validate(&self) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::RegistryConfig;

    #[test]
    fn the_default_is_valid_and_all_problems_are_told() {
        assert!(RegistryConfig::default().validate().is_empty());
        let bad = RegistryConfig { poll_ms: 0, identities_max: 0, token_skew_seconds: 9_999 };
        assert_eq!(bad.validate().len(), 3);
    }
}
