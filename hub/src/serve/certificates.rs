//! The certificate of the TLS listeners: from files, or from a private CA that is made on first start.
//! - Shape: `tls/ca.pem` (for the devices), `tls/ca.key`, `tls/server.pem`, `tls/server.key`, keys 0600.
//! - Limits: the CA lives for ten years, the server's certificate for two; it is made anew when host names change or half a year is left.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use millrace_protocols_identity::x509::leaf_validity;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const CA_DAYS: u32 = 3650;
const SERVER_DAYS: u32 = 730;
const SERVER_DAYS_LEFT_MIN: u32 = 180;

/// Loads the configured certificate.
pub(crate) fn from_files(certificate: &Path, key: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .with_context(|| format!("cannot read certificates from {}", certificate.display()))?;
    if chain.is_empty() {
        anyhow::bail!("{} holds no certificate", certificate.display());
    }
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| format!("cannot read a key from {}", key.display()))?;
    millrace_ingest::server_config(chain, key).with_context(|| format!("certificate {}", certificate.display()))
}

/// Loads the certificate of the private CA in `directory`, making what is missing or about to expire.
pub(crate) fn private(directory: &Path, host_names: &[String]) -> anyhow::Result<Arc<ServerConfig>> {
    let (ca, ca_key) = (directory.join("ca.pem"), directory.join("ca.key"));
    let (server, server_key) = (directory.join("server.pem"), directory.join("server.key"));
    if !ca.exists() || !ca_key.exists() {
        let (certificate, key) = make_ca().context("cannot make a private CA")?;
        write(&ca_key, &key, 0o600)?;
        write(&ca, &certificate, 0o644)?;
        remove_if_there(&server)?;
        tracing::info!(ca = %ca.display(), "made a private CA: devices have to trust it");
    }
    let names = directory.join("server.names");
    let wanted = host_names.join("\n");
    if !is_fresh(&server) || std::fs::read_to_string(&names).ok().as_deref() != Some(wanted.as_str()) {
        let (certificate, key) =
            make_server(&ca, &ca_key, host_names).context("cannot make the server's certificate")?;
        write(&server_key, &key, 0o600)?;
        write(&server, &certificate, 0o644)?;
        write(&names, &wanted, 0o644)?;
    }
    from_files(&server, &server_key)
}

/// By what it says itself: the age of the file is that of its last copy.
fn is_fresh(certificate: &Path) -> bool {
    let read = CertificateDer::from_pem_file(certificate).ok().and_then(|der| leaf_validity(&der).ok());
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let is_good_at = |time: Duration| read.is_some_and(|validity| validity.check(time.as_secs()).is_ok());
    is_good_at(since_1970) && is_good_at(since_1970 + DAY * SERVER_DAYS_LEFT_MIN)
}

fn valid_for(params: &mut CertificateParams, days: u32) {
    let now = SystemTime::now();
    params.not_before = (now - DAY).into();
    params.not_after = (now + DAY * days).into();
}

fn make_ca() -> anyhow::Result<(String, String)> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Millrace private CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for(&mut params, CA_DAYS);
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn make_server(ca: &Path, ca_key: &Path, host_names: &[String]) -> anyhow::Result<(String, String)> {
    let issuer_key = KeyPair::from_pem(&std::fs::read_to_string(ca_key)?)?;
    // The issuer's name and key are all that is needed of it, and the name is ours.
    let mut issuer_params = CertificateParams::default();
    issuer_params.distinguished_name.push(DnType::CommonName, "Millrace private CA");
    issuer_params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let issuer = Issuer::from_params(&issuer_params, &issuer_key);
    let mut names = host_names.to_vec();
    for local in ["localhost", "127.0.0.1", "::1"] {
        if !names.iter().any(|name| name == local) {
            names.push(local.to_owned());
        }
    }
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, host_names.first().map_or("localhost", String::as_str));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    valid_for(&mut params, SERVER_DAYS);
    let certificate = params.signed_by(&key, &issuer)?;
    Ok((format!("{}{}", certificate.pem(), std::fs::read_to_string(ca)?), key.serialize_pem()))
}

/// Puts a file into place whole: a crash leaves the old one or the new one, never half of one.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let written = millrace_journal::files::durable_write(path, text.as_bytes());
    written.with_context(|| format!("cannot write {}", path.display()))?;
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the mode of {}", path.display()))
}

fn remove_if_there(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_at_its_end_is_made_anew_however_new_its_file_is() {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let directory = tempfile::tempdir().unwrap();
        let (server, names) = (directory.path().join("server.pem"), vec!["hub.example.net".to_owned()]);
        let made = || {
            private(directory.path(), &names).unwrap();
            std::fs::read_to_string(&server).unwrap()
        };
        let first = made();
        assert_eq!(made(), first, "a good one stays");
        let now = SystemTime::now();
        for end in [now - DAY, now + DAY] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(names.clone()).unwrap();
            params.not_before = (now - 700 * DAY).into();
            params.not_after = end.into();
            let old = params.self_signed(&key).unwrap().pem();
            std::fs::write(&server, &old).unwrap();
            std::fs::write(directory.path().join("server.key"), key.serialize_pem()).unwrap();
            assert_ne!(made(), old);
        }
    }
}
