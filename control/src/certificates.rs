//! Certificates of authorities whose devices may connect, and their revocation lists.
//! - Source: Azure IoT Hub certificates: added, then verified by a proof of possession: a certificate for a code, signed by the authority.
//! - Shape: a JSON document each; the verified ones and all lists are what the doors judge chains by, made anew when the collection
//!   changes.
//! - Invariants: an authority counts only once it is verified, or was added as verified by whoever may. A new code undoes no verification.
//! - Limits: [`CERTIFICATES_MAX`]; sizes as `protocols/identity` says.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millrace_control_store::clock;
use millrace_control_store::documents::{
    ApplyError, Batch, Collection, Document, DocumentKey, Precondition, Scan, Write,
};
use millrace_control_store::error::RegistryError;
use millrace_control_twin::time_text;
use millrace_model::{HubError, Timestamp};
use millrace_protocols_identity::x509::{
    Authorities, X509Error, certificate_info, certificates_from_text, revocation_list_from_text, verify_possession,
};
use serde::{Deserialize, Serialize};

use crate::control::Control;
use crate::events;
use crate::failure::hub_error;
use crate::limits::{CERTIFICATE_NAME_MAX, CERTIFICATES_MAX, ROWS_MAX};

/// A certificate or a revocation list as the service sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateView {
    /// Its name.
    pub name: String,
    /// Changes with every change.
    pub etag: String,
    /// What it is.
    pub kind: CertificateKind,
    /// Who it is made out to; empty for a list.
    pub subject: String,
    /// SHA-1 of the DER, in hex; empty for a list.
    pub thumbprint: String,
    /// When it expires, as RFC 3339; empty for a list.
    pub expiry: String,
    /// Whether its owner has shown that it holds the key.
    pub is_verified: bool,
    /// What a proof of possession must be made out to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification_code: Option<String>,
    /// When it was added.
    pub created: String,
    /// When it was last changed.
    pub updated: String,
}

/// What is kept under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CertificateKind {
    /// An authority's certificate.
    Authority,
    /// A list of certificates that an authority has revoked.
    RevocationList,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Stored {
    kind: CertificateKind,
    /// DER in base64.
    der: String,
    verified: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    created: i64,
    updated: i64,
}

impl Control {
    /// Adds or replaces an authority's certificate (PEM or DER), which counts at once if it `is_verified`. `if_match` is the etag of
    /// the one to be replaced; without it the name must be free.
    ///
    /// # Errors
    /// When it is not the certificate of an authority, the name is taken or cannot be one, or there are too many.
    pub async fn add_certificate(
        &self,
        name: &str,
        certificate: &[u8],
        is_verified: bool,
        if_match: Option<&str>,
    ) -> Result<CertificateView, HubError> {
        let der = certificate_der(certificate)?;
        // Refuses what could not be judged by later.
        Authorities::new(vec![der.clone()], Vec::new()).map_err(refused)?;
        self.put_certificate(name, CertificateKind::Authority, &der, is_verified, if_match).await
    }

    /// Adds or replaces a revocation list (PEM or DER).
    ///
    /// # Errors
    /// As [`Self::add_certificate`].
    pub async fn add_revocation_list(
        &self,
        name: &str,
        list: &[u8],
        if_match: Option<&str>,
    ) -> Result<CertificateView, HubError> {
        let der = if is_pem(list) { revocation_list_from_text(list).map_err(refused)? } else { list.to_vec() };
        Authorities::new(Vec::new(), vec![der.clone()]).map_err(refused)?;
        self.put_certificate(name, CertificateKind::RevocationList, &der, true, if_match).await
    }

    /// All certificates and lists, in the order of their names.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn certificates(&self) -> Result<Vec<CertificateView>, HubError> {
        let documents = self.certificate_documents().await.map_err(|error| hub_error(&error))?;
        documents.iter().map(|document| view(document, &decoded(document)?)).collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// When there is none of that name, or the store failed.
    pub async fn certificate(&self, name: &str) -> Result<CertificateView, HubError> {
        let document = self.certificate_document(name).await?;
        view(&document, &decoded(&document)?)
    }

