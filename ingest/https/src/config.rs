//! Settings of the HTTPS door, section `[https]` of the configuration file.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

/// Settings of the HTTPS door.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpsConfig {
    /// Address for TLS, usually port 443. Default: none, which leaves the door closed.
    pub listen: Option<SocketAddr>,
    /// Address without TLS, for a proxy that ends TLS on the same machine. No client certificates there. Default: none.
    pub listen_plain: Option<SocketAddr>,
    /// Connections at once, WebSockets included; more are closed at accept. Default 10,000.
    pub connections_max: usize,
    /// TLS handshakes at once, from the client's hello on; more wait, no longer than a handshake may take. Default 256.
    pub handshakes_max: usize,
    /// Seconds for the TLS handshake. Default 10.
    pub handshake_seconds: u64,
    /// Seconds for the head of a request, also for the first byte of the next one on a kept connection. Default 60.
    pub idle_seconds: u64,
    /// Seconds for a request's body, to which its size adds at `body_rate_bytes_min`. Default 30.
    pub body_seconds: u64,
    /// Bytes a second that a body must bring on average, once `body_seconds` are used up. Default 4,096.
    pub body_rate_bytes_min: u64,
    /// Seconds that a peer may leave what is sent to it unread. Default 30.
    pub write_seconds: u64,
    /// Seconds that requests under way get when the door closes. Default 10.
    pub drain_seconds: u64,
}

impl Default for HttpsConfig {
    fn default() -> Self {
        Self {
            listen: None,
            listen_plain: None,
            connections_max: 10_000,
            handshakes_max: 256,
            handshake_seconds: 10,
            idle_seconds: 60,
            body_seconds: 30,
            body_rate_bytes_min: 4_096,
            write_seconds: 30,
            drain_seconds: 10,
        }
    }
}

impl HttpsConfig {
    /// All that is wrong with these settings.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.listen.is_some() && self.listen == self.listen_plain {
            problems.push("https.listen and https.listen_plain are the same address".to_owned());
        }
        if !(1..=1_000_000).contains(&self.connections_max) {
            problems.push(format!("https.connections_max is {}, allowed are 1 to 1000000", self.connections_max));
        }
        if !(1..=100_000).contains(&self.handshakes_max) {
            problems.push(format!("https.handshakes_max is {}, allowed are 1 to 100000", self.handshakes_max));
        }
        if self.body_rate_bytes_min == 0 {
            problems.push("https.body_rate_bytes_min is 0: a body could take for ever".to_owned());
        }
        for (name, seconds) in [
            ("handshake_seconds", self.handshake_seconds),
            ("idle_seconds", self.idle_seconds),
            ("body_seconds", self.body_seconds),
            ("write_seconds", self.write_seconds),
            ("drain_seconds", self.drain_seconds),
        ] {
            if !(1..=3_600).contains(&seconds) {
                problems.push(format!("https.{name} is {seconds}, allowed are 1 to 3600"));
            }
        }
        problems
    }

    pub(crate) const fn handshake_time(&self) -> Duration {
        Duration::from_secs(self.handshake_seconds)
    }

    pub(crate) const fn write_time(&self) -> Duration {
        Duration::from_secs(self.write_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_all_problems_are_told() {
        assert!(HttpsConfig::default().validate().is_empty());
        let address = Some(SocketAddr::from(([127, 0, 0, 1], 443)));
        let bad = HttpsConfig {
            listen: address,
            listen_plain: address,
            connections_max: 0,
            handshakes_max: 0,
            handshake_seconds: 0,
            idle_seconds: 0,
            body_seconds: 0,
            body_rate_bytes_min: 0,
            write_seconds: 0,
            drain_seconds: 0,
        };
        assert_eq!(bad.validate().len(), 9);
    }
}
