//! A hub is chosen and told, and the outcome is kept.
//! - Invariants: each step may be repeated; an assignment that is done twice ends as if it had been done once. The device is at its new hub
//!   before it leaves the old one.
//! - Limits: `assignments_max` at a time; each ends after `assignment_seconds`, which is less than its lease.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_control_store::clock;
use millrace_model::HubError;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};

use super::{Shared, lock};
use crate::allocation;
use crate::attestation::{Admission, Standing};
use crate::enrollment::{AllocationPolicy, InitialTwin};
use crate::error::NO_HUB;
use crate::events;
use crate::hub::{DeviceSpec, LinkedHub};
use crate::registration::{Assigned, Failure, Registration, RegistrationStatus, etag};
use crate::registrations::Found;
use crate::reprovision::{Plan, Previous, TwinSource, plan, stays};
use crate::webhook::{self, Decision};

/// Attempts at a step whose hub is not there for the moment, and at keeping the outcome.
const ATTEMPTS_MAX: u32 = 4;

/// Pause before the second attempt; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

impl Shared {
    /// Lets an assignment begin as soon as there is room.
    pub(super) fn assign(self: &Arc<Self>, standing: Arc<Standing>, begun: Found, slot: OwnedSemaphorePermit) {
        let shared = Arc::clone(self);
        self.spawn(async move {
            let _slot = slot;
            // The semaphore is never closed; without a permit the assignment is left to whoever asks next.
            if let Ok(_turn) = Arc::clone(&shared.running).acquire_owned().await {
                shared.carry_out(&standing, &begun).await;
            }
        });
    }

