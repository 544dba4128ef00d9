//! What is wrong with an enrollment: all of it, not just the first.
//! - Not here: certificates that are expired (they may be replaced in time), names of hubs that are linked later.

use millrace_model::ids::is_valid_id;
use millrace_protocols_identity::Key;
use millrace_protocols_identity::x509::certificate_info;

use super::mechanism::{CertificateBody, Certificates, Mechanism, MechanismKind, SymmetricKeys, X509Mechanism};
use super::{AllocationPolicy, Enrollment, EnrollmentGroup, Terms};
use crate::limits::LINKED_HUBS_MAX;
use crate::registration_id::RegistrationId;
use crate::tpm::PublicArea;

impl Enrollment {
    /// All that is wrong with it.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Err(error) = RegistrationId::new(&self.registration_id) {
            problems.push(format!("registrationId: {error}"));
        }
        if self.device_id.as_deref().is_some_and(|id| !is_valid_id(id)) {
            problems.push("deviceId: not a device id".to_owned());
        }
        mechanism_problems(&self.attestation, false, &mut problems);
        terms_problems(&self.terms, &mut problems);
        problems
    }
}

impl EnrollmentGroup {
    /// All that is wrong with it.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Err(error) = RegistrationId::new(&self.enrollment_group_id) {
            problems.push(format!("enrollmentGroupId: {error}"));
        }
        mechanism_problems(&self.attestation, true, &mut problems);
        terms_problems(&self.terms, &mut problems);
        problems
    }
}

fn mechanism_problems(mechanism: &Mechanism, is_group: bool, problems: &mut Vec<String>) {
    match mechanism.kind {
        MechanismKind::None => problems.push("attestation.type: symmetricKey, tpm or x509 is needed".to_owned()),
        MechanismKind::SymmetricKey => {
            if let Some(keys) = &mechanism.symmetric_key {
                key_problems(keys, problems);
            }
        }
        MechanismKind::Tpm if is_group => problems.push("attestation.type: a group cannot attest by TPM".to_owned()),
        MechanismKind::Tpm => match &mechanism.tpm {
            None => problems.push("attestation.tpm: missing".to_owned()),
            Some(keys) => {
                let texts = [
                    ("endorsementKey", Some(&keys.endorsement_key)),
                    ("storageRootKey", keys.storage_root_key.as_ref()),
                ];
                for (name, text) in texts {
                    if let Some(Err(error)) = text.map(|text| PublicArea::from_base64(text)) {
                        problems.push(format!("attestation.tpm.{name}: {error}"));
                    }
                }
            }
        },
        MechanismKind::X509 => match &mechanism.x509 {
            None => problems.push("attestation.x509: missing".to_owned()),
            Some(x509) => x509_problems(x509, is_group, problems),
        },
    }
}

fn key_problems(keys: &SymmetricKeys, problems: &mut Vec<String>) {
    for (name, key) in [("primaryKey", &keys.primary_key), ("secondaryKey", &keys.secondary_key)] {
        if let Some(Err(error)) = key.as_ref().filter(|key| !key.0.is_empty()).map(|key| Key::from_base64(&key.0)) {
            problems.push(format!("attestation.symmetricKey.{name}: {error}"));
        }
    }
}

fn x509_problems(x509: &X509Mechanism, is_group: bool, problems: &mut Vec<String>) {
    let kinds = [x509.client_certificates.is_some(), x509.signing_certificates.is_some(), x509.ca_references.is_some()];
    if kinds.iter().filter(|&&given| given).count() != 1 {
        let text =
            "attestation.x509: exactly one of clientCertificates, signingCertificates and caReferences is needed";
        problems.push(text.to_owned());
    }
    if let Some(certificates) = &x509.client_certificates {
        if is_group {
            problems.push("attestation.x509.clientCertificates: not for a group".to_owned());
        }
        certificate_problems("clientCertificates", certificates, false, problems);
    }
    if let Some(certificates) = &x509.signing_certificates {
        certificate_problems("signingCertificates", certificates, true, problems);
    }
    if x509.ca_references.as_ref().is_some_and(|names| names.primary.is_none() && names.secondary.is_none()) {
        problems.push("attestation.x509.caReferences: names no authority".to_owned());
    }
}

