//! Attestation mechanisms as the service API writes them.
//! - Source: Azure DPS service REST API, AttestationMechanism.
//! - Invariants: keys are wiped when they go and shown by no `Debug`.

use millrace_protocols_identity::Key;
use millrace_protocols_identity::x509::{CertificateInfo, X509Error, certificates_from_text};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::registration::time_text;

/// How a device proves itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mechanism {
    /// Which of the members counts.
    #[serde(rename = "type")]
    pub kind: MechanismKind,
    /// With a TPM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm: Option<TpmKeys>,
    /// With a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x509: Option<X509Mechanism>,
    /// With a symmetric key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symmetric_key: Option<SymmetricKeys>,
}

/// Kinds of [`Mechanism`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MechanismKind {
    /// Not at all: nobody can register.
    #[default]
    None,
    /// [`SymmetricKeys`].
    SymmetricKey,
    /// [`TpmKeys`].
    Tpm,
    /// [`X509Mechanism`].
    X509,
}

/// Public keys of a TPM, as base64 of `TPM2B_PUBLIC`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TpmKeys {
    /// Endorsement key: which TPM it is.
    pub endorsement_key: String,
    /// Storage root key, if the operator knows it; else the device's word is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_root_key: Option<String>,
}

/// Symmetric keys as base64.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SymmetricKeys {
    /// First key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_key: Option<SecretText>,
    /// Second key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secondary_key: Option<SecretText>,
}

/// Certificates: of the device itself, of who signs it, or by name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct X509Mechanism {
    /// The device's own. Individual enrollments only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificates: Option<Certificates>,
    /// Those of an authority, usually an intermediate one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_certificates: Option<Certificates>,
    /// Names of authorities that the hub has verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_references: Option<CaReferences>,
}

/// A certificate and the one that replaces it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Certificates {
    /// First certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<CertificateBody>,
    /// Second certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secondary: Option<CertificateBody>,
}

/// A certificate.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateBody {
    /// PEM, or base64 of DER.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// What it says. Only in answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<CertificateInfoBody>,
}

/// What a certificate says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateInfoBody {
    /// Distinguished name of its subject.
    pub subject_name: String,
    /// In upper-case hex.
    pub sha1_thumbprint: String,
    /// In upper-case hex.
    pub sha256_thumbprint: String,
    /// Distinguished name of its issuer.
    pub issuer_name: String,
    /// First moment of its validity.
    pub not_before_utc: String,
    /// Last moment of its validity.
    pub not_after_utc: String,
    /// In hex.
    pub serial_number: String,
    /// 3.
    pub version: u32,
}

/// Names of authorities.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CaReferences {
    /// First name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// Second name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secondary: Option<String>,
}

/// Text that is wiped when it goes and not shown by `Debug`.
#[derive(Clone, Default)]
pub struct SecretText(pub Zeroizing<String>);

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(..)")
    }
}

impl Serialize for SecretText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl Mechanism {
    /// The same without keys: what is answered to who may read enrollments. Keys come from `attestationmechanism`.
    #[must_use]
    pub fn without_keys(&self) -> Self {
        Self { symmetric_key: None, ..self.clone() }
    }
}

impl SymmetricKeys {
    /// Whether neither key is given. SDKs write empty ones where the service shall make them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let missing = |key: &Option<SecretText>| key.as_ref().is_none_or(|key| key.0.is_empty());
        missing(&self.primary_key) && missing(&self.secondary_key)
    }

    /// Both keys; one that is missing is the other one's. `None` when there is none or one cannot be used.
    #[must_use]
    pub fn keys(&self) -> Option<[Key; 2]> {
        let key = |text: &Option<SecretText>| text.as_ref().and_then(|text| Key::from_base64(&text.0).ok());
        let (primary, secondary) = (key(&self.primary_key), key(&self.secondary_key));
        let first = primary.clone().or_else(|| secondary.clone())?;
        let second = secondary.unwrap_or_else(|| first.clone());
        Some([first, second])
    }
}

impl From<&Key> for SecretText {
    fn from(key: &Key) -> Self {
        Self(key.to_base64())
    }
}

impl Certificates {
    /// Both, as DER, first the primary one.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn der(&self) -> Result<Vec<Vec<u8>>, X509Error> {
        let given = [&self.primary, &self.secondary].into_iter().flatten();
        given.filter_map(|certificate| certificate.der().transpose()).collect()
    }
}

impl CertificateBody {
    /// The certificate as DER; `None` when the member is left out.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn der(&self) -> Result<Option<Vec<u8>>, X509Error> {
        let Some(text) = self.certificate.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
        certificates_from_text(text.as_bytes()).map(|found| found.into_iter().next())
    }
}

impl From<&CertificateInfo> for CertificateInfoBody {
    fn from(info: &CertificateInfo) -> Self {
        let time = |seconds: u64| time_text(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000));
        Self {
            subject_name: info.subject.clone(),
            sha1_thumbprint: info.sha1_thumbprint.clone(),
            sha256_thumbprint: info.sha256_thumbprint.clone(),
            issuer_name: info.issuer.clone(),
            not_before_utc: time(info.validity.not_before),
            not_after_utc: time(info.validity.not_after),
            serial_number: info.serial_number.clone(),
            version: info.version.into(),
        }
    }
}
