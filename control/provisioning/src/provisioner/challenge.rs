//! What a TPM is sent: the challenge that it has to open before it may register, and the key that it has at its hub afterwards.
//! - Source: Azure DPS, TPM attestation.

use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millrace_model::HubError;
use millrace_model::door::Registrant;
use millrace_protocols_identity::Key;
use serde_json::json;

use super::judge::now_unix_seconds;
use super::register::read;
use super::throttle::Asked;
use super::{Provisioner, Reply, Shared, lock};
use crate::attestation::{Standing, TOKEN_POLICY};
use crate::enrollment::{Enrollment, MechanismKind, TpmKeys};
use crate::error::{Refused, UNAUTHORIZED};
use crate::random;
use crate::registration_id::RegistrationId;
use crate::tpm::{PublicArea, activation};

impl Provisioner {
    /// The challenge for a device that shows no proof, if it is enrolled with the TPM that it names.
    ///
    /// # Errors
    /// When it is not.
    pub async fn challenge(&self, who: &Registrant, body: &[u8]) -> Result<Reply, Refused> {
        let shared = &self.shared;
        if !who.id_scope.eq_ignore_ascii_case(&shared.id_scope) {
            return Err(UNAUTHORIZED.into());
        }
        let id = RegistrationId::new(&who.registration_id).map_err(|_| UNAUTHORIZED)?;
        let sent = read(body, who)?.tpm.ok_or(UNAUTHORIZED)?;
        let found = shared.enrollments.read::<Enrollment>(id.as_str()).await?;
        let mechanism = found.map(|(enrollment, _)| enrollment.attestation).ok_or(UNAUTHORIZED)?;
        let enrolled = mechanism.tpm.filter(|_| mechanism.kind == MechanismKind::Tpm).ok_or(UNAUTHORIZED)?;
        if sent.endorsement_key != enrolled.endorsement_key {
            return Err(UNAUTHORIZED.into());
        }
        lock(&shared.throttle).device(Asked::Challenge, &id, Instant::now())?;
        let [nonce, _] = shared.secret.nonces(id.as_str(), &enrolled.endorsement_key, now_unix_seconds());
        let body = json!({
            "message": "Authorization required.",
            "keyName": TOKEN_POLICY,
            "authenticationKey": wrapped(&enrolled, &sent, &nonce)?,
        });
        Ok(Reply { status: 401, retry_after: None, body })
    }
}

impl Shared {
    /// The device's key for its hub, wrapped for its TPM.
    pub(super) fn wrapped_device_key(
        &self,
        standing: &Standing,
        enrolled: &TpmKeys,
        sent: &TpmKeys,
    ) -> Result<String, Refused> {
        let key = self.secret.device_key(standing.registration_id.as_str(), &enrolled.endorsement_key);
        wrapped(enrolled, sent, &key)
    }
}

/// A key as only the TPM that was enrolled gets it out.
fn wrapped(enrolled: &TpmKeys, sent: &TpmKeys, key: &Key) -> Result<String, Refused> {
    let root = sent.storage_root_key.as_deref().or(enrolled.storage_root_key.as_deref());
    let root = root.ok_or_else(|| HubError::ARGUMENT_NULL.because("tpm.storageRootKey is needed"))?;
    if enrolled.storage_root_key.as_deref().is_some_and(|known| known != root) {
        return Err(UNAUTHORIZED.into());
    }
    let area =
        |text: &str| PublicArea::from_base64(text).map_err(|error| HubError::ARGUMENT.because(format!("tpm: {error}")));
    let blob = activation(&area(&enrolled.endorsement_key)?, &area(root)?, key.as_bytes(), &random::for_tpm()?);
    let blob = blob.map_err(|error| HubError::ARGUMENT.because(format!("tpm: {error}")))?;
    Ok(STANDARD.encode(blob))
}
