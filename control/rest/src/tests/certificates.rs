//! Certificates of authorities.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::*;

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn proof(code: &str, issuer: &CertifiedIssuer<'_, KeyPair>) -> String {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, code);
    params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().pem()
}

#[tokio::test]
async fn an_authority_is_added_proven_and_deleted() {
    let served = serve().await;
    let (mine, other) = (authority("mine"), authority("other"));
    let path = "/certificates/root";
    let added = put(&served, path, json!({"certificate": mine.pem()})).await;
    assert_eq!((added.status.as_u16(), &added.json()["isVerified"]), (200, &json!(false)), "{}", added.json());
    let etag = added.header("etag").to_owned();
    assert_eq!(
        post(&served, &format!("{path}/verify"), json!({"certificate": mine.pem()})).await.error_code(),
        400_003,
        "no code yet"
    );
    let coded = served
        .call_with(Method::POST, &format!("{path}/generateVerificationCode"), &[("if-match", &etag)], Value::Null)
        .await;
    let code = coded.json()["verificationCode"].as_str().unwrap().to_owned();
    for wrong in [proof(&code, &other), proof("guess", &mine), "nonsense".to_owned()] {
        assert_eq!(post(&served, &format!("{path}/verify"), json!({"certificate": wrong})).await.error_code(), 400_004);
    }
    let late = served
        .call_with(
            Method::POST,
            &format!("{path}/verify"),
            &[("if-match", &etag)],
            json!({"certificate": proof(&code, &mine)}),
        )
        .await;
    assert_eq!(late.error_code(), 412_001);
    let verified = post(&served, &format!("{path}/verify"), json!({"certificate": proof(&code, &mine)})).await;
    assert_eq!((verified.status.as_u16(), &verified.json()["isVerified"]), (200, &json!(true)), "{}", verified.json());
    assert_eq!(get(&served, "/certificates").await.json()[0]["name"], "root");
    assert_eq!(put(&served, path, json!({"certificate": mine.pem()})).await.status, 409);
    assert_eq!(delete(&served, path).await.status, 204);
    assert_eq!(get(&served, path).await.error_code(), 404_101);
}

#[tokio::test]
async fn what_is_no_certificate_is_refused() {
    let served = serve().await;
    let arm = json!({"properties": {"certificate": base64_of(authority("arm").pem().as_bytes()), "isVerified": true}});
    let answer = put(&served, "/certificates/arm", arm).await;
    assert_eq!(answer.json()["isVerified"], true, "{}", answer.json());
    for body in [
        json!({}),
        json!({"certificate": ""}),
        json!({"certificate": "AAAA"}),
        json!({"certificate": 7}),
        json!({"revocationList": "AAAA"}),
    ] {
        assert_eq!(put(&served, "/certificates/c", body.clone()).await.error_code(), 400_004, "{body}");
    }
    let good = json!({"certificate": authority("x").pem()});
    for name in ["a%2Fb", "a%20b", "%00", &"x".repeat(65)] {
        assert_eq!(put(&served, &format!("/certificates/{name}"), good.clone()).await.status, 400, "{name}");
    }
    assert_eq!(
        put(&served, "/certificates/c", json!({"certificate": "x".repeat(5_000_000)})).await.error_code(),
        413_001
    );
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
