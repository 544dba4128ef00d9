//! Chains made with rcgen: good ones, and one for each thing that can be wrong with them.

#![expect(clippy::indexing_slicing, reason = "a test may panic")]

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, RevokedCertParams,
    SerialNumber, date_time_ymd,
};

use super::*;

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// 2026-01-01.
const NOW: u64 = 1_767_225_600;
const DAY: u64 = 86_400;

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params
}

fn authority_params(name: &str, path_length: Option<u8>) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(path_length.map_or(BasicConstraints::Unconstrained, BasicConstraints::Constrained));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn root(name: &str, path_length: Option<u8>) -> Issuer {
    Issuer::self_signed(authority_params(name, path_length), KeyPair::generate().unwrap()).unwrap()
}

fn below(parent: &Issuer, name: &str, path_length: Option<u8>) -> Issuer {
    Issuer::signed_by(authority_params(name, path_length), KeyPair::generate().unwrap(), parent).unwrap()
}

fn leaf_of(params: &CertificateParams, issuer: &Issuer) -> Vec<u8> {
    params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().to_vec()
}

fn leaf(name: &str, issuer: &Issuer) -> Vec<u8> {
    leaf_of(&named(name), issuer)
}

fn der(issuer: &Issuer) -> Vec<u8> {
    issuer.der().to_vec()
}

fn trusting(issuers: &[&Issuer]) -> Authorities {
    Authorities::new(issuers.iter().map(|issuer| der(issuer)).collect(), Vec::new()).unwrap()
}

fn revoking(issuer: &Issuer, serial: u64) -> Vec<u8> {
    let revoked = RevokedCertParams {
        serial_number: SerialNumber::from(serial),
        revocation_time: date_time_ymd(2025, 6, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2025, 6, 1),
        // Over at `NOW`: a list counts until another replaces it.
        next_update: date_time_ymd(2025, 7, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![revoked],
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).unwrap().der().to_vec()
}

fn numbered(name: &str, serial: u64) -> CertificateParams {
    with(name, |params| params.serial_number = Some(SerialNumber::from(serial)))
}

fn with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = named(name);
    change(&mut params);
    params
}

#[test]
fn a_chain_to_a_registered_root_is_good() {
    let root = root("root", None);
    let (upper, lower) = (below(&root, "upper", None), root_below_upper(&root));
    let chain = [leaf("d1", &lower.1), der(&lower.1), der(&lower.0)];
    let verified = trusting(&[&upper, &root]).verify(&chain, NOW).unwrap();
    assert_eq!(verified.names().collect::<Vec<_>>(), ["d1"]);
    assert_eq!(verified.intermediates.len(), 2);
    let thumbprint = certificate_info(&der(&root)).unwrap().sha256_thumbprint;
    assert_eq!(verified.authority.map(|byte| format!("{byte:02X}")).concat(), thumbprint);
    assert_eq!(verified.validity, Validity { not_before: NOW - 365 * DAY, not_after: NOW + 365 * DAY });
    // What lies between may come in any order, together with things that do not belong there.
    let shuffled = [chain[0].clone(), der(&upper), chain[2].clone(), der(&root), chain[1].clone()];
    assert_eq!(trusting(&[&root]).verify(&shuffled, NOW).unwrap(), verified);
    assert_eq!(trusting(&[&root]).verify(&chain[..2], NOW), Err(X509Error::UnknownIssuer), "a gap");
}

fn root_below_upper(root: &Issuer) -> (Issuer, Issuer) {
    let upper = below(root, "upper", None);
    let lower = below(&upper, "lower", None);
    (upper, lower)
}

#[test]
fn a_registered_intermediate_ends_the_chain() {
    let root = root("root", None);
    let middle = below(&root, "middle", None);
    let chain = [leaf("d1", &middle), der(&middle)];
    let verified = trusting(&[&root, &middle]).verify(&chain, NOW).unwrap();
    assert!(verified.intermediates.is_empty(), "the closest authority is found first");
    trusting(&[&middle]).verify(&chain[..1], NOW).unwrap();
    assert_eq!(trusting(&[&root]).verify(&chain[..1], NOW), Err(X509Error::UnknownIssuer));
}