    /// Gives an authority a new code for its proof of possession.
    ///
    /// # Errors
    /// When there is none of that name, it has another etag, or the store failed.
    pub async fn generate_verification_code(
        &self,
        name: &str,
        if_match: Option<&str>,
    ) -> Result<CertificateView, HubError> {
        let document = self.certificate_document(name).await?;
        check_etag(&document, if_match)?;
        let mut stored = decoded(&document)?;
        // 160 bits, as many as a SHA-1 thumbprint has: the form that tools expect.
        let code = format!("{:032X}{:08X}", self.shared.tokens.large(), self.shared.tokens.small());
        stored.code = Some(code);
        self.rewrite_certificate(document, stored).await
    }

    /// Verifies an authority by a certificate (PEM or DER) that is made out to its code and signed with its key.
    ///
    /// # Errors
    /// When there is none of that name, it has another etag or no code, the proof is not good, or the store failed.
    pub async fn verify_certificate(
        &self,
        name: &str,
        proof: &[u8],
        if_match: Option<&str>,
    ) -> Result<CertificateView, HubError> {
        let document = self.certificate_document(name).await?;
        check_etag(&document, if_match)?;
        let mut stored = decoded(&document)?;
        let code =
            stored.code.take().ok_or_else(|| HubError::OPERATION.because("ask for a verification code first"))?;
        let now = u64::try_from(clock::now().unix_seconds()).unwrap_or_default();
        verify_possession(&der(&stored)?, &certificate_der(proof)?, &code, now).map_err(refused)?;
        stored.verified = true;
        self.rewrite_certificate(document, stored).await
    }

    /// Deletes a certificate or a list.
    ///
    /// # Errors
    /// When there is none of that name, it has another etag, or the store failed.
    pub async fn delete_certificate(&self, name: &str, if_match: Option<&str>) -> Result<(), HubError> {
        let document = self.certificate_document(name).await?;
        check_etag(&document, if_match)?;
        self.write_certificate(Write::remove(document.key, Precondition::Version(document.version))).await.map(drop)
    }

    /// Makes anew what the doors judge chains by.
    pub(crate) async fn load_certificates(&self) -> Result<(), RegistryError> {
        let _loading = self.shared.loading.lock().await;
        let (mut authorities, mut lists) = (HashMap::new(), Vec::new());
        for document in self.certificate_documents().await? {
            let Ok(stored) = decoded(&document) else { continue };
            let Ok(der) = der(&stored) else { continue };
            match stored.kind {
                CertificateKind::Authority if stored.verified => {
                    authorities.insert(document.key.name.to_string(), der);
                }
                CertificateKind::Authority => {}
                CertificateKind::RevocationList => lists.push(der),
            }
        }
        match Authorities::new(authorities.values().cloned().collect(), lists.clone()) {
            Ok(judges) => {
                self.shared.directory.set_authorities(judges);
                self.shared.trusted.set(authorities, lists);
            }
            // Each was good when it was added; what there is stays in force.
            Err(error) => events::corrupt("certificate", &error),
        }
        Ok(())
    }

    async fn put_certificate(
        &self,
        name: &str,
        kind: CertificateKind,
        der: &[u8],
        is_verified: bool,
        if_match: Option<&str>,
    ) -> Result<CertificateView, HubError> {
        check_name(name)?;
        let now = clock::now().0;
        let found = self.find_certificate(name).await?;
        let precondition = match (&found, if_match) {
            (Some(_), None) => return Err(HubError::EXISTS),
            (Some(document), Some(_)) => {
                check_etag(document, if_match)?;
                Precondition::Version(document.version)
            }
            (None, Some(etag)) if etag.trim_matches('"') != "*" => return Err(HubError::PRECONDITION),
            (None, _) => Precondition::Absent,
        };
        let count = self.shared.documents.count_documents(Collection::Certificate, None).await;
        let count = usize::try_from(count.map_err(|error| hub_error(&error))?).unwrap_or(usize::MAX);
        if found.is_none() && count >= CERTIFICATES_MAX {
            return Err(HubError::TOO_LARGE.because(format!("a hub keeps at most {CERTIFICATES_MAX} certificates")));
        }
        let created = found.as_ref().map_or(Ok(now), |document| decoded(document).map(|stored| stored.created))?;
        let stored =
            Stored { kind, der: STANDARD.encode(der), verified: is_verified, code: None, created, updated: now };
        self.write_stored(name, precondition, stored).await
    }

    async fn rewrite_certificate(&self, document: Document, mut stored: Stored) -> Result<CertificateView, HubError> {
        stored.updated = clock::now().0;
        self.write_stored(&document.key.name, Precondition::Version(document.version), stored).await
    }

