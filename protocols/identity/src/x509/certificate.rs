//! What stands in a certificate. Says nothing about whether it is to be trusted.
//! - Source: RFC 5280 section 4; the form of texts is that of the provisioning service (thumbprints and serial number in upper-case hex).
//! - Errors: [`X509Error::Malformed`]; also for a certificate that names one extension twice.

use aws_lc_rs::digest;
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::der::asn1::{Any, ObjectIdentifier};
use x509_cert::der::{Decode, Tag, Tagged};
use x509_cert::ext::pkix::name::{DirectoryString, GeneralName};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectAltName};
use x509_cert::name::Name;

use super::CERTIFICATE_BYTES_MAX;
use super::error::X509Error;

/// `id-at-commonName`.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// When a certificate is good, in seconds since 1970, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From then on.
    pub not_before: u64,
    /// Until then.
    pub not_after: u64,
}

/// What stands in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// Who it is made out to, in the form of RFC 4514.
    pub subject: String,
    /// Who made it.
    pub issuer: String,
    /// Serial number, in hex.
    pub serial_number: String,
    /// SHA-1 of the DER, in hex.
    pub sha1_thumbprint: String,
    /// SHA-256 of the DER, in hex.
    pub sha256_thumbprint: String,
    /// When it is good.
    pub validity: Validity,
    /// 1 to 3.
    pub version: u8,
    /// The subject's common name, if it has exactly one.
    pub common_name: Option<String>,
    /// DNS names among the subject's alternative names.
    pub dns_names: Vec<String>,
    /// Whether it may issue certificates.
    pub is_authority: bool,
    /// How many authorities may stand between it and a leaf.
    pub path_length: Option<u8>,
}

/// What stands in a certificate.
///
/// # Errors
/// When it cannot be read.
pub fn certificate_info(der: &[u8]) -> Result<CertificateInfo, X509Error> {
    let certificate = decode(der)?;
    let body = certificate.tbs_certificate();
    let constraints = constraints(&certificate)?;
    Ok(CertificateInfo {
        subject: body.subject().to_string(),
        issuer: body.issuer().to_string(),
        serial_number: hex(body.serial_number().as_bytes()),
        sha1_thumbprint: hex(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der).as_ref()),
        sha256_thumbprint: hex(digest::digest(&digest::SHA256, der).as_ref()),
        validity: validity(&certificate),
        version: match body.version() {
            Version::V1 => 1,
            Version::V2 => 2,
            Version::V3 => 3,
        },
        common_name: common_name(body.subject()),
        dns_names: dns_names(&certificate)?,
        is_authority: is_authority(&certificate)?,
        path_length: constraints.and_then(|constraints| constraints.path_len_constraint),
    })
}

/// When a certificate is good. All that is asked of one that is known by its thumbprint.
///
/// # Errors
/// When it cannot be read.
pub fn leaf_validity(der: &[u8]) -> Result<Validity, X509Error> {
    decode(der).map(|certificate| validity(&certificate))
}

impl Validity {
    /// Whether it is good at that time.
    ///
    /// # Errors
    /// [`X509Error::NotYetValid`] or [`X509Error::Expired`].
    pub const fn check(&self, now_unix: u64) -> Result<(), X509Error> {
        if now_unix < self.not_before {
            return Err(X509Error::NotYetValid);
        }
        if now_unix > self.not_after {
            return Err(X509Error::Expired);
        }
        Ok(())
    }
}

pub(super) fn decode(der: &[u8]) -> Result<Certificate, X509Error> {
    if der.len() > CERTIFICATE_BYTES_MAX {
        return Err(X509Error::Malformed);
    }
    Certificate::from_der(der).map_err(|_| X509Error::Malformed)
}

pub(super) fn validity(certificate: &Certificate) -> Validity {
    let validity = certificate.tbs_certificate().validity();
    Validity {
        not_before: validity.not_before.to_unix_duration().as_secs(),
        not_after: validity.not_after.to_unix_duration().as_secs(),
    }
}

pub(super) fn constraints(certificate: &Certificate) -> Result<Option<BasicConstraints>, X509Error> {
    let found = certificate.tbs_certificate().get_extension::<BasicConstraints>().map_err(|_| X509Error::Malformed)?;
    Ok(found.map(|(_, constraints)| constraints))
}

/// Whether it may sign certificates: an authority by its constraints, and not barred from it by its key usage.
pub(super) fn is_authority(certificate: &Certificate) -> Result<bool, X509Error> {
    let usage = certificate.tbs_certificate().get_extension::<KeyUsage>().map_err(|_| X509Error::Malformed)?;
    let may_sign = usage.is_none_or(|(_, usage)| usage.key_cert_sign());
    Ok(may_sign && constraints(certificate)?.is_some_and(|constraints| constraints.ca))
}

/// The only common name. Of several, nobody could say which one is meant.
pub(super) fn common_name(name: &Name) -> Option<String> {
    let mut values = name.iter().filter(|attribute| attribute.oid == COMMON_NAME).map(|attribute| &attribute.value);
    let only = values.next().filter(|_| values.next().is_none())?;
    text(only).filter(|text| !text.is_empty())
}

pub(super) fn dns_names(certificate: &Certificate) -> Result<Vec<String>, X509Error> {
    let found = certificate.tbs_certificate().get_extension::<SubjectAltName>().map_err(|_| X509Error::Malformed)?;
    let names = found.map(|(_, names)| names.0).unwrap_or_default();
    let dns = names.into_iter().filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        _ => None,
    });
    Ok(dns.collect())
}

/// Many tools put any ASCII into a `PrintableString`, device ids with `_` among it: read like UTF-8.
fn text(value: &Any) -> Option<String> {
    match value.tag() {
        Tag::PrintableString | Tag::Utf8String | Tag::Ia5String | Tag::TeletexString => {
            std::str::from_utf8(value.value()).ok().map(str::to_owned)
        }
        _ => DirectoryString::try_from(value).ok().map(String::from),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).map(|digit| digit.to_ascii_uppercase()).collect()
}
