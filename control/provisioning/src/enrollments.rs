//! Enrollments in the store.
//! - Shape: a document for each, its body the JSON of the service API with keys and etag; the etag of an answer is that of the document.
//! - Invariants: a write names the version that it saw, so two at a time never mix. Keys that an update leaves out stay; those that a new
//!   enrollment leaves out are made.

use std::sync::Arc;

use millrace_control_store::clock;
use millrace_control_store::documents::{
    ApplyError, Batch, Collection, Document, DocumentKey, Documents, Precondition, SCAN_DOCUMENTS_MAX, Scan,
    WRITES_MAX, Write,
};
use millrace_model::HubError;
use millrace_protocols_identity::x509::certificate_info;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::enrollment::{Certificates, Enrollment, EnrollmentGroup, Mechanism, MechanismKind, SymmetricKeys, Terms};
use crate::error::{ENROLLMENT_EXISTS, ENROLLMENT_NOT_FOUND, TOO_MANY_GROUPS, store_failed, write_failed};
use crate::limits::GROUPS_MAX;
use crate::random;
use crate::registration::{etag, time_text};
use crate::registration_id::RegistrationId;

/// Which state of an enrollment a change is meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// None is there.
    Absent,
    /// One is there, whichever.
    Any,
    /// The one with this etag.
    Etag(String),
}

/// Individual enrollments and groups, as far as keeping them is the same.
pub trait Enrolled: Serialize + DeserializeOwned + Clone + Send + Sync {
    /// Where they are kept.
    const COLLECTION: Collection;
    /// What `x-ms-item-type` calls them.
    const ITEM_TYPE: &'static str;
    /// Their id.
    fn id(&self) -> &str;
    /// Sets their id.
    fn set_id(&mut self, id: &str);
    /// How devices prove themselves.
    fn mechanism_mut(&mut self) -> &mut Mechanism;
    /// What becomes of devices.
    fn terms(&self) -> &Terms;
    /// Likewise, to be changed.
    fn terms_mut(&mut self) -> &mut Terms;
    /// All that is wrong.
    fn problems(&self) -> Vec<String>;
}

/// Enrollments in a store.
#[derive(Clone)]
pub struct Enrollments {
    documents: Arc<dyn Documents>,
}

impl Expected {
    /// From the text of `If-Match`; quoted or not, as SDKs send both.
    #[must_use]
    pub fn from_header(text: Option<&str>) -> Self {
        match text.map(|text| text.trim().trim_matches('"')) {
            None => Self::Absent,
            Some("*") => Self::Any,
            Some(etag) => Self::Etag(etag.to_owned()),
        }
    }
}

impl Enrollments {
    /// Those of a store.
    #[must_use]
    pub fn new(documents: Arc<dyn Documents>) -> Self {
        Self { documents }
    }

