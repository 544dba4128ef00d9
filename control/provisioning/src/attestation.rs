//! Whether a device has proven what its enrollment asks for. Decides, never asks.
//! - Source: Azure DPS, attestation by symmetric key, X.509 and TPM.
//! - Shape: an individual enrollment, if there is one, decides alone; else the groups: by derived key, or by the nearest signing
//!   certificate above the device's.
//! - Invariants: pure; time is an argument. Tokens are compared in constant time, and somebody unknown costs as much as a wrong key.
//! - Errors: [`Denied`]; the device learns no more than that.

use std::sync::Arc;

use millrace_control_store::registry::Authentication;
use millrace_model::door::Registrant;
use millrace_protocols_identity::{Key, Token};

use crate::derived_key::derive;
use crate::enrollment::{Enrollment, EnrollmentGroup, MechanismKind, Terms};
use crate::registration::Evidence;
use crate::registration_id::RegistrationId;

mod certificate;
mod groups;
mod nonce;

pub use certificate::CertificateBook;
pub use groups::Groups;
pub use nonce::ServiceSecret;

/// The policy name that SDKs put into tokens for the provisioning service; Python leaves it out.
pub const TOKEN_POLICY: &str = "registration";

/// The proof is missing or not good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Wrong id scope or no usable registration id.
    #[error("no such id scope or registration id")]
    Unknown,
    /// Neither an enrollment nor a group admits the device.
    #[error("no enrollment admits this device")]
    NotEnrolled,
    /// The token is missing, wrong or too old.
    #[error("the token is not good")]
    Token,
    /// The certificate is missing, wrong, too old or revoked.
    #[error("the certificate is not good")]
    Certificate,
}

/// The enrollment that admits a device.
#[derive(Debug, Clone)]
pub enum Admission {
    /// Its own.
    Individual(Arc<Enrollment>),
    /// That of a group.
    Group(Arc<EnrollmentGroup>),
}

/// A device that has proven itself.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Who.
    pub registration_id: RegistrationId,
    /// By which enrollment.
    pub admission: Admission,
    /// How it is to prove itself at its hub.
    pub authentication: Authentication,
    /// What is shown of the proof.
    pub evidence: Evidence,
}

/// What a judgement needs to know besides the device's proof.
#[derive(Clone, Copy)]
pub struct Grounds<'a> {
    /// The service's own id scope.
    pub id_scope: &'a str,
    /// Groups, loaded.
    pub groups: &'a Groups,
    /// Authorities that the hub has verified.
    pub book: &'a dyn CertificateBook,
    /// The service's secret, for TPMs.
    pub secret: &'a ServiceSecret,
    /// The time.
    pub now_unix_seconds: u64,
    /// How far a device's clock may be off.
    pub skew_seconds: u64,
}

impl Admission {
    /// What becomes of the device.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        match self {
            Self::Individual(enrollment) => &enrollment.terms,
            Self::Group(group) => &group.terms,
        }
    }

    /// Id of the group; empty for an individual enrollment: the owner of the registration's document.
    #[must_use]
    pub fn owner(&self) -> &str {
        match self {
            Self::Individual(_) => "",
            Self::Group(group) => &group.enrollment_group_id,
        }
    }
}

