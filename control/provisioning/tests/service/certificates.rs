//! Devices with certificates: their own, signed by an authority, forged in every way that comes to mind.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_control_provisioning::attestation::{Denied, Grounds, Groups, ServiceSecret, Standing};
use millrace_control_provisioning::enrollment::{Enrollment, EnrollmentGroup};
use millrace_control_store::registry::Authentication;
use millrace_model::door::Registrant;
use millrace_protocols_identity::Key;
use millrace_protocols_identity::thumbprint::Thumbprint;
use millrace_protocols_identity::x509::certificate_info;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use reqwest::{Method, StatusCode as Status};
use serde_json::{Value, json};

use crate::harness::{Book, SCOPE, Service, register_at, send};

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// 2026-01-01.
const NOW: u64 = 1_767_225_600;

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2095, 1, 1);
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn root(name: &str) -> Issuer {
    Issuer::self_signed(authority(name), KeyPair::generate().unwrap()).unwrap()
}

fn below(parent: &Issuer, name: &str) -> Issuer {
    Issuer::signed_by(authority(name), KeyPair::generate().unwrap(), parent).unwrap()
}

fn leaf(params: &CertificateParams, issuer: &Issuer) -> Vec<u8> {
    params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().to_vec()
}

fn own(name: &str) -> (Vec<u8>, String) {
    let certificate = named(name).self_signed(&KeyPair::generate().unwrap()).unwrap();
    (certificate.der().to_vec(), certificate.pem())
}

fn der(issuer: &Issuer) -> Vec<u8> {
    issuer.der().to_vec()
}

fn registrant(id: &str, chain: &[Vec<u8>]) -> Registrant {
    Registrant { id_scope: SCOPE.into(), registration_id: id.into(), token: None, certificates: chain.into() }
}

/// Judges a chain by groups (id, authority) and an individual enrollment.
fn judge(
    id: &str,
    chain: &[Vec<u8>],
    groups: &[(&str, &Issuer)],
    own: Option<Value>,
    book: &Book,
) -> Result<Standing, Denied> {
    let group = |(id, issuer): &(&str, &Issuer)| {
        let signing = json!({"signingCertificates": {"primary": {"certificate": issuer.pem()}}});
        let body = json!({"enrollmentGroupId": id, "attestation": {"type": "x509", "x509": signing}});
        serde_json::from_value::<EnrollmentGroup>(body).unwrap()
    };
    let groups = Groups::new(groups.iter().map(group).collect(), book);
    let enrollment = own.map(|x509| {
        let body = json!({"registrationId": id, "attestation": {"type": "x509", "x509": x509}});
        Arc::new(serde_json::from_value::<Enrollment>(body).unwrap())
    });
    let secret = ServiceSecret::new(Key::from_bytes(&[7; 32]).unwrap());
    let grounds =
        Grounds { id_scope: SCOPE, groups: &groups, book, secret: &secret, now_unix_seconds: NOW, skew_seconds: 0 };
    grounds.judge(&registrant(id, chain), enrollment.as_ref())
}

#[test]
fn the_nearest_group_admits_whatever_the_order_of_the_chain() {
    let root = root("root");
    let (middle, low) = (below(&root, "middle"), below(&root, "unrelated"));
    let near = below(&middle, "near");
    let device = leaf(&named("dev-1"), &near);
    let groups = [("far", &root), ("middle", &middle), ("other", &low)];
    let chains = [
        vec![device.clone(), der(&near), der(&middle), der(&root)],
        vec![device.clone(), der(&root), der(&middle), der(&near)],
        vec![device.clone(), der(&near), der(&middle)],
        vec![device.clone(), der(&near)],
    ];
    for chain in &chains {
        let standing = judge("dev-1", chain, &groups, None, &Book::default()).unwrap();
        assert_eq!(standing.admission.owner(), "middle");
        assert!(matches!(standing.authentication, Authentication::CertificateAuthority));
        assert_eq!(
            standing.evidence.signing_certificate.unwrap().subject_name,
            certificate_info(&der(&middle)).unwrap().subject
        );
    }
    let only_far = judge("dev-1", &chains[0], &groups[..1], None, &Book::default()).unwrap();
    assert_eq!(only_far.admission.owner(), "far");
    assert_eq!(judge("dev-1", &chains[3], &groups[..1], None, &Book::default()).unwrap_err(), Denied::Certificate);
}