    /// Reads one, with its version.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn read<E: Enrolled>(&self, id: &str) -> Result<Option<(E, i64)>, HubError> {
        let Ok(id) = RegistrationId::new(id) else { return Ok(None) };
        let key = DocumentKey::new(E::COLLECTION, "", id.as_str());
        let document = self.documents.read(&key).await.map_err(|error| store_failed(&error))?;
        document.map(|document| Ok((decode(&document)?, document.version))).transpose()
    }

    /// A page behind an id, in the order of ids.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn page<E: Enrolled>(&self, after: Option<&str>, count: usize) -> Result<Vec<E>, HubError> {
        let after = after.map(|name| ("".into(), name.into()));
        let scan =
            Scan { collection: E::COLLECTION, owner: Some("".into()), after, count: count.min(SCAN_DOCUMENTS_MAX) };
        let documents = self.documents.scan(&scan).await.map_err(|error| store_failed(&error))?;
        documents.iter().map(decode).collect()
    }

    /// Creates or changes one.
    ///
    /// # Errors
    /// When something is wrong with it, it is not in the expected state, or the store fails.
    pub async fn put<E: Enrolled>(&self, mut new: E, expected: &Expected) -> Result<E, HubError> {
        let problems = new.problems();
        if !problems.is_empty() {
            return Err(HubError::ARGUMENT.because(problems.join("; ")));
        }
        let id = RegistrationId::new(new.id()).map_err(|error| HubError::ARGUMENT.because(error.to_string()))?;
        new.set_id(id.as_str());
        let found = self.read::<E>(id.as_str()).await?;
        let before = match (expected, found) {
            (Expected::Absent, Some(_)) => return Err(ENROLLMENT_EXISTS),
            (Expected::Any | Expected::Etag(_), None) => return Err(ENROLLMENT_NOT_FOUND),
            (Expected::Etag(etag), Some((before, _))) if before.terms().etag.as_ref() != Some(etag) => {
                return Err(HubError::PRECONDITION);
            }
            (_, found) => found,
        };
        self.check_count::<E>(before.is_none()).await?;
        let (mut before, version) = before.map_or((None, 0), |(before, version)| (Some(before), version));
        complete(new.mechanism_mut(), before.as_mut().map(E::mechanism_mut))?;
        let now = clock::now();
        let created = before.as_ref().and_then(|before| before.terms().created_date_time_utc.clone());
        let terms = new.terms_mut();
        terms.created_date_time_utc = Some(created.unwrap_or_else(|| time_text(now.0)));
        terms.last_updated_date_time_utc = Some(time_text(now.0));
        terms.etag = Some(etag(now, version + 1));
        let body = serde_json::to_vec(&new).map_err(|_| HubError::SERVER)?;
        let precondition = if before.is_some() { Precondition::Version(version) } else { Precondition::Absent };
        let write = Write::put(DocumentKey::new(E::COLLECTION, "", id.as_str()), precondition, body);
        self.apply(vec![write], *expected == Expected::Absent).await?;
        Ok(new)
    }

    /// Deletes one, and what became of its devices.
    ///
    /// # Errors
    /// When it is not there or not in the expected state, or the store fails.
    pub async fn delete<E: Enrolled>(&self, id: &str, expected: &Expected) -> Result<(), HubError> {
        let (found, version) = self.read::<E>(id).await?.ok_or(ENROLLMENT_NOT_FOUND)?;
        if let Expected::Etag(etag) = expected
            && found.terms().etag.as_ref() != Some(etag)
        {
            return Err(HubError::PRECONDITION);
        }
        let key = DocumentKey::new(E::COLLECTION, "", found.id());
        let mut writes = vec![Write::remove(key, Precondition::Version(version))];
        if E::COLLECTION == Collection::Enrollment {
            let registration = DocumentKey::new(Collection::Registration, "", found.id());
            writes.push(Write::remove(registration, Precondition::Any));
        }
        self.apply(writes, false).await?;
        if E::COLLECTION == Collection::EnrollmentGroup {
            self.delete_registrations(found.id()).await?;
        }
        Ok(())
    }

    /// What becomes of a group's registrations when it goes. If this does not come to its end, what is left does no harm.
    async fn delete_registrations(&self, group: &str) -> Result<(), HubError> {
        let scan =
            Scan { collection: Collection::Registration, owner: Some(group.into()), after: None, count: WRITES_MAX };
        loop {
            let page = self.documents.scan(&scan).await.map_err(|error| store_failed(&error))?;
            if page.is_empty() {
                return Ok(());
            }
            let writes = page.into_iter().map(|document| Write::remove(document.key, Precondition::Any)).collect();
            self.apply(writes, false).await?;
        }
    }

    async fn check_count<E: Enrolled>(&self, is_new: bool) -> Result<(), HubError> {
        if !is_new || E::COLLECTION != Collection::EnrollmentGroup {
            return Ok(());
        }
        let count = self.documents.count_documents(E::COLLECTION, None).await.map_err(|error| store_failed(&error))?;
        if usize::try_from(count).is_ok_and(|count| count < GROUPS_MAX) { Ok(()) } else { Err(TOO_MANY_GROUPS) }
    }

    async fn apply(&self, writes: Vec<Write>, is_new: bool) -> Result<(), HubError> {
        match self.documents.apply(Batch { identity: None, writes }).await {
            Ok(_) => Ok(()),
            Err(ApplyError::Conflict { .. }) if is_new => Err(ENROLLMENT_EXISTS),
            Err(error) => Err(write_failed(&error)),
        }
    }
}