impl Grounds<'_> {
    /// Judges a device. `enrollment` is the individual one of its registration id, if there is one.
    ///
    /// # Errors
    /// When it may not register.
    pub fn judge(&self, who: &Registrant, enrollment: Option<&Arc<Enrollment>>) -> Result<Standing, Denied> {
        if !who.id_scope.eq_ignore_ascii_case(self.id_scope) {
            return Err(Denied::Unknown);
        }
        let id = RegistrationId::new(&who.registration_id).map_err(|_| Denied::Unknown)?;
        match (enrollment, who.token.as_deref()) {
            (Some(enrollment), _) => self.judge_individual(who, id, enrollment),
            (None, Some(token)) => self.judge_group_key(who, id, token),
            (None, None) => self.judge_group_certificate(who, id),
        }
    }

    fn judge_individual(
        &self,
        who: &Registrant,
        id: RegistrationId,
        enrollment: &Arc<Enrollment>,
    ) -> Result<Standing, Denied> {
        let mechanism = &enrollment.attestation;
        let token = || who.token.as_deref().ok_or(Denied::Token);
        let (authentication, evidence) = match mechanism.kind {
            MechanismKind::SymmetricKey => {
                let keys = mechanism.symmetric_key.as_ref().and_then(|keys| keys.keys());
                let [primary, secondary] = keys.ok_or(Denied::NotEnrolled)?;
                self.check_token(who, &id, token()?, &[&primary, &secondary])?;
                (Authentication::Sas { primary, secondary }, Evidence { is_symmetric_key: true, ..Evidence::default() })
            }
            MechanismKind::X509 => {
                let x509 = mechanism.x509.as_ref().ok_or(Denied::NotEnrolled)?;
                certificate::judge(x509, &who.certificates, &id, self.book, self.now_unix_seconds)?
            }
            MechanismKind::Tpm => {
                let tpm = mechanism.tpm.as_ref().ok_or(Denied::NotEnrolled)?;
                let [current, before] = self.secret.nonces(id.as_str(), &tpm.endorsement_key, self.now_unix_seconds);
                self.check_token(who, &id, token()?, &[&current, &before])?;
                let key = self.secret.device_key(id.as_str(), &tpm.endorsement_key);
                (Authentication::Sas { primary: key.clone(), secondary: key }, Evidence::default())
            }
            MechanismKind::None => return Err(Denied::NotEnrolled),
        };
        Ok(Standing {
            registration_id: id,
            admission: Admission::Individual(Arc::clone(enrollment)),
            authentication,
            evidence,
        })
    }

    /// A token does not say which group's key it was derived from, so all are tried.
    fn judge_group_key(&self, who: &Registrant, id: RegistrationId, token: &str) -> Result<Standing, Denied> {
        let (decoy, lower) = (Key::decoy(), id.to_string());
        let as_written = (*who.registration_id != *lower).then_some(&*who.registration_id);
        let spellings = as_written.into_iter().chain([lower.as_str()]);
        let mut denied =
            self.check_token(who, &id, token, &[&decoy]).map_or_else(|denied| denied, |()| Denied::NotEnrolled);
        for (group, keys) in self.groups.with_keys() {
            // Devices were seen to derive from the id as they write it, and from the lower-case one.
            for written in spellings.clone() {
                let [primary, secondary] = keys.each_ref().map(|key| derive(key, written));
                if let Err(reason) = self.check_token(who, &id, token, &[&primary, &secondary]) {
                    denied = reason;
                    continue;
                }
                let enrollment_group_id = Some(group.enrollment_group_id.clone());
                let evidence = Evidence { enrollment_group_id, is_symmetric_key: true, ..Evidence::default() };
                let authentication = Authentication::Sas { primary, secondary };
                let admission = Admission::Group(Arc::clone(group));
                return Ok(Standing { registration_id: id, admission, authentication, evidence });
            }
        }
        Err(denied)
    }

    fn judge_group_certificate(&self, who: &Registrant, id: RegistrationId) -> Result<Standing, Denied> {
        let chain = certificate::bounded(&who.certificates)?;
        let verified =
            self.groups.authorities().verify(chain, self.now_unix_seconds).map_err(|_| Denied::Certificate)?;
        let group = self.groups.signed_by(&verified.authority).ok_or(Denied::NotEnrolled)?;
        let mut evidence = certificate::evidence(chain, &id)?;
        evidence.enrollment_group_id = Some(group.enrollment_group_id.clone());
        evidence.signing_certificate = self.groups.signing_info(&verified.authority);
        let admission = Admission::Group(Arc::clone(group));
        Ok(Standing { registration_id: id, admission, authentication: Authentication::CertificateAuthority, evidence })
    }

    fn check_token(&self, who: &Registrant, id: &RegistrationId, token: &str, keys: &[&Key]) -> Result<(), Denied> {
        let token = Token::parse(token).map_err(|_| Denied::Token)?;
        token.verify(keys, self.now_unix_seconds, self.skew_seconds).map_err(|_| Denied::Token)?;
        let covers = |id: &str| token.covers_path(self.id_scope, &["registrations", id]);
        let is_for_registration = token.policy().is_none_or(|policy| policy == TOKEN_POLICY);
        let is_good = is_for_registration && (covers(&who.registration_id) || covers(id.as_str()));
        if is_good { Ok(()) } else { Err(Denied::Token) }
    }
}

impl std::fmt::Debug for Grounds<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grounds").field("id_scope", &self.id_scope).finish_non_exhaustive()
    }
}