fn certificate_problems(name: &str, certificates: &Certificates, is_authority: bool, problems: &mut Vec<String>) {
    let given = [("primary", &certificates.primary), ("secondary", &certificates.secondary)];
    if given.iter().all(|(_, certificate)| certificate.is_none()) {
        problems.push(format!("attestation.x509.{name}: holds no certificate"));
    }
    for (which, certificate) in given {
        let Some(certificate) = certificate else { continue };
        if let Err(problem) = certificate_problem(certificate, is_authority) {
            problems.push(format!("attestation.x509.{name}.{which}: {problem}"));
        }
    }
}

fn certificate_problem(certificate: &CertificateBody, is_authority: bool) -> Result<(), String> {
    let der = certificate.der().map_err(|error| error.to_string())?.ok_or("certificate is missing")?;
    let info = certificate_info(&der).map_err(|error| error.to_string())?;
    if is_authority && !info.is_authority {
        return Err("is not an authority's certificate".to_owned());
    }
    Ok(())
}

fn terms_problems(terms: &Terms, problems: &mut Vec<String>) {
    let hubs = terms.iot_hubs.as_deref().unwrap_or_default();
    if hubs.len() > LINKED_HUBS_MAX {
        problems.push(format!("iotHubs: at most {LINKED_HUBS_MAX}"));
    }
    let static_hub = terms.iot_hub_host_name.as_deref().or_else(|| hubs.first().map(String::as_str));
    match terms.allocation_policy.unwrap_or_default() {
        AllocationPolicy::Static if static_hub.is_none() => {
            problems.push("iotHubHostName: the static policy needs it".to_owned());
        }
        AllocationPolicy::Custom => {
            let url = terms.custom_allocation_definition.as_ref().map(|custom| custom.webhook_url.as_str());
            if !url.is_some_and(|url| url.starts_with("https://") || url.starts_with("http://")) {
                let text = "customAllocationDefinition.webhookUrl: the custom policy needs the address of a webhook";
                problems.push(text.to_owned());
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn problems(body: Value) -> Vec<String> {
        serde_json::from_value::<Enrollment>(body).unwrap().problems()
    }

    #[test]
    fn all_problems_are_told() {
        let found = problems(json!({
            "registrationId": "a/b", "deviceId": "x/y", "allocationPolicy": "static",
            "attestation": {"type": "x509", "x509": {
                "clientCertificates": {}, "caReferences": {}, "signingCertificates": {"primary": {"certificate": "!"}}}},
        }));
        for start in [
            "registrationId:",
            "deviceId:",
            "attestation.x509:",
            "attestation.x509.clientCertificates:",
            "attestation.x509.caReferences:",
            "attestation.x509.signingCertificates.primary:",
            "iotHubHostName:",
        ] {
            assert!(found.iter().any(|problem| problem.starts_with(start)), "{start} in {found:?}");
        }
    }

    #[test]
    fn keys_and_tpms_are_checked() {
        let keys = json!({"primaryKey": "c2hvcnQ=", "secondaryKey": ""});
        let found =
            problems(json!({"registrationId": "a", "attestation": {"type": "symmetricKey", "symmetricKey": keys}}));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(!found[0].contains("c2hvcnQ"), "a key is not repeated");
        let tpm = json!({"endorsementKey": "AAAA", "storageRootKey": "?"});
        assert_eq!(problems(json!({"registrationId": "a", "attestation": {"type": "tpm", "tpm": tpm}})).len(), 2);
        assert_eq!(problems(json!({"registrationId": "a"})).len(), 1, "a mechanism is needed");
    }

    #[test]
    fn groups_refuse_what_is_one_devices() {
        let body = json!({"enrollmentGroupId": "g", "attestation": {"type": "tpm"}, "allocationPolicy": "custom"});
        let group: EnrollmentGroup = serde_json::from_value(body).unwrap();
        assert_eq!(group.problems().len(), 2);
    }
}
