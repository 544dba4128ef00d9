//! Certificates for tests: authorities, and devices' own, as PEM files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// A certificate authority.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key in files.
#[derive(Debug, Clone)]
pub struct Files {
    /// The certificate, and those that lead to its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// SHA-256 of the certificate, as hexadecimal digits.
    pub thumbprint: String,
}

impl Authority {
    /// A root of that name.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = params(name)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// Its certificate as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a device.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn issue(&self, name: &str, folder: &Path) -> Result<Files> {
        let key = KeyPair::generate()?;
        let certificate = params(name)?.signed_by(&key, &self.0)?;
        save(name, folder, &certificate.pem(), certificate.der(), &key)
    }
}

/// A certificate that a device has signed itself.
///
/// # Errors
/// When the files cannot be written.
pub fn self_signed(name: &str, folder: &Path) -> Result<Files> {
    let key = KeyPair::generate()?;
    let certificate = params(name)?.self_signed(&key)?;
    save(name, folder, &certificate.pem(), certificate.der(), &key)
}

fn params(name: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn save(name: &str, folder: &Path, pem: &str, der: &[u8], key: &KeyPair) -> Result<Files> {
    let (certificate, key_file) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    fs::write(&certificate, pem)?;
    fs::write(&key_file, key.serialize_pem())?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    let thumbprint = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    Ok(Files { certificate, key: key_file, thumbprint })
}