    /// Does something in the background, until the service ends.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(work);
    }

    async fn carry_out(&self, standing: &Standing, begun: &Found) {
        let start = Instant::now();
        let limit = Duration::from_secs(self.config.assignment_seconds);
        let outcome = match timeout(limit, self.outcome(standing, &begun.registration)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(HubError::GATEWAY_TIMEOUT.because("no hub took the device in time")),
        };
        let now = clock::now();
        let mut registration = begun.registration.clone();
        registration.updated_ms = now.0;
        registration.etag = etag(now, begun.version + 1);
        registration.request_payload = None;
        match outcome {
            Ok((assigned, payload)) => {
                events::assigned(start.elapsed());
                registration.status = RegistrationStatus::Assigned;
                registration.assigned = Some(assigned);
                registration.payload = payload;
            }
            Err(error) => {
                events::assignment_failed(&error, start.elapsed());
                registration.status = RegistrationStatus::Failed;
                registration.failure = Some(Failure { code: error.code, message: error.text.into_owned() });
            }
        }
        self.keep(begun, &registration).await;
    }

    async fn keep(&self, begun: &Found, registration: &Registration) {
        for attempt in 0..ATTEMPTS_MAX {
            match self.registrations.put(&begun.owner, Some(begun), registration).await {
                Ok(Some(_)) => return,
                Ok(None) => break,
                Err(_) => sleep(FIRST_PAUSE * 2_u32.pow(attempt)).await,
            }
        }
        events::assignment_lost();
    }

    async fn outcome(
        &self,
        standing: &Standing,
        registration: &Registration,
    ) -> Result<(Assigned, Option<serde_json::Value>), HubError> {
        let terms = standing.admission.terms();
        let device_id = match &standing.admission {
            Admission::Individual(enrollment) => enrollment.device_id.as_deref(),
            Admission::Group(_) => None,
        };
        let device_id = device_id.unwrap_or(standing.registration_id.as_str());
        let previous = registration.previous();
        let policy = terms.reprovision_policy.unwrap_or_default();
        let decision = match &previous {
            Some(previous) if stays(Some(previous), policy, |hub| self.hubs.find(hub).is_some()) => {
                Decision { iot_hub_host_name: previous.hub.clone(), ..Decision::default() }
            }
            _ => self.choose(standing, registration).await?,
        };
        let hub = self.hubs.find(&decision.iot_hub_host_name).ok_or(NO_HUB)?;
        let plan = plan(previous.as_ref(), policy, hub.host_name(), device_id);
        let device = DeviceSpec {
            device_id: device_id.to_owned(),
            authentication: standing.authentication.clone(),
            iot_edge: terms.capabilities.map(|capabilities| capabilities.iot_edge),
        };
        let initial = decision.initial_twin.or_else(|| terms.initial_twin.clone());
        self.act(&plan, hub, &device, initial).await?;
        let assigned = Assigned { hub: plan.hub, device_id: device.device_id, substatus: plan.substatus };
        Ok((assigned, decision.payload))
    }

    /// Chooses a hub by the enrollment's policy.
    async fn choose(&self, standing: &Standing, registration: &Registration) -> Result<Decision, HubError> {
        let terms = standing.admission.terms();
        let wanted = terms.iot_hubs.as_deref().unwrap_or_default();
        let candidates = self.hubs.candidates(wanted);
        let found = match terms.allocation_policy.unwrap_or_default() {
            AllocationPolicy::Hashed => allocation::hashed(standing.registration_id.as_str(), &candidates),
            AllocationPolicy::GeoLatency => allocation::nearest(&candidates),
            AllocationPolicy::Static => {
                let name = terms.iot_hub_host_name.as_deref().or_else(|| wanted.first().map(String::as_str));
                name.and_then(|name| allocation::named(name, &candidates))
            }
            AllocationPolicy::Custom => {
                let custom = terms.custom_allocation_definition.as_ref().ok_or(NO_HUB)?;
                let names: Vec<_> = candidates.iter().map(|candidate| candidate.host_name.clone()).collect();
                let body = webhook::request(standing, registration, &names);
                let decision = webhook::ask(&self.webhooks, custom, &body, self.config.insecure_webhooks).await?;
                let is_linked = allocation::named(&decision.iot_hub_host_name, &candidates).is_some();
                return if is_linked { Ok(decision) } else { Err(NO_HUB) };
            }
        };
        let host_name = found.map(|candidate| candidate.host_name.clone()).ok_or(NO_HUB)?;
        Ok(Decision { iot_hub_host_name: host_name, ..Decision::default() })
    }

    /// Does what the plan says.
    async fn act(
        &self,
        plan: &Plan,
        hub: &LinkedHub,
        device: &DeviceSpec,
        initial: Option<InitialTwin>,
    ) -> Result<(), HubError> {
        let left = plan.leaves.as_ref().and_then(|place| Some((place, self.hubs.find(&place.hub)?)));
        let twin = match (plan.twin, left) {
            (TwinSource::Keep, _) => None,
            (TwinSource::Migrate, Some((Previous { device_id, .. }, old))) => {
                let read = persistently(old, || old.registry().twin(device_id)).await?;
                read.or(initial)
            }
            // A hub that is no longer linked cannot be asked.
            (TwinSource::Initial | TwinSource::Migrate, _) => initial,
        };
        persistently(hub, || hub.registry().put_device(device)).await?;
        if let Some(twin) = twin.filter(|twin| !twin.is_empty()) {
            persistently(hub, || hub.registry().replace_twin(&device.device_id, &twin)).await?;
        }
        if let Some((Previous { device_id, .. }, old)) = left {
            persistently(old, || old.registry().delete_device(device_id)).await?;
        }
        Ok(())
    }
}

/// Calls a hub, again if it is not there for the moment.
async fn persistently<'a, T, F>(hub: &LinkedHub, call: F) -> Result<T, HubError>
where
    F: Fn() -> crate::hub::PendingHub<'a, T>,
{
    let mut attempt = 0;
    loop {
        let start = Instant::now();
        match call().await {
            Ok(answer) => {
                hub.note_answer(start);
                return Ok(answer);
            }
            Err(error) if attempt + 1 < ATTEMPTS_MAX && (error.status == 429 || error.status >= 500) => {
                sleep(FIRST_PAUSE * 2_u32.pow(attempt)).await;
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}
