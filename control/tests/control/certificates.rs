//! Authorities: added, verified, in force.

use std::sync::atomic::Ordering;
use std::time::Duration;

use millrace_control::CertificateKind;
use millrace_control_store::documents::Collection;
use millrace_ingest::Directory;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio::time::timeout;

use crate::harness::{Hub, PATIENCE, until};

struct Authority {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority(name: &str) -> Authority {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { params, key, pem }
}

impl Authority {
    fn sign(&self, name: &str) -> rcgen::Certificate {
        let issuer = Issuer::from_params(&self.params, &self.key);
        named(name).signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap()
    }
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn is_trusted(hub: &Hub, leaf: &rcgen::Certificate) -> bool {
    hub.control.directory().authorities().verify(&[leaf.der().to_vec()], now()).is_ok()
}

#[tokio::test]
async fn an_authority_that_was_deleted_does_not_come_back_for_a_moment() {
    let hub = Hub::new().await;
    hub.control.add_certificate("root", authority("root").pem.as_bytes(), true, None).await.unwrap();
    // Somebody is still reading what there was.
    hub.documents.hold_next_page(Collection::Certificate);
    let revision = hub.control.trusted().revision;
    let control = hub.control.clone();
    let slow = tokio::spawn(async move {
        let other = authority("other");
        control.add_certificate("other", other.pem.as_bytes(), true, None).await.unwrap();
    });
    hub.documents.holding().await;
    let before = hub.documents.batches.load(Ordering::SeqCst);
    let control = hub.control.clone();
    let deleting = tokio::spawn(async move { control.delete_certificate("root", None).await.unwrap() });
    hub.documents.batches_beyond(before).await;
    // Long enough for it to be done, if nothing keeps it waiting.
    let mut deleting = std::pin::pin!(deleting);
    let early = timeout(Duration::from_millis(300), deleting.as_mut()).await;
    hub.documents.let_go();
    slow.await.unwrap();
    if early.is_err() {
        deleting.await.unwrap();
    }
    // Each of the two has read once, and whoever looks for changes will.
    until(|| {
        let trusted = hub.control.trusted();
        assert!(!trusted.certificates.contains_key("root"));
        trusted.revision >= revision + 3
    })
    .await;
}

#[tokio::test]
async fn an_authority_counts_once_it_has_shown_its_key() {
    let hub = Hub::new().await;
    let root = authority("root");
    let leaf = root.sign("d");
    let added = hub.control.add_certificate("root", root.pem.as_bytes(), false, None).await.unwrap();
    assert_eq!((added.is_verified, added.kind, added.thumbprint.len()), (false, CertificateKind::Authority, 40));
    assert!(!is_trusted(&hub, &leaf));
    let unasked = hub.control.verify_certificate("root", root.pem.as_bytes(), None).await;
    assert_eq!(unasked.unwrap_err().status, 400);
    let coded = hub.control.generate_verification_code("root", Some(&added.etag)).await.unwrap();
    let code = coded.verification_code.unwrap();
    let forged = authority("root").sign(&code).pem();
    assert_eq!(hub.control.verify_certificate("root", forged.as_bytes(), None).await.unwrap_err().status, 400);
    let proof = root.sign(&code).pem();
    let stale = hub.control.verify_certificate("root", proof.as_bytes(), Some(&added.etag)).await;
    assert_eq!(stale.unwrap_err().status, 412);
    let verified = hub.control.verify_certificate("root", proof.as_bytes(), Some(&coded.etag)).await.unwrap();
    assert!(verified.is_verified && verified.verification_code.is_none());
    assert!(is_trusted(&hub, &leaf) && !is_trusted(&hub, &authority("root").sign("d")));

    let hub = hub.restarted().await;
    assert!(is_trusted(&hub, &leaf));
    assert_eq!(hub.control.certificates().await.unwrap(), [verified]);
    hub.control.delete_certificate("root", None).await.unwrap();
    assert!(!is_trusted(&hub, &leaf));
    assert_eq!(hub.control.certificate("root").await.unwrap_err().status, 404);
}

#[tokio::test]
async fn what_another_process_adds_counts_here_soon() {
    let hub = Hub::new().await;
    let beside = hub.beside().await;
    let root = authority("root");
    let leaf = root.sign("d");
    beside.control.add_certificate("root", root.pem.as_bytes(), true, None).await.unwrap();
    timeout(PATIENCE, async {
        while !is_trusted(&hub, &leaf) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the snapshot follows");
}

#[tokio::test]
async fn what_cannot_be_judged_by_is_refused() {
    let hub = Hub::new().await;
    let root = authority("root");
    let leaf = root.sign("d");
    let control = &hub.control;
    for (name, certificate) in [
        ("leaf", leaf.pem()),
        ("garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----".to_owned()),
        ("empty", String::new()),
        ("two", format!("{}{}", root.pem, authority("other").pem)),
        ("a/b", root.pem.clone()),
        ("", root.pem.clone()),
    ] {
        assert_eq!(
            control.add_certificate(name, certificate.as_bytes(), true, None).await.unwrap_err().status,
            400,
            "{name}"
        );
    }
    control.add_certificate("root", root.pem.as_bytes(), true, None).await.unwrap();
    assert_eq!(control.add_certificate("root", root.pem.as_bytes(), true, None).await.unwrap_err().status, 409);
    control.add_certificate("root", root.pem.as_bytes(), true, Some("*")).await.unwrap();
    assert_eq!(control.add_revocation_list("crl", b"nonsense", None).await.unwrap_err().status, 400);
}
