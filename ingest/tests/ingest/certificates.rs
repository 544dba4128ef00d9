//! Devices that show a certificate instead of a token, over both versions of TLS and by another door.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use millrace_ingest::Proof;
use millrace_protocols_identity::Thumbprint;
use millrace_protocols_identity::x509::{Authorities, certificate_info};
use millrace_protocols_mqtt::Version;
use millrace_protocols_mqtt::client::{self, ConnectOptions};
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::harness::{Answer, Client, Hub, HubOptions, PATIENCE, now, telemetry_topic, token};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// A certificate with its key.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn self_signed(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Shown {
    let (mut params, key) = (params(name), KeyPair::generate().unwrap());
    change(&mut params);
    Shown { chain: vec![params.self_signed(&key).unwrap().der().clone()], key }
}

fn authority(name: &str) -> (Certificate, Issuer<'static, KeyPair>) {
    let (mut params, key) = (params(name), KeyPair::generate().unwrap());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.self_signed(&key).unwrap(), Issuer::new(params, key))
}

fn issued(name: &str, issuer: &Issuer<'static, KeyPair>) -> Shown {
    let key = KeyPair::generate().unwrap();
    Shown { chain: vec![params(name).signed_by(&key, issuer).unwrap().der().clone()], key }
}

fn thumbprints(shown: &Shown) -> Proof {
    let info = certificate_info(&shown.chain[0]).unwrap();
    let secondary: Thumbprint = info.sha256_thumbprint.parse().unwrap();
    Proof::Thumbprints(Arc::new([None, Some(secondary)]))
}

struct Server {
    hub: Hub,
    roots: RootCertStore,
}

impl Server {
    fn start() -> Self {
        let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let chain = vec![certificate.cert.der().clone()];
        let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).unwrap();
        let tls = Some(millrace_ingest::server_config(chain, key).unwrap());
        Self { hub: Hub::start(HubOptions { tls, ..HubOptions::default() }), roots }
    }

    fn config(&self, version: &'static SupportedProtocolVersion, shown: Option<&Shown>) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(self.roots.clone());
        Arc::new(match shown {
            None => config.with_no_client_auth(),
            Some(shown) => {
                let key = PrivateKeyDer::try_from(shown.key.serialize_der()).unwrap();
                config.with_client_auth_cert(shown.chain.clone(), key).unwrap()
            }
        })
    }

    /// CONNECT over TLS; the code of the answer.
    fn connect(&self, config: &Arc<ClientConfig>, name: &str, token: Option<&str>) -> (u8, Client<Tls>) {
        let session = ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost").unwrap()).unwrap();
        let stream = TcpStream::connect(self.hub.addresses[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Client::over(StreamOwned::new(session, stream));
        client.send(&connect_bytes(name, token));
        let Some(Answer::ConnAck { code }) = client.answer() else { panic!("no CONNACK") };
        (code, client)
    }
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn connect_bytes(name: &str, token: Option<&str>) -> Vec<u8> {
    let user_name = format!("localhost/{name}/?api-version=2021-04-12");
    let mut bytes = Vec::new();
    let options = ConnectOptions {
        version: Version::V311,
        client_id: name,
        user_name: Some(&user_name),
        password: token.map(str::as_bytes),
        keep_alive_seconds: 60,
        clean_start: false,
    };
    client::encode_connect(&options, &mut bytes);
    bytes
}

#[test]
fn a_thumbprint_lets_its_certificate_in_and_no_other() {
    let mut server = Server::start();
    let (good, other) = (self_signed("whoever", |_| {}), self_signed("whoever", |_| {}));
    server.hub.devices.add_with("d", true, thumbprints(&good));
    for version in VERSIONS {
        let config = server.config(version, Some(&good));
        // The second round resumes the first one's TLS session, certificate included.
        for round in 0..2 {
            let (code, mut client) = server.connect(&config, "d", None);
            assert_eq!(code, 0, "{version:?} round {round}");
            client.publish(&telemetry_topic("d"), Some(1), b"x");
            assert_eq!(client.answer(), Some(Answer::PubAck { packet_id: 1 }));
            let method = server.hub.batch().message(0).unwrap().identity.auth_method.to_owned();
            assert!(method.contains("\"scope\":\"device\",\"type\":\"x509\""), "{method}");
        }
        assert_eq!(server.connect(&server.config(version, Some(&other)), "d", None).0, 5);
        assert_eq!(server.connect(&server.config(version, None), "d", None).0, 4, "neither password nor certificate");
    }
}

#[test]
fn a_chain_leads_to_a_registered_authority_and_to_the_devices_name() {
    let server = Server::start();
    let (root, issuer) = authority("our root");
    let (_, forger) = authority("our root");
    server.hub.devices.trust(Authorities::new(vec![root.der().to_vec()], Vec::new()).unwrap());
    for name in ["d", "d/m"] {
        server.hub.devices.add_with(name, true, Proof::Authority);
    }
    for version in VERSIONS {
        let code = |shown: &Shown, name| server.connect(&server.config(version, Some(shown)), name, None).0;
        assert_eq!(code(&issued("d", &issuer), "d"), 0);
        assert_eq!(code(&issued("d/m", &issuer), "d/m"), 0);
        assert_eq!(code(&issued("other", &issuer), "d"), 5, "made out to somebody else");
        assert_eq!(code(&issued("d", &issuer), "d/m"), 5, "a device is not its module");
        assert_eq!(code(&issued("d", &forger), "d"), 5, "the same name, another key");
        assert_eq!(code(&self_signed("d", |_| {}), "d"), 5);
    }
}

#[test]
fn a_certificate_has_its_time() {
    let server = Server::start();
    let old = self_signed("d", |params| params.not_after = rcgen::date_time_ymd(2001, 1, 1));
    server.hub.devices.add_with("d", true, thumbprints(&old));
    assert_eq!(server.connect(&server.config(&rustls::version::TLS13, Some(&old)), "d", None).0, 5);
}

#[test]
fn tokens_and_certificates_do_not_stand_for_each_other() {
    let server = Server::start();
    let shown = self_signed("x", |_| {});
    server.hub.devices.add_with("by-certificate", true, thumbprints(&shown));
    server.hub.devices.add("by-key", true);
    let config = server.config(&rustls::version::TLS13, Some(&shown));
    let of = |name| token(name, now() + 60);
    assert_eq!(server.connect(&config, "by-certificate", Some(&of("by-certificate"))).0, 5);
    assert_eq!(server.connect(&config, "by-key", None).0, 5);
    assert_eq!(
        server.connect(&config, "by-key", Some(&of("by-key"))).0,
        0,
        "a certificate that is not needed does no harm"
    );
}

#[test]
fn a_certificate_counts_that_another_door_has_seen() {
    let hub = Hub::start(HubOptions::default());
    let shown = self_signed("x", |_| {});
    hub.devices.add_with("d", true, thumbprints(&shown));
    for (certificates, expected) in [(vec![shown.chain[0].to_vec()], 0), (Vec::new(), 4)] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        hub.doorway.adopt(theirs, None, certificates.into()).unwrap();
        let mut client = Client::over(ours);
        client.send(&connect_bytes("d", None));
        assert_eq!(client.answer(), Some(Answer::ConnAck { code: expected }));
    }
}
