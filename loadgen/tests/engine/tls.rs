//! TLS: trusted and untrusted certificates, resumption.

use std::sync::Arc;

use millrace_loadgen::{Phase, PhaseKind, Plan, run};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::broker::{Behaviour, Broker};
use crate::runs::plan;

/// A broker with a certificate of its own for `localhost`, and that certificate as PEM.
fn broker() -> (Broker, String) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key).unwrap();
    let broker = Broker::start(Behaviour { tls: Some(Arc::new(config)), ..Behaviour::default() });
    (broker, certified.cert.pem())
}

#[test]
fn a_trusted_server_is_spoken_to_and_sessions_resume_as_far_as_asked() {
    let (broker, pem) = broker();
    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.pem");
    std::fs::write(&ca_file, pem).unwrap();
    for percent in [0, 100] {
        let trusted = Plan {
            tls: true,
            ca_file: Some(ca_file.clone()),
            host_name: Some("localhost".to_owned()),
            tls_resume_percent: percent,
            rate: 200.0,
            phases: vec![Phase::hold(0.5), Phase::new(PhaseKind::Storm, 1.0)],
            ..plan(&broker)
        };
        let report = run(&trusted, true).unwrap();
        assert_eq!(report.messages.acknowledged, report.messages.sent);
        assert_eq!(report.connections.reconnected, 5);
        let resumed = report.connections.resumed;
        assert!(if percent == 0 { resumed == 0 } else { resumed >= 4 }, "{percent} %: {resumed}");
    }
}

#[test]
fn an_untrusted_server_is_not_spoken_to_unless_asked() {
    let (broker, _) = broker();
    let (_, other) = self::broker();
    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.pem");
    std::fs::write(&ca_file, other).unwrap();
    let host_name = Some("localhost".to_owned());
    let wary = Plan { tls: true, ca_file: Some(ca_file), host_name, rate: 50.0, ..plan(&broker) };
    let problem = format!("{:#}", run(&wary, true).unwrap_err());
    assert!(problem.contains("tls failed"), "{problem}");
    let careless = Plan { ca_file: None, insecure_skip_verify: true, ..wary };
    let report = run(&careless, true).unwrap();
    assert!(report.messages.acknowledged > 0);
}
