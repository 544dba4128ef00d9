//! TLS over rustls' unbuffered interface: an idle session keeps its keys and nothing else; records are decrypted out of, and
//! encrypted into, buffers that all sessions of a shard share.
//! - Source: RFC 8446 (TLS 1.3), RFC 5246 (TLS 1.2, which the Python SDK insists on).
//! - Limits: an incomplete record or handshake message is at most [`TLS_RECORD_BYTES_MAX`]; more closes the connection.
//! - Errors: words of rustls, which hold nothing secret.

use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus};
use rustls::{ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::any_certificate::AnyCertificate;
use crate::limits::TLS_RECORD_BYTES_MAX;

/// TLS versions offered.
const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

/// Why a certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Certificate and key do not fit, or are of an unknown kind.
    #[error("the certificate or its key cannot be used")]
    Certificate(#[source] rustls::Error),
    /// The ticket keys could not be made.
    #[error("no keys for session tickets")]
    Tickets(#[source] rustls::Error),
}

/// The configuration of all TLS listeners: both versions, session tickets for cheap reconnects, a client certificate that is asked for
/// and may be absent or anybody's: who it belongs to is judged at CONNECT.
///
/// # Errors
/// When certificate and key do not fit.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(AnyCertificate::new(provider.signature_verification_algorithms));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&VERSIONS)
        .map_err(TlsError::Certificate)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(TlsError::Certificate)?;
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(TlsError::Tickets)?;
    config.send_tls13_tickets = 1;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// One session.
pub(crate) struct TlsSession {
    connection: UnbufferedServerConnection,
    /// The begin of a record whose rest has not come yet.
    carry: Vec<u8>,
}

impl TlsSession {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self { connection: UnbufferedServerConnection::new(config)?, carry: Vec::new() })
    }

    /// The chain that the client showed, leaf first; empty where it showed none.
    pub(crate) fn certificates(&self) -> Arc<[Vec<u8>]> {
        self.connection.peer_certificates().unwrap_or_default().iter().map(|certificate| certificate.to_vec()).collect()
    }

    /// How many bytes of an incomplete record it keeps.
    pub(crate) fn kept(&self) -> &[u8] {
        &self.carry
    }

    /// Takes ciphertext that begins with what was [`Self::kept`]; adds what it says to `plain` and what has to be answered to `out`.
    /// True: the peer has closed its side in order.
    pub(crate) fn read(&mut self, incoming: &mut [u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<bool, String> {
        let mut start = 0;
        let mut is_closed = false;
        loop {
            let rest = incoming.get_mut(start..).unwrap_or_default();
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(rest);
            let mut is_done = false;
            match state.map_err(|error| error.to_string())? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        plain.extend_from_slice(record.map_err(|error| error.to_string())?.payload);
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => encode(out, |out| match data.encode(out) {
                    Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
                        Fit::Needs(required_size)
                    }
                    result => Fit::Done(result.map_err(|error| error.to_string())),
                })?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => is_closed = true,
                ConnectionState::Closed | ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) => {
                    is_done = true;
                }
                _ => return Err("early data is not taken".to_owned()),
            }
            start += discard;
            if is_done {
                break;
            }
        }
        let rest = incoming.get(start..).unwrap_or_default();
        if rest.len() > TLS_RECORD_BYTES_MAX {
            return Err("a record that never ends".to_owned());
        }
        // Of its exact size, and none at all where there is no rest.
        self.carry = rest.to_vec();
        Ok(is_closed)
    }

    /// Encrypts `plain` and adds the records to `out`.
    pub(crate) fn write(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        self.with_traffic(out, |traffic, out| {
            encode(out, |out| match traffic.encrypt(plain, out) {
                Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                    Fit::Needs(required_size)
                }
                result => Fit::Done(result.map_err(|error| error.to_string())),
            })
        })
    }

    /// Adds the closing alert to `out`; of a handshake that failed, the alert that says so, and then an error.
    pub(crate) fn close(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        self.with_traffic(out, |traffic, out| {
            encode(out, |out| match traffic.queue_close_notify(out) {
                Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                    Fit::Needs(required_size)
                }
                result => Fit::Done(result.map_err(|error| error.to_string())),
            })
        })
    }

    fn with_traffic(
        &mut self,
        out: &mut Vec<u8>,
        act: impl FnOnce(
            &mut rustls::unbuffered::WriteTraffic<'_, rustls::server::ServerConnectionData>,
            &mut Vec<u8>,
        ) -> Result<(), String>,
    ) -> Result<(), String> {
        let Self { connection, carry } = self;
        loop {
            let UnbufferedStatus { discard, state } = connection.process_tls_records(carry);
            match state.map_err(|error| error.to_string())? {
                ConnectionState::WriteTraffic(mut traffic) => return act(&mut traffic, out),
                ConnectionState::EncodeTlsData(mut data) => encode(out, |out| match data.encode(out) {
                    Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
                        Fit::Needs(required_size)
                    }
                    result => Fit::Done(result.map_err(|error| error.to_string())),
                })?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                _ => return Err("the session is not open".to_owned()),
            }
            carry.drain(..discard);
        }
    }
}

/// Outcome of writing into a buffer of some size.
enum Fit {
    Done(Result<usize, String>),
    Needs(usize),
}

/// Appends to `out` what `write` puts into a slice, making room as it asks.
fn encode(out: &mut Vec<u8>, mut write: impl FnMut(&mut [u8]) -> Fit) -> Result<(), String> {
    let start = out.len();
    let mut room = 512;
    loop {
        out.resize(start + room, 0);
        match write(out.get_mut(start..).unwrap_or_default()) {
            Fit::Needs(bytes) if bytes > room => room = bytes,
            Fit::Needs(_) => return Err("a record of unknown size".to_owned()),
            Fit::Done(written) => {
                out.truncate(start + written?);
                return Ok(());
            }
        }
    }
}