    async fn write_stored(
        &self,
        name: &str,
        precondition: Precondition,
        stored: Stored,
    ) -> Result<CertificateView, HubError> {
        let key = DocumentKey::new(Collection::Certificate, "", name);
        let body = serde_json::to_vec(&stored).map_err(|_| HubError::SERVER)?;
        let version = self.write_certificate(Write::put(key.clone(), precondition, body)).await?;
        view(&Document { key, version, body: Vec::new() }, &stored)
    }

    /// Writes one, and lets it count on this node at once; answers its new version.
    async fn write_certificate(&self, write: Write) -> Result<i64, HubError> {
        let applied = self.shared.documents.apply(Batch { identity: None, writes: vec![write] }).await;
        let versions = applied.map_err(|error| match error {
            ApplyError::Store(error) => hub_error(&error),
            ApplyError::TooLarge => HubError::TOO_LARGE,
            _ => HubError::PRECONDITION,
        })?;
        self.load_certificates().await.map_err(|error| hub_error(&error))?;
        Ok(versions.first().copied().unwrap_or_default())
    }

    async fn find_certificate(&self, name: &str) -> Result<Option<Document>, HubError> {
        let key = DocumentKey::new(Collection::Certificate, "", name);
        self.shared.documents.read(&key).await.map_err(|error| hub_error(&error))
    }

    async fn certificate_document(&self, name: &str) -> Result<Document, HubError> {
        self.find_certificate(name).await?.ok_or(HubError::RESOURCE_NOT_FOUND)
    }

    async fn certificate_documents(&self) -> Result<Vec<Document>, RegistryError> {
        let scan = Scan { collection: Collection::Certificate, owner: None, after: None, count: ROWS_MAX };
        self.shared.documents.scan(&scan).await
    }
}

fn view(document: &Document, stored: &Stored) -> Result<CertificateView, HubError> {
    let info = match stored.kind {
        CertificateKind::Authority => Some(certificate_info(&der(stored)?).map_err(refused)?),
        CertificateKind::RevocationList => None,
    };
    let expiry = info.as_ref().map(|info| i64::try_from(info.validity.not_after).unwrap_or(i64::MAX));
    Ok(CertificateView {
        name: document.key.name.to_string(),
        etag: document.version.to_string(),
        kind: stored.kind,
        subject: info.as_ref().map(|info| info.subject.clone()).unwrap_or_default(),
        thumbprint: info.map(|info| info.sha1_thumbprint).unwrap_or_default(),
        expiry: expiry.map(|expiry| time_text(Timestamp(expiry.saturating_mul(1_000)))).unwrap_or_default(),
        is_verified: stored.verified,
        verification_code: stored.code.clone(),
        created: time_text(Timestamp(stored.created)),
        updated: time_text(Timestamp(stored.updated)),
    })
}

fn decoded(document: &Document) -> Result<Stored, HubError> {
    serde_json::from_slice(&document.body).map_err(|error| {
        events::corrupt("certificate", &error);
        HubError::SERVER
    })
}

fn der(stored: &Stored) -> Result<Vec<u8>, HubError> {
    STANDARD.decode(&stored.der).map_err(|error| {
        events::corrupt("certificate", &error);
        HubError::SERVER
    })
}

/// The one certificate in a text, or the bytes as they are.
fn certificate_der(certificate: &[u8]) -> Result<Vec<u8>, HubError> {
    if !is_pem(certificate) {
        return Ok(certificate.to_vec());
    }
    let mut certificates = certificates_from_text(certificate).map_err(refused)?;
    match certificates.pop() {
        Some(only) if certificates.is_empty() => Ok(only),
        _ => Err(HubError::ARGUMENT.because("one certificate belongs here")),
    }
}

fn is_pem(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"-----BEGIN")
}

fn check_etag(document: &Document, if_match: Option<&str>) -> Result<(), HubError> {
    let wanted = if_match.map(|etag| etag.trim().trim_matches('"'));
    match wanted {
        Some(etag) if etag != "*" && etag != document.version.to_string() => Err(HubError::PRECONDITION),
        _ => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), HubError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if (1..=CERTIFICATE_NAME_MAX).contains(&name.len()) && name.bytes().all(is_allowed) {
        return Ok(());
    }
    Err(HubError::ARGUMENT.because("the name of a certificate has 1 to 64 letters, digits and any of - . _"))
}

fn refused(error: X509Error) -> HubError {
    HubError::ARGUMENT.because(error.to_string())
}
