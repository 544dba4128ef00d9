//! The authorities that an operator has registered and that have shown to hold their keys, and what they vouch for.
//! - Invariants: immutable; a change makes a new one. A registered intermediate is trusted like a root: a chain ends at the first
//!   registered authority, so the closest to the leaf is the one that [`Verified::authority`] names.
//! - Invariants: webpki takes its anchors as given, so their own validity, path length and revocation are checked here.
//! - Limits: [`AUTHORITIES_MAX`] certificates, [`REVOCATION_LISTS_MAX`] lists.
//! - Not here: whether the leaf's name is that of the device; the caller compares [`Verified::names`].

use aws_lc_rs::digest;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, EndEntityCert, KeyUsage, OwnedCertRevocationList,
    RevocationOptionsBuilder, UnknownStatusPolicy, VerifiedPath, anchor_from_trusted_cert,
};

use super::certificate::{self, Validity};
use super::error::X509Error;
use super::{AUTHORITIES_MAX, CHAIN_CERTIFICATES_MAX, REVOCATION_LIST_BYTES_MAX, REVOCATION_LISTS_MAX};

/// See the module's documentation.
#[derive(Default)]
pub struct Authorities {
    anchors: Vec<TrustAnchor<'static>>,
    /// Of the anchor of the same position.
    terms: Vec<Terms>,
    lists: Vec<CertRevocationList<'static>>,
}

/// What webpki does not look at in an anchor.
struct Terms {
    validity: Validity,
    path_length: Option<u8>,
    thumbprint: [u8; 32],
}

/// A chain that leads to a registered authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The leaf's common name, if it has exactly one.
    pub common_name: Option<String>,
    /// DNS names among the leaf's alternative names.
    pub dns_names: Vec<String>,
    /// SHA-256 of the registered authority at which the chain ends.
    pub authority: [u8; 32],
    /// SHA-256 of the authorities between, from the leaf's issuer upwards; empty when the registered one issued the leaf.
    pub intermediates: Vec<[u8; 32]>,
    /// When the leaf is good: a session must not outlive it.
    pub validity: Validity,
}

impl Authorities {
    /// Takes certificates and revocation lists as DER.
    ///
    /// # Errors
    /// When one cannot be read, is not that of an authority, or there are too many.
    pub fn new(certificates: Vec<Vec<u8>>, revocation_lists: Vec<Vec<u8>>) -> Result<Self, X509Error> {
        if certificates.len() > AUTHORITIES_MAX || revocation_lists.len() > REVOCATION_LISTS_MAX {
            return Err(X509Error::TooMany);
        }
        let lists = revocation_lists.iter().map(|der| read_list(der)).collect::<Result<Vec<_>, _>>()?;
        let mut authorities = Self { lists, ..Self::default() };
        for der in certificates {
            authorities.add(&der)?;
        }
        Ok(authorities)
    }

