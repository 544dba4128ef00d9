//! Registrations begin, and devices ask what became of them.

use std::sync::Arc;
use std::time::Instant;

use millrace_control_store::clock;
use millrace_model::HubError;
use millrace_model::door::Registrant;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::throttle::Asked;
use super::{Provisioner, Reply, Shared, lock};
use crate::attestation::Standing;
use crate::enrollment::{MechanismKind, TpmKeys};
use crate::error::{DISABLED, REGISTRATION_NOT_FOUND, Refused};
use crate::events;
use crate::limits::{ASSIGNMENT_LEASE_MS, REGISTRATION_BODY_BYTES_MAX};
use crate::random;
use crate::registration::{Registration, RegistrationStatus, etag};
use crate::registrations::Found;

/// Times that a registration is tried again because somebody else was first.
const ATTEMPTS_MAX: usize = 4;

/// What a device sends.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Body {
    pub(super) registration_id: Option<String>,
    pub(super) payload: Option<Value>,
    pub(super) tpm: Option<TpmKeys>,
}

impl Provisioner {
    /// Whether a device has proven itself. An enrollment that is disabled admits no registration, but says so only then.
    ///
    /// # Errors
    /// When it has not, or the store fails.
    pub async fn attest(&self, who: &Registrant) -> Result<Arc<Standing>, Refused> {
        self.shared.judge(who).await
    }

    /// Begins a registration, or answers the one that is under way.
    ///
    /// # Errors
    /// When the device may not register, or not now.
    pub async fn register(&self, who: &Registrant, body: &[u8]) -> Result<Reply, Refused> {
        self.shared.register(who, body).await
    }

    /// Answers what became of an operation.
    ///
    /// # Errors
    /// When the device has not proven itself, asks too often, or has no such operation.
    pub async fn operation(&self, who: &Registrant, operation_id: &str) -> Result<Reply, Refused> {
        self.shared.operation(who, operation_id).await
    }

    /// Answers the state of a device's registration.
    ///
    /// # Errors
    /// When the device has not proven itself, asks too often, or never registered.
    pub async fn state(&self, who: &Registrant) -> Result<Reply, Refused> {
        let (_, found) = self.shared.poll(who).await?;
        Ok(Reply { status: 200, retry_after: None, body: found.registration.state() })
    }

    /// A device's registration, whichever enrollment it is of; the latest if it has several.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_registration(&self, id: &str) -> Result<Option<Found>, Refused> {
        let groups = self.shared.groups().await?;
        let groups = groups.all().iter().map(|group| group.enrollment_group_id.as_str());
        let found = self.shared.registrations.find(&groups.chain([""]).collect::<Vec<_>>(), id).await?;
        Ok(found.into_iter().max_by_key(|found| found.registration.updated_ms))
    }
}

impl Shared {
    pub(super) async fn register(self: &Arc<Self>, who: &Registrant, body: &[u8]) -> Result<Reply, Refused> {
        let standing = self.judge(who).await?;
        lock(&self.throttle).device(Asked::Register, &standing.registration_id, Instant::now())?;
        if !standing.admission.terms().is_enabled() {
            return Err(DISABLED.into());
        }
        let body = read(body, who)?;
        self.begin(&standing, body).await
    }

    pub(super) async fn operation(self: &Arc<Self>, who: &Registrant, operation_id: &str) -> Result<Reply, Refused> {
        let (standing, found) = self.poll(who).await?;
        if found.registration.operation_id != operation_id {
            return Err(REGISTRATION_NOT_FOUND.into());
        }
        if found.registration.status == RegistrationStatus::Assigning {
            self.resume_if_left(&standing, &found).await?;
        }
        Ok(self.reply(&found.registration))
    }

    async fn poll(&self, who: &Registrant) -> Result<(Arc<Standing>, Found), Refused> {
        let standing = self.judge(who).await?;
        lock(&self.throttle).device(Asked::Poll, &standing.registration_id, Instant::now())?;
        let found = self.registrations.read(standing.admission.owner(), standing.registration_id.as_str()).await?;
        Ok((standing, found.ok_or(REGISTRATION_NOT_FOUND)?))
    }

    /// Writes down that an assignment begins, then lets it begin.
    async fn begin(self: &Arc<Self>, standing: &Arc<Standing>, body: Body) -> Result<Reply, Refused> {
        let owner = standing.admission.owner();
        for _ in 0..ATTEMPTS_MAX {
            let found = self.before(standing).await?;
            if let Some(found) = &found
                && found.owner == owner
                && found.registration.status == RegistrationStatus::Assigning
                && !is_left(&found.registration)
            {
                return Ok(self.reply(&found.registration));
            }
            let slot = self.slot()?;
            lock(&self.throttle).registration(Instant::now())?;
            let registration = self.new_operation(standing, &body, found.as_ref())?;
            let reply = self.reply(&registration);
            if self.put_and_assign(standing, owner.to_owned(), found, registration, slot).await? {
                events::registered();
                return Ok(reply);
            }
        }
        Err(HubError::UNAVAILABLE.into())
    }

