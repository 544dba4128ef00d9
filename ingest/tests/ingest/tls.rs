//! The same over TLS, with both versions, from a client that knows nothing of unbuffered sessions.

use std::net::TcpStream;
use std::sync::Arc;

use millrace_protocols_mqtt::Version;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::harness::{Answer, Client, Hub, HubOptions, now, telemetry_topic, token};

fn check(version: &'static SupportedProtocolVersion) {
    let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let chain = vec![certificate.cert.der().clone()];
    let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
    let tls = millrace_ingest::server_config(chain.clone(), key).unwrap();
    let mut hub = Hub::start(HubOptions { tls: Some(tls), ..HubOptions::default() });
    let mut roots = RootCertStore::empty();
    roots.add(chain[0].clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    // The second round resumes the first one's session.
    for round in 0..2_u16 {
        let session = ClientConnection::new(Arc::clone(&config), ServerName::try_from("localhost").unwrap()).unwrap();
        let mut client = Client::over(StreamOwned::new(session, TcpStream::connect(hub.addresses[0]).unwrap()));
        hub.devices.add("d", true);
        client.connect("d", Version::V311, &token("d", now() + 60), 60);
        assert_eq!(client.answer(), Some(Answer::ConnAck { code: 0 }), "round {round}");
        let body = vec![b'x'; 100_000];
        for packet_id in 1..=20 {
            client.publish(&telemetry_topic("d"), Some(packet_id), &body);
        }
        for expected in 1..=20 {
            assert_eq!(client.answer(), Some(Answer::PubAck { packet_id: expected }));
        }
        let mut count = 0;
        while count < 20 {
            count += hub.batch().messages().inspect(|message| assert_eq!(message.body, body)).count();
        }
    }
}

#[test]
fn tls_1_3_carries_sessions() {
    check(&rustls::version::TLS13);
}

#[test]
fn tls_1_2_carries_sessions() {
    check(&rustls::version::TLS12);
}

#[test]
fn garbage_instead_of_a_handshake_is_closed() {
    let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
    let tls = millrace_ingest::server_config(vec![certificate.cert.der().clone()], key).unwrap();
    let hub = Hub::start(HubOptions { tls: Some(tls), ..HubOptions::default() });
    for garbage in [&b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04abcd"[..], &[0x16, 3, 1, 0xff, 0xff, 1, 2, 3], &[0; 400]] {
        let mut stream = TcpStream::connect(hub.addresses[0]).unwrap();
        std::io::Write::write_all(&mut stream, garbage).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // Closed, or reset because not all was read: either is an end.
        drop(std::io::Read::read_to_end(&mut stream, &mut answer));
    }
}
