//! HTTP of the provisioning service: what devices call, and the service API for enrollments.
//! - Source: Azure DPS device API and service API; `api-version` is neither demanded nor checked.
//! - Shape: devices under `/{idScope}/registrations/..`; operators under `/enrollments`, `/enrollmentGroups`, `/registrations`.
//! - Invariants: a device is judged by its token or the certificate that the door put into the request
//!   ([`millrace_protocols_identity::x509::ClientCertificates`]); an operator by a token of a policy with the needed permission.
//! - Limits: bodies are bounded per route, see [`crate::limits`].
//! - Errors: the hub's JSON body, with `Retry-After` where it may go better later.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use millrace_control::policies::Policies;

use crate::enrollment::{Enrollment, EnrollmentGroup};
use crate::limits::{BULK_BODY_BYTES_MAX, ENROLLMENT_BODY_BYTES_MAX, REGISTRATION_BODY_BYTES_MAX};
use crate::provisioner::Provisioner;

mod answer;
mod authorization;
mod bulk;
mod device;
mod enrollments;
mod query;
mod registrations;

/// What the routes work with.
#[derive(Clone)]
pub struct ProvisioningApi {
    /// The service.
    pub provisioner: Provisioner,
    /// Whose tokens the service API takes: see [`Policies::open_provisioning`].
    pub policies: Arc<Policies>,
}

impl ProvisioningApi {
    /// All routes, to be merged into the HTTPS door's.
    pub fn router(self) -> Router {
        self.clone().device_router().merge(self.service_router())
    }

    /// What devices call.
    pub fn device_router(self) -> Router {
        Router::new()
            .route("/{scope}/registrations/{id}/register", put(device::register))
            .route("/{scope}/registrations/{id}/operations/{operation}", get(device::operation))
            .route("/{scope}/registrations/{id}", post(device::state))
            .layer(DefaultBodyLimit::max(REGISTRATION_BODY_BYTES_MAX))
            .with_state(self)
    }

    /// What operators call.
    pub fn service_router(self) -> Router {
        let enrollment = get(enrollments::read::<Enrollment>)
            .put(enrollments::write::<Enrollment>)
            .delete(enrollments::delete::<Enrollment>);
        let group = get(enrollments::read::<EnrollmentGroup>)
            .put(enrollments::write::<EnrollmentGroup>)
            .delete(enrollments::delete::<EnrollmentGroup>);
        let bulk = post(bulk::apply::<Enrollment>).layer(DefaultBodyLimit::max(BULK_BODY_BYTES_MAX));
        let group_bulk = post(bulk::apply::<EnrollmentGroup>).layer(DefaultBodyLimit::max(BULK_BODY_BYTES_MAX));
        Router::new()
            .route("/enrollments/{id}", enrollment)
            .route("/enrollments/{id}/attestationmechanism", post(enrollments::mechanism::<Enrollment>))
            .route("/enrollments/{id}/attestationMechanism", post(enrollments::mechanism::<Enrollment>))
            .route("/enrollments/query", post(query::enrollments::<Enrollment>))
            .route("/enrollmentGroups/{id}", group.clone())
            .route("/enrollmentgroups/{id}", group)
            .route("/enrollmentGroups/{id}/attestationmechanism", post(enrollments::mechanism::<EnrollmentGroup>))
            .route("/enrollmentGroups/{id}/attestationMechanism", post(enrollments::mechanism::<EnrollmentGroup>))
            .route("/enrollmentGroups/query", post(query::enrollments::<EnrollmentGroup>))
            .route("/registrations/{id}", get(registrations::read).delete(registrations::delete))
            .route("/registrations/{id}/query", post(query::registrations))
            .layer(DefaultBodyLimit::max(ENROLLMENT_BODY_BYTES_MAX))
            .route("/enrollments", bulk.clone())
            .route("/enrollments/", bulk)
            .route("/enrollmentGroups", group_bulk.clone())
            .route("/enrollmentGroups/", group_bulk)
            .with_state(self)
    }
}

impl std::fmt::Debug for ProvisioningApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProvisioningApi").finish_non_exhaustive()
    }
}