#[test]
fn other_and_forged_authorities_are_refused() {
    let (own, other, forged) = (root("root", None), root("other", None), root("root", None));
    let authorities = trusting(&[&own]);
    assert_eq!(authorities.verify(&[leaf("d1", &other), der(&other)], NOW), Err(X509Error::UnknownIssuer));
    assert_eq!(authorities.verify(&[leaf("d1", &forged), der(&forged)], NOW), Err(X509Error::Signature));
    assert_eq!(Authorities::default().verify(&[leaf("d1", &own)], NOW), Err(X509Error::UnknownIssuer));
    let none: [Vec<u8>; 0] = [];
    assert_eq!(authorities.verify(&none, NOW), Err(X509Error::Missing));
    let many = vec![leaf("d1", &own); CHAIN_CERTIFICATES_MAX + 1];
    assert_eq!(authorities.verify(&many, NOW), Err(X509Error::TooMany));
    // Two registered authorities of one name, as in a roll-over of the root.
    let both = trusting(&[&own, &forged]);
    both.verify(&[leaf("d1", &own)], NOW).unwrap();
    both.verify(&[leaf("d1", &forged)], NOW).unwrap();
}

#[test]
fn leaf_intermediate_and_root_have_to_be_in_time() {
    let root = root("root", None);
    let authorities = trusting(&[&root]);
    let good = [leaf("d1", &root)];
    for (now, expected) in [
        (NOW - 366 * DAY, Err(X509Error::NotYetValid)),
        (NOW - 365 * DAY, Ok(())),
        (NOW + 365 * DAY, Ok(())),
        (NOW + 366 * DAY, Err(X509Error::Expired)),
    ] {
        assert_eq!(authorities.verify(&good, now).map(drop), expected, "{now}");
        assert_eq!(leaf_validity(&good[0]).unwrap().check(now), expected);
    }
    let long = with("d1", |params| params.not_after = date_time_ymd(2040, 1, 1));
    assert_eq!(
        authorities.verify(&[leaf_of(&long, &root)], NOW + 366 * DAY),
        Err(X509Error::Expired),
        "the root's time"
    );
    let mut brief = authority_params("brief", None);
    brief.not_after = date_time_ymd(2025, 6, 1);
    let brief = Issuer::signed_by(brief, KeyPair::generate().unwrap(), &root).unwrap();
    assert_eq!(authorities.verify(&[leaf("d1", &brief), der(&brief)], NOW), Err(X509Error::Expired));
}

#[test]
fn path_lengths_hold_also_for_the_registered_authority() {
    let root = root("root", Some(0));
    let middle = below(&root, "middle", None);
    let chain = [leaf("d1", &middle), der(&middle)];
    assert_eq!(trusting(&[&root]).verify(&chain, NOW), Err(X509Error::Constraint));
    trusting(&[&root]).verify(&[leaf("d1", &root)], NOW).unwrap();

    let root = self::root("root", Some(1));
    let middle = below(&root, "middle", Some(0));
    let lower = below(&middle, "lower", None);
    trusting(&[&root]).verify(&[leaf("d1", &middle), der(&middle)], NOW).unwrap();
    let chain = [leaf("d1", &lower), der(&lower), der(&middle)];
    assert!(trusting(&[&root]).verify(&chain, NOW).is_err());
}

#[test]
fn who_is_no_authority_cannot_issue() {
    let root = root("root", None);
    // A device that issues certificates for other devices with its own.
    let device = Issuer::signed_by(named("d1"), KeyPair::generate().unwrap(), &root).unwrap();
    let chain = [leaf("d2", &device), der(&device)];
    assert_eq!(trusting(&[&root]).verify(&chain, NOW), Err(X509Error::Constraint));
    assert_eq!(Authorities::new(vec![der(&device)], Vec::new()).unwrap_err(), X509Error::NotAuthority);
    // An authority by its constraints, but its key is only for signing lists.
    let mut params = authority_params("lists", None);
    params.key_usages = vec![KeyUsagePurpose::CrlSign];
    let lists = Issuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
    let chain = [leaf("d2", &lists), der(&lists)];
    assert_eq!(trusting(&[&root]).verify(&chain, NOW), Err(X509Error::Constraint));
    // The authority itself is no device.
    assert_eq!(trusting(&[&root]).verify(&[der(&root)], NOW), Err(X509Error::Purpose));
}