#[test]
fn what_is_forged_admits_nobody() {
    let real = root("root");
    let forged = root("root");
    let near = below(&real, "near");
    let groups = [("g", &real)];
    let mut expired = named("dev-1");
    expired.not_after = date_time_ymd(2025, 6, 1);
    let mut early = named("dev-1");
    early.not_before = date_time_ymd(2030, 1, 1);
    let mut broken = leaf(&named("dev-1"), &real);
    *broken.last_mut().unwrap() ^= 1;
    let no_authority = CertifiedIssuer::signed_by(named("near"), KeyPair::generate().unwrap(), &real).unwrap();
    let bad = [
        vec![],
        vec![leaf(&named("dev-1"), &forged)],
        vec![leaf(&named("dev-1"), &forged), der(&real)],
        vec![leaf(&named("dev-2"), &real)],
        vec![leaf(&expired, &real)],
        vec![leaf(&early, &real)],
        vec![broken],
        vec![b"garbage".to_vec()],
        vec![leaf(&named("dev-1"), &near)],
        vec![leaf(&named("dev-1"), &no_authority), der(&no_authority)],
        vec![leaf(&named("dev-1"), &real); 9],
        vec![own("dev-1").0],
    ];
    for (number, chain) in bad.iter().enumerate() {
        assert_eq!(
            judge("dev-1", chain, &groups, None, &Book::default()).unwrap_err(),
            Denied::Certificate,
            "{number}"
        );
    }
    let upper = judge("DEV-1", &[leaf(&named("Dev-1"), &real)], &groups, None, &Book::default());
    assert_eq!(upper.unwrap().registration_id.as_str(), "dev-1", "case does not matter");
}

#[test]
fn an_own_certificate_is_exactly_that_one() {
    let ((first, first_pem), (second, second_pem), (other, _)) = (own("dev-1"), own("dev-1"), own("dev-1"));
    let x509 = json!({"clientCertificates": {"primary": {"certificate": first_pem}, "secondary": {"certificate": second_pem}}});
    for der in [&first, &second] {
        let standing = judge("dev-1", std::slice::from_ref(der), &[], Some(x509.clone()), &Book::default()).unwrap();
        let Authentication::SelfSigned { primary, secondary } = standing.authentication else {
            panic!("by thumbprint")
        };
        let print = |der: &[u8]| certificate_info(der).unwrap().sha256_thumbprint.parse::<Thumbprint>().unwrap();
        assert_eq!((primary, secondary), (Some(print(&first)), Some(print(&second))));
    }
    assert_eq!(judge("dev-1", &[other], &[], Some(x509.clone()), &Book::default()).unwrap_err(), Denied::Certificate);
    assert_eq!(judge("dev-2", &[first], &[], Some(x509), &Book::default()).unwrap_err(), Denied::Certificate);
}

#[test]
fn an_authority_by_name_has_to_be_verified() {
    let root = root("root");
    let chain = [leaf(&named("dev-1"), &root)];
    let x509 = json!({"caReferences": {"primary": "factory"}});
    let unknown = judge("dev-1", &chain, &[], Some(x509.clone()), &Book::default());
    assert_eq!(unknown.unwrap_err(), Denied::NotEnrolled);
    let book = Book(BTreeMap::from([("factory".to_owned(), der(&root))]));
    let standing = judge("dev-1", &chain, &[], Some(x509.clone()), &book).unwrap();
    assert!(standing.evidence.signing_certificate.is_some());
    // An individual enrollment decides alone, even if a group would admit the device.
    let elsewhere = [leaf(&named("dev-1"), &super::certificates::root("other"))];
    assert_eq!(judge("dev-1", &elsewhere, &[("g", &root)], Some(x509), &book).unwrap_err(), Denied::Certificate);
}

#[tokio::test]
async fn a_device_with_a_certificate_registers_over_https() {
    let mut service = Service::start().await;
    let root = root("root");
    let signing = json!({"signingCertificates": {"primary": {"certificate": root.pem()}}});
    let made =
        service.enroll(json!({"enrollmentGroupId": "g", "attestation": {"type": "x509", "x509": signing}})).await;
    let info = &made["attestation"]["x509"]["signingCertificates"]["primary"]["info"];
    assert!(info["subjectName"].as_str().unwrap().contains("root"), "{info}");
    let url = service.with_certificates(vec![leaf(&named("dev-1"), &root)]).await;
    let done = register_at(&url, "dev-1", None, &json!({"registrationId": "dev-1"})).await;
    let x509 = &done["registrationState"]["x509"];
    assert_eq!((&done["status"], &x509["enrollmentGroupId"]), (&json!("assigned"), &json!("g")));
    assert_eq!(x509["signingCertificateInfo"]["primary"], *info);
    let (status, ..) =
        send(&format!("{url}/{SCOPE}/registrations/dev-2/register"), Method::PUT, None, None, &json!({})).await;
    assert_eq!(status, Status::UNAUTHORIZED, "another device's id");
    // The nearest group is disabled: the farther one does not help.
    let near = below(&root, "near");
    let signing = json!({"signingCertificates": {"primary": {"certificate": near.pem()}}});
    let attestation = json!({"type": "x509", "x509": signing});
    service
        .enroll(json!({"enrollmentGroupId": "near", "attestation": attestation, "provisioningStatus": "disabled"}))
        .await;
    let url = service.with_certificates(vec![leaf(&named("dev-3"), &near), der(&near)]).await;
    let (status, _, refused) =
        send(&format!("{url}/{SCOPE}/registrations/dev-3/register"), Method::PUT, None, None, &json!({})).await;
    assert_eq!(status, Status::UNAUTHORIZED);
    assert!(refused["message"].as_str().unwrap().contains("disabled"), "{refused}");
}
