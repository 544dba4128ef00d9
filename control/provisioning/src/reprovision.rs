//! What a registration does to a device that may already have a hub. Decides, never acts.
//! - Source: Azure DPS, reprovisioning: migrate (the default), reset, never.
//! - Invariants: pure. A twin is written only when the device is new at its hub or is moved.

use crate::enrollment::ReprovisionPolicy;
use crate::registration::Substatus;

/// Where the twin at the chosen hub comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TwinSource {
    /// It stays as it is.
    Keep,
    /// From the enrollment.
    Initial,
    /// From the hub that the device leaves.
    Migrate,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Hub of the device from now on.
    pub hub: String,
    /// Where its twin comes from.
    pub twin: TwinSource,
    /// The place that it leaves.
    pub leaves: Option<Previous>,
    /// What the device is told about it.
    pub substatus: Substatus,
}

/// Where a device was assigned before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    /// Its hub.
    pub hub: String,
    /// Its id there.
    pub device_id: String,
    /// What it was told about it.
    pub substatus: Substatus,
}

/// Whether a hub has to be chosen at all.
#[must_use]
pub fn stays(previous: Option<&Previous>, policy: ReprovisionPolicy, is_linked: impl Fn(&str) -> bool) -> bool {
    // A hub that is no longer linked cannot keep a device, whatever the policy says.
    previous.is_some_and(|previous| !policy.update_hub_assignment && is_linked(&previous.hub))
}

/// The plan for a device for which `chosen` was chosen, where it is to have that id.
#[must_use]
pub fn plan(previous: Option<&Previous>, policy: ReprovisionPolicy, chosen: &str, device_id: &str) -> Plan {
    let hub = chosen.to_owned();
    match previous {
        None => Plan { hub, twin: TwinSource::Initial, leaves: None, substatus: Substatus::InitialAssignment },
        Some(previous) if previous.hub.eq_ignore_ascii_case(chosen) && previous.device_id == device_id => {
            Plan { hub, twin: TwinSource::Keep, leaves: None, substatus: previous.substatus }
        }
        Some(previous) => {
            let (twin, substatus) = if policy.migrate_device_data {
                (TwinSource::Migrate, Substatus::DeviceDataMigrated)
            } else {
                (TwinSource::Initial, Substatus::DeviceDataReset)
            };
            Plan { hub, twin, leaves: Some(previous.clone()), substatus }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIGRATE: ReprovisionPolicy = ReprovisionPolicy { update_hub_assignment: true, migrate_device_data: true };
    const RESET: ReprovisionPolicy = ReprovisionPolicy { update_hub_assignment: true, migrate_device_data: false };
    const NEVER: ReprovisionPolicy = ReprovisionPolicy { update_hub_assignment: false, migrate_device_data: false };

    fn at(hub: &str) -> Previous {
        Previous { hub: hub.to_owned(), device_id: "d".to_owned(), substatus: Substatus::DeviceDataMigrated }
    }

    #[test]
    fn a_new_device_gets_the_initial_twin() {
        let plan = plan(None, MIGRATE, "a", "d");
        assert_eq!((plan.twin, plan.leaves, plan.substatus), (TwinSource::Initial, None, Substatus::InitialAssignment));
        assert!(!stays(None, NEVER, |_| true));
    }

    #[test]
    fn the_same_hub_keeps_everything() {
        let plan = plan(Some(&at("A")), RESET, "a", "d");
        let expected = (TwinSource::Keep, None, Substatus::DeviceDataMigrated);
        assert_eq!((plan.twin, plan.leaves, plan.substatus), expected);
    }

    #[test]
    fn a_move_migrates_or_resets() {
        let migrated = plan(Some(&at("a")), MIGRATE, "b", "d");
        let expected = (TwinSource::Migrate, Some(at("a")), Substatus::DeviceDataMigrated);
        assert_eq!((migrated.twin, migrated.leaves, migrated.substatus), expected);
        let reset = plan(Some(&at("a")), RESET, "b", "d");
        assert_eq!((reset.twin, reset.substatus), (TwinSource::Initial, Substatus::DeviceDataReset));
        assert_eq!(plan(Some(&at("a")), MIGRATE, "a", "renamed").leaves, Some(at("a")), "another id is a move too");
    }

    #[test]
    fn never_means_never_while_the_hub_is_linked() {
        assert!(stays(Some(&at("a")), NEVER, |_| true));
        assert!(!stays(Some(&at("a")), NEVER, |_| false));
        assert!(!stays(Some(&at("a")), MIGRATE, |_| true));
    }
}