#[test]
fn certificates_for_servers_only_are_refused() {
    let root = root("root", None);
    let check = |purposes: Vec<ExtendedKeyUsagePurpose>| {
        let params = with("d1", |params| params.extended_key_usages = purposes);
        trusting(&[&root]).verify(&[leaf_of(&params, &root)], NOW).map(drop)
    };
    assert_eq!(check(vec![ExtendedKeyUsagePurpose::ServerAuth]), Err(X509Error::Purpose));
    assert_eq!(check(vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]), Ok(()));
    assert_eq!(check(Vec::new()), Ok(()));
}

#[test]
fn revoked_leaves_and_intermediates_are_refused() {
    let root = root("root", None);
    let mut params = authority_params("middle", None);
    params.serial_number = Some(SerialNumber::from(77));
    let middle = Issuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
    let chain = |serial| [leaf_of(&numbered("d1", serial), &middle), der(&middle)];
    let trusting = |certificates: &[&Issuer], lists| {
        Authorities::new(certificates.iter().map(|issuer| der(issuer)).collect(), lists).unwrap()
    };
    let leaf_revoked = trusting(&[&root], vec![revoking(&middle, 5)]);
    assert_eq!(leaf_revoked.verify(&chain(5), NOW), Err(X509Error::Revoked));
    leaf_revoked.verify(&chain(6), NOW).unwrap();
    let middle_revoked = trusting(&[&root], vec![revoking(&root, 77)]);
    assert_eq!(middle_revoked.verify(&chain(6), NOW), Err(X509Error::Revoked));
    // Also when the intermediate was registered itself, so that webpki would not look at it again.
    let both = trusting(&[&root, &middle], vec![revoking(&root, 77)]);
    assert_eq!(both.verify(&chain(6), NOW), Err(X509Error::Revoked));
    // A list that somebody else made in the issuer's name revokes nothing, and lets nobody in either.
    let forged = self::root("root", None);
    let forged = trusting(&[&root], vec![revoking(&forged, 5)]);
    assert_eq!(forged.verify(&[leaf_of(&numbered("d1", 9), &root)], NOW), Err(X509Error::RevocationList));
}

#[test]
fn names_are_common_name_and_dns_names() {
    let root = root("root", None);
    let mut params = CertificateParams::new(vec!["d1".to_owned(), "d1.example".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "d1/m1");
    let verified = trusting(&[&root]).verify(&[leaf_of(&params, &root)], NOW).unwrap();
    assert_eq!(verified.names().collect::<Vec<_>>(), ["d1/m1", "d1", "d1.example"]);

    params.subject_alt_names.clear();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, rcgen::DnValue::PrintableString("d1".try_into().unwrap()));
    let verified = trusting(&[&root]).verify(&[leaf_of(&params, &root)], NOW).unwrap();
    assert_eq!(verified.names().collect::<Vec<_>>(), ["d1"]);

    params.distinguished_name = DistinguishedName::new();
    let verified = trusting(&[&root]).verify(&[leaf_of(&params, &root)], NOW).unwrap();
    assert_eq!(verified.names().count(), 0);
}

#[test]
fn keys_of_all_kinds_sign() {
    for algorithm in [&PKCS_ED25519, &PKCS_ECDSA_P384_SHA384] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let root = Issuer::self_signed(authority_params("root", None), key).unwrap();
        trusting(&[&root]).verify(&[leaf("d1", &root)], NOW).unwrap();
        verify_possession(&der(&root), &leaf("code", &root), "code", NOW).unwrap();
    }
}

#[test]
fn possession_takes_the_code_and_the_key() {
    let (root, forged, other) = (root("root", None), root("root", None), root("other", None));
    let check = |proof: &[u8], code: &str| verify_possession(&der(&root), proof, code, NOW);
    assert_eq!(check(&leaf("C0DE", &root), "C0DE"), Ok(()));
    assert_eq!(check(&leaf("C0DE", &root), "c0de"), Err(X509Error::Name));
    assert_eq!(check(&leaf("", &root), ""), Err(X509Error::Name));
    assert_eq!(check(&leaf("C0DE", &forged), "C0DE"), Err(X509Error::Signature));
    assert_eq!(check(&leaf("C0DE", &other), "C0DE"), Err(X509Error::UnknownIssuer));
    let old = with("C0DE", |params| params.not_after = date_time_ymd(2025, 2, 1));
    assert_eq!(check(&leaf_of(&old, &root), "C0DE"), Err(X509Error::Expired));
    let device = Issuer::signed_by(named("d1"), KeyPair::generate().unwrap(), &root).unwrap();
    let proof = leaf("C0DE", &device);
    assert_eq!(verify_possession(&der(&device), &proof, "C0DE", NOW), Err(X509Error::NotAuthority));
    // One bit of what is signed.
    let mut proof = leaf("C0DE", &root);
    let at = proof.windows(4).position(|window| window == b"C0DE").unwrap();
    proof[at + 3] ^= 1;
    assert_eq!(check(&proof, "C0DD"), Err(X509Error::Signature));
}

