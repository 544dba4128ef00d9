//! How often devices may ask.
//! - Limits: polls of the last [`POLLERS_MAX`] registrations are counted; about 64 bytes each.
//! - Invariants: counted is who has proven itself, so that nobody uses up what is another's.

use std::time::{Duration, Instant};

use crate::config::ProvisioningConfig;
use crate::error::Refused;
use crate::events;
use crate::limits::POLLERS_MAX;
use crate::rate::{Bucket, Rate, seconds};
use crate::recent::Recent;
use crate::registration_id::RegistrationId;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Asked {
    Challenge,
    Poll,
    Register,
}

/// See the module's documentation.
pub(super) struct Throttle {
    registrations: (Rate, Bucket),
    device: Rate,
    devices: Recent<(Asked, RegistrationId), Bucket>,
}

impl Throttle {
    pub(super) fn new(config: &ProvisioningConfig) -> Self {
        let registrations = Rate::new(config.registrations_per_minute, Duration::from_secs(60));
        Self {
            registrations: (registrations, registrations.full(Instant::now())),
            device: Rate::new(config.polls_per_ten_seconds, Duration::from_secs(10)),
            devices: Recent::new(POLLERS_MAX),
        }
    }

    /// Counts one question of a device.
    pub(super) fn device(&mut self, asked: Asked, id: &RegistrationId, now: Instant) -> Result<(), Refused> {
        let rate = self.device;
        let bucket = self.devices.entry((asked, id.clone()), || rate.full(now));
        bucket.take(rate, now).map_err(refused)
    }

    /// Counts one new registration.
    pub(super) fn registration(&mut self, now: Instant) -> Result<(), Refused> {
        let (rate, bucket) = &mut self.registrations;
        bucket.take(*rate, now).map_err(refused)
    }
}

fn refused(wait: Duration) -> Refused {
    events::throttled();
    Refused::throttled(seconds(wait))
}