    /// Writes an operation down and lets it begin, also if the device hangs up meanwhile: nobody else would begin it before its lease is
    /// over. `false` when somebody else was first.
    async fn put_and_assign(
        self: &Arc<Self>,
        standing: &Arc<Standing>,
        owner: String,
        before: Option<Found>,
        registration: Registration,
        slot: OwnedSemaphorePermit,
    ) -> Result<bool, HubError> {
        let (shared, standing) = (Arc::clone(self), Arc::clone(standing));
        let (done, outcome) = oneshot::channel();
        let work = async move {
            let put = shared.registrations.put(&owner, before.as_ref(), &registration).await;
            let is_ours = put.map(|version| {
                version.map(|version| shared.assign(standing, Found { owner, version, registration }, slot)).is_some()
            });
            // The device may have hung up.
            drop(done.send(is_ours));
        };
        self.spawn(work);
        // Dropped without an outcome when the service ends.
        outcome.await.unwrap_or(Err(HubError::UNAVAILABLE))
    }

    /// The registration that there is, if need be one that the device had under another enrollment.
    async fn before(&self, standing: &Standing) -> Result<Option<Found>, Refused> {
        let (owner, id) = (standing.admission.owner(), standing.registration_id.as_str());
        if let Some(found) = self.registrations.read(owner, id).await? {
            return Ok(Some(found));
        }
        let groups = self.groups().await?;
        let others = groups.all().iter().map(|group| group.enrollment_group_id.as_str());
        let owners: Vec<_> = others.chain([""]).filter(|other| *other != owner).collect();
        let found = self.registrations.find(&owners, id).await?;
        Ok(found.into_iter().max_by_key(|found| found.registration.updated_ms))
    }

    fn new_operation(&self, standing: &Standing, body: &Body, before: Option<&Found>) -> Result<Registration, Refused> {
        let now = clock::now();
        let mut evidence = standing.evidence.clone();
        if let Some((endorsement_key, tpm)) = self.tpm_of(standing, body)? {
            evidence.tpm_authentication_key = Some(self.wrapped_device_key(standing, endorsement_key, &tpm)?);
        }
        let old = before.map(|found| &found.registration);
        Ok(Registration {
            registration_id: standing.registration_id.to_string(),
            status: RegistrationStatus::Assigning,
            operation_id: random::operation_id()?,
            began_ms: now.0,
            created_ms: old.map_or(now.0, |old| old.created_ms),
            updated_ms: now.0,
            assigned: old.and_then(|old| old.assigned.clone()),
            failure: None,
            request_payload: body.payload.clone(),
            payload: None,
            evidence,
            etag: etag(now, before.map_or(1, |found| found.version + 1)),
        })
    }

    /// Endorsement key of the enrollment and the keys that the device sent, when it has a TPM.
    fn tpm_of<'a>(&self, standing: &'a Standing, body: &Body) -> Result<Option<(&'a TpmKeys, TpmKeys)>, Refused> {
        let crate::attestation::Admission::Individual(enrollment) = &standing.admission else { return Ok(None) };
        if enrollment.attestation.kind != MechanismKind::Tpm {
            return Ok(None);
        }
        let enrolled = enrollment.attestation.tpm.as_ref().ok_or(REGISTRATION_NOT_FOUND)?;
        let missing = || HubError::ARGUMENT_NULL.because("tpm: endorsementKey and storageRootKey are needed");
        Ok(Some((enrolled, body.tpm.clone().ok_or_else(missing)?)))
    }

    /// Takes over an assignment whose node seems to be gone.
    async fn resume_if_left(self: &Arc<Self>, standing: &Arc<Standing>, found: &Found) -> Result<(), Refused> {
        if !is_left(&found.registration) {
            return Ok(());
        }
        let slot = self.slot()?;
        let registration = Registration { began_ms: clock::now().0, ..found.registration.clone() };
        // If somebody else was first, that one carries on.
        self.put_and_assign(standing, found.owner.clone(), Some(found.clone()), registration, slot).await?;
        Ok(())
    }

    fn slot(&self) -> Result<OwnedSemaphorePermit, Refused> {
        Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| {
            events::throttled();
            Refused::throttled(self.config.retry_after_seconds)
        })
    }

    fn reply(&self, registration: &Registration) -> Reply {
        let is_open = registration.status == RegistrationStatus::Assigning;
        Reply {
            status: if is_open { 202 } else { 200 },
            retry_after: is_open.then_some(self.config.retry_after_seconds),
            body: registration.operation(),
        }
    }
}

/// Reads a body; the id in it has to be the one that the device has proven.
pub(super) fn read(body: &[u8], who: &Registrant) -> Result<Body, Refused> {
    if body.len() > REGISTRATION_BODY_BYTES_MAX {
        return Err(HubError::TOO_LARGE.into());
    }
    let body = if body.is_empty() { Ok(Body::default()) } else { serde_json::from_slice::<Body>(body) };
    let body = body.map_err(|_| HubError::FORMAT)?;
    if body.registration_id.as_deref().is_some_and(|id| !id.eq_ignore_ascii_case(&who.registration_id)) {
        return Err(HubError::ARGUMENT.because("registrationId is not the one in the address").into());
    }
    Ok(body)
}

fn is_left(registration: &Registration) -> bool {
    registration.began_ms.saturating_add(ASSIGNMENT_LEASE_MS) < clock::now().0
}