    /// Whether nobody is registered.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// Judges what a client sent, leaf first: does it lead to a registered authority, is all of it good at that time, not revoked, and
    /// meant for clients? A certificate that nobody's list speaks of is not revoked, and a list counts until another replaces it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify<C: AsRef<[u8]>>(&self, chain: &[C], now_unix: u64) -> Result<Verified, X509Error> {
        let (leaf, others) = chain.split_first().ok_or(X509Error::Missing)?;
        if chain.len() > CHAIN_CERTIFICATES_MAX {
            return Err(X509Error::TooMany);
        }
        let info = certificate::decode(leaf.as_ref())?;
        let leaf = CertificateDer::from(leaf.as_ref());
        let leaf = EndEntityCert::try_from(&leaf)?;
        let others: Vec<_> = others.iter().map(|der| CertificateDer::from(der.as_ref())).collect();
        let lists: Vec<&CertRevocationList<'_>> = self.lists.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&lists).ok();
        let revocation = revocation.map(|options| options.with_status_policy(UnknownStatusPolicy::Allow).build());
        let check = |path: &VerifiedPath<'_>| self.check(path, now_unix);
        let path = leaf.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &self.anchors,
            &others,
            UnixTime::since_unix_epoch(std::time::Duration::from_secs(now_unix)),
            KeyUsage::client_auth(),
            revocation,
            Some(&check),
        )?;
        let terms = self.terms_of(path.anchor()).ok_or(X509Error::UnknownIssuer)?;
        Ok(Verified {
            common_name: certificate::common_name(info.tbs_certificate().subject()),
            dns_names: certificate::dns_names(&info)?,
            authority: terms.thumbprint,
            intermediates: path.intermediate_certificates().map(|between| thumbprint(&between.der())).collect(),
            validity: certificate::validity(&info),
        })
    }

    fn add(&mut self, der: &[u8]) -> Result<(), X509Error> {
        let info = certificate::decode(der)?;
        if !certificate::is_authority(&info)? {
            return Err(X509Error::NotAuthority);
        }
        let anchor = CertificateDer::from(der);
        // An intermediate that its own issuer has called back is nobody's authority any more.
        if self.is_revoked(&EndEntityCert::try_from(&anchor)?)? {
            return Ok(());
        }
        let constraints = certificate::constraints(&info)?;
        self.anchors.push(anchor_from_trusted_cert(&anchor)?.to_owned());
        self.terms.push(Terms {
            validity: certificate::validity(&info),
            path_length: constraints.and_then(|constraints| constraints.path_len_constraint),
            thumbprint: thumbprint(der),
        });
        Ok(())
    }

    fn is_revoked(&self, certificate: &EndEntityCert<'_>) -> Result<bool, X509Error> {
        for list in self.lists.iter().filter(|list| list.issuer() == certificate.issuer()) {
            if list.find_serial(certificate.serial())?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What webpki leaves to its callers. An error here makes it look for another way.
    fn check(&self, path: &VerifiedPath<'_>, now_unix: u64) -> Result<(), webpki::Error> {
        let terms = self.terms_of(path.anchor()).ok_or(webpki::Error::UnknownIssuer)?;
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now_unix));
        let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let Validity { not_before, not_after } = terms.validity;
        match terms.validity.check(now_unix) {
            Err(X509Error::Expired) => return Err(webpki::Error::CertExpired { time, not_after: at(not_after) }),
            Err(_) => return Err(webpki::Error::CertNotValidYet { time, not_before: at(not_before) }),
            Ok(()) => {}
        }
        let between = path.intermediate_certificates().count();
        if terms.path_length.is_some_and(|most| between > usize::from(most)) {
            return Err(webpki::Error::PathLenConstraintViolated);
        }
        let may_issue = |between: &webpki::Cert<'_>| {
            certificate::decode(&between.der()).is_ok_and(|info| certificate::is_authority(&info) == Ok(true))
        };
        if path.intermediate_certificates().all(may_issue) { Ok(()) } else { Err(webpki::Error::EndEntityUsedAsCa) }
    }

    /// Anchors come back by reference, so the one that was meant is the one at the same place.
    fn terms_of(&self, anchor: &TrustAnchor<'_>) -> Option<&Terms> {
        let place = self.anchors.iter().position(|own| std::ptr::eq(own, anchor))?;
        self.terms.get(place)
    }
}

impl Verified {
    /// The names that the leaf is made out to: common name and DNS names, as they stand there; nothing is a pattern.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.common_name.iter().chain(&self.dns_names).map(String::as_str)
    }
}

impl std::fmt::Debug for Authorities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorities")
            .field("anchors", &self.anchors.len())
            .field("lists", &self.lists.len())
            .finish_non_exhaustive()
    }
}

fn read_list(der: &[u8]) -> Result<CertRevocationList<'static>, X509Error> {
    if der.len() > REVOCATION_LIST_BYTES_MAX {
        return Err(X509Error::Malformed);
    }
    // Read through once before it is kept: the owned form is what is searched later.
    BorrowedCertRevocationList::from_der(der)?;
    Ok(OwnedCertRevocationList::from_der(der)?.into())
}

fn thumbprint(der: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, der);
    digest.as_ref().try_into().unwrap_or([0; 32])
}