#[test]
fn a_certificate_says_what_stands_in_it() {
    let root = root("root", Some(3));
    let mut params = numbered("d1", 0x0102_abcd);
    params.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
    let bytes = leaf_of(&params, &root);
    let info = certificate_info(&bytes).unwrap();
    assert_eq!(info.subject, "O=Example\\, Inc.,CN=d1");
    assert_eq!((info.issuer.as_str(), info.serial_number.as_str(), info.version), ("CN=root", "0102ABCD", 3));
    assert_eq!((info.sha1_thumbprint.len(), info.sha256_thumbprint.len()), (40, 64));
    assert_eq!((info.common_name.as_deref(), info.is_authority, info.path_length), (Some("d1"), false, None));
    let info = certificate_info(&der(&root)).unwrap();
    assert_eq!((info.is_authority, info.path_length), (true, Some(3)));
}

#[test]
fn text_of_all_forms_gives_der() {
    use base64::Engine as _;
    let root = root("root", None);
    let (bytes, pem) = (der(&root), root.pem());
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    for text in [pem.as_bytes(), &bytes, base64(&bytes).as_bytes(), base64(pem.as_bytes()).as_bytes()] {
        assert_eq!(certificates_from_text(text).unwrap(), std::slice::from_ref(&bytes));
    }
    assert_eq!(certificates_from_text(format!("{pem}\n{pem}").as_bytes()).unwrap().len(), 2);
    assert_eq!(certificates_from_text(pem.repeat(CHAIN_CERTIFICATES_MAX + 1).as_bytes()), Err(X509Error::TooMany));
    assert_eq!(certificates_from_text(b""), Err(X509Error::Missing));
    assert_eq!(certificates_from_text(b"no base64!"), Err(X509Error::Malformed));
    assert_eq!(revocation_list_from_text(pem.as_bytes()), Err(X509Error::Missing));
    let list = revoking(&root, 1);
    assert_eq!(revocation_list_from_text(base64(&list).as_bytes()).unwrap(), list);
}

#[test]
fn damaged_certificates_never_panic_and_never_pass() {
    let root = root("root", None);
    let authorities = Authorities::new(vec![der(&root)], vec![revoking(&root, 5)]).unwrap();
    let good = leaf_of(&CertificateParams::new(vec!["d1".to_owned()]).unwrap(), &root);
    authorities.verify(std::slice::from_ref(&good), NOW).unwrap();
    for at in 0..good.len() {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            assert!(authorities.verify(std::slice::from_ref(&bad), NOW).is_err(), "byte {at} changed by {flip:#x}");
            drop(certificate_info(&bad));
            assert!(verify_possession(&der(&root), &bad, "d1", NOW).is_err());
            drop(Authorities::new(vec![bad], Vec::new()));
        }
        assert_eq!(certificate_info(&good[..at]), Err(X509Error::Malformed));
    }
    assert_eq!(leaf_validity(&vec![0x30; CERTIFICATE_BYTES_MAX + 1]), Err(X509Error::Malformed));
    let list = revoking(&root, 5);
    for at in 0..list.len() {
        let mut bad = list.clone();
        bad[at] ^= 0x21;
        drop(Authorities::new(Vec::new(), vec![bad]));
    }
}

proptest::proptest! {
    #[test]
    fn bytes_of_any_kind_do_not_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600)) {
        drop(certificate_info(&bytes));
        drop(certificates_from_text(&bytes));
        drop(revocation_list_from_text(&bytes));
        drop(Authorities::new(vec![bytes.clone()], vec![bytes]));
    }
}
