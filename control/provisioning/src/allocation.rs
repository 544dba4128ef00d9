//! Which hub gets a device. Decides, never asks.
//! - Source: Azure DPS, allocation policies.
//! - Invariants: pure; same input, same output. The hashed policy is even by weight, and when a hub joins or leaves, only those
//!   devices move that it wins or loses (rendezvous hashing).
//! - Not here: the custom policy's webhook (`webhook`), re-provisioning (`reprovision`).

use aws_lc_rs::digest;

/// A hub that may get a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Host name.
    pub host_name: String,
    /// Share of devices under the hashed policy, compared with the other hubs' weights. 0: none.
    pub weight: u32,
    /// How long it takes to reach it, configured or measured; unknown counts as longest.
    pub latency_ms: Option<f64>,
}

/// The hub of a device under the hashed policy; `None` when no hub has a weight.
///
/// Each hub draws a number from the hash of its name and the id, stretched by its weight; the highest wins.
#[must_use]
pub fn hashed<'a>(registration_id: &str, candidates: &'a [Candidate]) -> Option<&'a Candidate> {
    let score = |candidate: &Candidate| -f64::from(candidate.weight) / draw(registration_id, &candidate.host_name).ln();
    candidates
        .iter()
        .filter(|candidate| candidate.weight > 0)
        .max_by(|a, b| score(a).total_cmp(&score(b)).then_with(|| b.host_name.cmp(&a.host_name)))
}

/// The hub that is reached in the shortest time; equal ones by name.
#[must_use]
pub fn nearest(candidates: &[Candidate]) -> Option<&Candidate> {
    let latency = |candidate: &Candidate| candidate.latency_ms.unwrap_or(f64::INFINITY);
    candidates.iter().min_by(|a, b| latency(a).total_cmp(&latency(b)).then_with(|| a.host_name.cmp(&b.host_name)))
}

/// The hub of that name. Host names compare without case.
#[must_use]
pub fn named<'a>(host_name: &str, candidates: &'a [Candidate]) -> Option<&'a Candidate> {
    candidates.iter().find(|candidate| candidate.host_name.eq_ignore_ascii_case(host_name))
}

/// A number between 0 and 1, neither of them included.
fn draw(registration_id: &str, host_name: &str) -> f64 {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(host_name.to_ascii_lowercase().as_bytes());
    context.update(b"\n");
    context.update(registration_id.as_bytes());
    let bytes = context.finish();
    let high = bytes.as_ref().first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    (f64::from(high) + 0.5) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn hubs(weights: &[u32]) -> Vec<Candidate> {
        let hub =
            |(index, &weight)| Candidate { host_name: format!("hub{index}.example.net"), weight, latency_ms: None };
        weights.iter().enumerate().map(hub).collect()
    }

    fn counts(candidates: &[Candidate], devices: usize) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for device in 0..devices {
            let hub = hashed(&format!("device-{device}"), candidates).unwrap();
            *counts.entry(hub.host_name.clone()).or_default() += 1;
        }
        counts
    }

    #[test]
    fn devices_are_shared_out_by_weight() {
        let even = counts(&hubs(&[1, 1, 1, 1]), 20_000);
        assert!(even.values().all(|&count| (4_700..5_300).contains(&count)), "{even:?}");
        let weighted = counts(&hubs(&[1, 3, 0]), 20_000);
        assert!((4_700..5_300).contains(&weighted["hub0.example.net"]), "{weighted:?}");
        assert!(!weighted.contains_key("hub2.example.net"), "a weight of 0 gets nothing");
        assert!(hashed("d", &hubs(&[0])).is_none());
        assert!(hashed("d", &[]).is_none());
    }

    #[test]
    fn the_nearest_known_hub_is_taken() {
        let mut candidates = hubs(&[1, 1, 1]);
        assert_eq!(nearest(&candidates).unwrap().host_name, "hub0.example.net", "equal ones by name");
        candidates[2].latency_ms = Some(7.5);
        candidates[1].latency_ms = Some(9.0);
        assert_eq!(nearest(&candidates).unwrap().host_name, "hub2.example.net");
        assert!(nearest(&[]).is_none());
        assert_eq!(named("HUB1.example.NET", &candidates).unwrap().host_name, "hub1.example.net");
    }

    proptest! {
        #[test]
        fn a_hub_that_leaves_moves_only_its_own_devices(
            weights in prop::collection::vec(1_u32..5, 2..8), leaving in 0_usize..8, id in "[a-z0-9-]{1,20}",
        ) {
            let before = hubs(&weights);
            let leaving = leaving % before.len();
            let mut after = before.clone();
            after.remove(leaving);
            after.reverse();
            let was = hashed(&id, &before).unwrap();
            if was.host_name != before[leaving].host_name {
                prop_assert_eq!(hashed(&id, &after).unwrap(), was);
            }
        }
    }
}
