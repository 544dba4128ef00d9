//! TLS of the connections: whom to trust, and which share of them resumes an earlier session.
//! - Errors: reading the trusted certificates.
//! - Not here: the bytes of a connection (`transport`).

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::number;
use crate::plan::Plan;

/// Sessions remembered for resumption.
const SESSIONS_MAX: usize = 4_096;

/// Makes TLS connections.
#[derive(Debug)]
pub(crate) struct Tls {
    resuming: Arc<ClientConfig>,
    fresh: Arc<ClientConfig>,
    resume_percent: u64,
    name: ServerName<'static>,
}

impl Tls {
    /// Reads what the plan says of TLS.
    ///
    /// # Errors
    /// The certificates can't be read, or the host name is none.
    pub(crate) fn open(plan: &Plan) -> Result<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let mut resuming = if plan.insecure_skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))).with_no_client_auth()
        } else {
            builder.with_root_certificates(trusted(plan)?).with_no_client_auth()
        };
        let mut fresh = resuming.clone();
        resuming.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        fresh.resumption = Resumption::disabled();
        let host = plan.hub_host().to_owned();
        let name = ServerName::try_from(host.clone()).with_context(|| format!("{host:?} is no host name"))?;
        Ok(Self {
            resuming: Arc::new(resuming),
            fresh: Arc::new(fresh),
            resume_percent: u64::from(plan.tls_resume_percent),
            name,
        })
    }

    /// A new connection; every so many of the `index`es resume.
    ///
    /// # Errors
    /// As rustls says.
    pub(crate) fn connect(&self, index: usize) -> Result<ClientConnection, rustls::Error> {
        // A multiplier coprime to 100 spreads the share evenly over neighbouring indexes.
        let resumes = (number::wide(index).wrapping_mul(37)) % 100 < self.resume_percent;
        let config = if resumes { &self.resuming } else { &self.fresh };
        ClientConnection::new(Arc::clone(config), self.name.clone())
    }
}

fn trusted(plan: &Plan) -> Result<RootCertStore> {
    let Some(file) = &plan.ca_file else { bail!("no certificates to trust") };
    let context = || format!("reading {}", file.display());
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).with_context(context)? {
        store.add(certificate.with_context(context)?).with_context(context)?;
    }
    if store.is_empty() {
        bail!("{} has no certificate", file.display());
    }
    Ok(store)
}

/// Accepts any certificate, but still checks that the server has its key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