impl std::fmt::Debug for Enrollments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Enrollments(..)")
    }
}

impl Enrolled for Enrollment {
    const COLLECTION: Collection = Collection::Enrollment;
    const ITEM_TYPE: &'static str = "Enrollment";

    fn id(&self) -> &str {
        &self.registration_id
    }

    fn set_id(&mut self, id: &str) {
        id.clone_into(&mut self.registration_id);
        self.registration_state = None;
    }

    fn mechanism_mut(&mut self) -> &mut Mechanism {
        &mut self.attestation
    }

    fn terms(&self) -> &Terms {
        &self.terms
    }

    fn terms_mut(&mut self) -> &mut Terms {
        &mut self.terms
    }

    fn problems(&self) -> Vec<String> {
        Self::problems(self)
    }
}

impl Enrolled for EnrollmentGroup {
    const COLLECTION: Collection = Collection::EnrollmentGroup;
    const ITEM_TYPE: &'static str = "EnrollmentGroup";

    fn id(&self) -> &str {
        &self.enrollment_group_id
    }

    fn set_id(&mut self, id: &str) {
        id.clone_into(&mut self.enrollment_group_id);
    }

    fn mechanism_mut(&mut self) -> &mut Mechanism {
        &mut self.attestation
    }

    fn terms(&self) -> &Terms {
        &self.terms
    }

    fn terms_mut(&mut self) -> &mut Terms {
        &mut self.terms
    }

    fn problems(&self) -> Vec<String> {
        Self::problems(self)
    }
}

fn decode<E: Enrolled>(document: &Document) -> Result<E, HubError> {
    serde_json::from_slice(&document.body).map_err(|_| HubError::SERVER.because("a stored enrollment cannot be read"))
}

/// Fills in what a mechanism leaves to the service: keys, and what certificates say.
fn complete(mechanism: &mut Mechanism, before: Option<&mut Mechanism>) -> Result<(), HubError> {
    match mechanism.kind {
        MechanismKind::SymmetricKey => {
            let given = mechanism.symmetric_key.take().unwrap_or_default();
            let kept = before.and_then(|before| before.symmetric_key.clone());
            mechanism.symmetric_key = Some(match kept {
                Some(kept) if given.is_empty() => kept,
                _ => complete_keys(given)?,
            });
        }
        MechanismKind::X509 => {
            let Some(x509) = &mut mechanism.x509 else { return Ok(()) };
            let given = [&mut x509.client_certificates, &mut x509.signing_certificates];
            given.into_iter().flatten().for_each(complete_certificates);
        }
        MechanismKind::Tpm | MechanismKind::None => {}
    }
    Ok(())
}

fn complete_keys(given: SymmetricKeys) -> Result<SymmetricKeys, HubError> {
    let or_new = |key: Option<crate::enrollment::SecretText>| match key.filter(|key| !key.0.is_empty()) {
        Some(key) => Ok(Some(key)),
        None => random::key().map(|key| Some((&key).into())),
    };
    Ok(SymmetricKeys { primary_key: or_new(given.primary_key)?, secondary_key: or_new(given.secondary_key)? })
}

fn complete_certificates(certificates: &mut Certificates) {
    for certificate in [&mut certificates.primary, &mut certificates.secondary].into_iter().flatten() {
        let info = certificate.der().ok().flatten().and_then(|der| certificate_info(&der).ok());
        certificate.info = info.as_ref().map(Into::into);
    }
}
