//! Golden tokens, one test for each trap, and properties.

use proptest::prelude::*;

use super::*;

const SECRET: &str = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";
const GOLDEN: &str = "SharedAccessSignature sr=hub.example.net%2Fdevices%2Fd1\
                      &sig=r7r8L5nucuh%2Ftn919hpop4oEcTxEweH4lNKZEC1jxYQ%3D&se=1700000000";
const NOW: u64 = 1_699_999_000;

fn key() -> Key {
    Key::from_base64(SECRET).unwrap()
}

fn other_key() -> Key {
    Key::from_bytes(&[7; 32]).unwrap()
}

fn verify(text: &str) -> Result<(), TokenError> {
    Token::parse(text)?.verify(&[&key()], NOW, 300)
}

#[test]
fn golden_token_verifies_and_is_what_we_sign() {
    verify(GOLDEN).unwrap();
    assert_eq!(sign("hub.example.net%2Fdevices%2Fd1", &key(), 1_700_000_000, None), GOLDEN);
}

#[test]
fn every_encoding_of_the_resource_verifies_and_covers() {
    for resource in [
        "hub.example.net%2Fdevices%2Fd(1)", // encodeURIComponent leaves brackets
        "hub.example.net%2Fdevices%2Fd%281%29",
        "hub.example.net%2fdevices%2fd%281%29", // lower-case hex
        "hub.example.net/devices/d(1)",         // not encoded at all
        "hub.example.net",                      // service scope
        "HUB.example.net%3A8883%2Fdevices%2Fd%281%29",
    ] {
        let text = sign(resource, &key(), 1_700_000_000, None);
        let token = Token::parse(&text).unwrap();
        token.verify(&[&key()], NOW, 0).unwrap();
        assert!(token.covers("hub.example.net", "d(1)", None), "{resource}");
    }
}

#[test]
fn pairs_come_in_any_order_and_unknown_ones_are_ignored() {
    let sig = "sig=r7r8L5nucuh%2Ftn919hpop4oEcTxEweH4lNKZEC1jxYQ%3D";
    verify(&format!("SharedAccessSignature {sig}&se=1700000000&x=y&sr=hub.example.net%2Fdevices%2Fd1")).unwrap();
    verify(&format!("sharedaccesssignature se=1700000000&sr=hub.example.net%2Fdevices%2Fd1&{sig}&x")).unwrap();
}

#[test]
fn signature_may_be_encoded_or_not_and_plus_is_not_a_space() {
    for sig in ["r7r8L5nucuh/tn919hpop4oEcTxEweH4lNKZEC1jxYQ=", "r7r8L5nucuh%2ftn919hpop4oEcTxEweH4lNKZEC1jxYQ%3d"] {
        verify(&format!("SharedAccessSignature sr=hub.example.net%2Fdevices%2Fd1&sig={sig}&se=1700000000")).unwrap();
    }
    let with_plus = (0_u64..)
        .map(|n| (n, BASE64.encode(signature("h", &(1_700_000_000 + n).to_string(), &key()))))
        .find(|(_, sig)| sig.contains('+'))
        .unwrap();
    verify(&format!("SharedAccessSignature sr=h&sig={}&se={}", with_plus.1, 1_700_000_000 + with_plus.0)).unwrap();
}

#[test]
fn either_key_verifies() {
    let token = Token::parse(GOLDEN).unwrap();
    token.verify(&[&key(), &other_key()], NOW, 0).unwrap();
    token.verify(&[&other_key(), &key()], NOW, 0).unwrap();
    assert_eq!(token.verify(&[&other_key(), &other_key()], NOW, 0), Err(TokenError::Signature));
    assert_eq!(token.verify(&[], NOW, 0), Err(TokenError::Signature));
}

#[test]
fn expiry_counts_with_skew_and_only_behind_a_good_signature() {
    let token = Token::parse(GOLDEN).unwrap();
    token.verify(&[&key()], 1_700_000_300, 300).unwrap();
    assert_eq!(token.verify(&[&key()], 1_700_000_301, 300), Err(TokenError::Expired));
    assert_eq!(token.verify(&[&other_key()], 1_700_000_301, 300), Err(TokenError::Signature));
    let endless = sign("h", &key(), u64::MAX, None);
    Token::parse(&endless).unwrap().verify(&[&key()], NOW, 300).unwrap();
}

#[test]
fn tampering_with_what_was_signed_is_noticed() {
    for (from, to) in [("d1&", "d2&"), ("%2Fd1", "%2fd1"), ("1700000000", "1800000000"), ("r7r8", "r7r9")] {
        assert_eq!(verify(&GOLDEN.replace(from, to)), Err(TokenError::Signature), "{from} -> {to}");
    }
    assert_eq!(verify(&GOLDEN.replace("se=17", "se=017")), Err(TokenError::Signature), "the text of se is signed");
}

#[test]
fn scope_goes_by_segment() {
    let covers = |resource: &str, device: &str, module: Option<&str>| {
        let text = sign(resource, &key(), 1_700_000_000, None);
        Token::parse(&text).unwrap().covers("hub.example.net", device, module)
    };
    assert!(covers("hub.example.net/devices/d1", "d1", None));
    assert!(covers("hub.example.net/devices/d1/", "d1", None));
    assert!(covers("hub.example.net/devices/d1", "d1", Some("m")), "a prefix covers what is below");
    assert!(covers("hub.example.net/devices/d1/modules/m", "d1", Some("m")));
    assert!(covers("hub.example.net/devices", "d1", None));
    assert!(covers("hub.example.net%2Fdevices%2Fd1%2F%3Fapi-version%3D2016-11-14", "d1", None));
    assert!(covers("hub.example.net/devices/a+b", "a+b", None), "plus is a letter of ids");
    assert!(!covers("hub.example.net/devices/d1", "d10", None), "a segment is whole");
    assert!(!covers("hub.example.net/devices/d1", "D1", None), "ids have case");
    assert!(!covers("hub.example.net/devices/d1/modules/m", "d1", None));
    assert!(!covers("hub.example.net/devices/d1/modules/m", "d1", Some("n")));
    assert!(!covers("hub.example.com/devices/d1", "d1", None));
    assert!(!covers("hub.example/devices/d1", "d1", None));
    assert!(!covers("", "d1", None));
    assert!(!covers("/devices/d1", "d1", None));
}

#[test]
fn policy_is_read_and_an_empty_one_is_none() {
    let text = sign("h", &key(), 1, Some("iothubowner"));
    assert!(text.ends_with("&skn=iothubowner"));
    assert_eq!(Token::parse(&text).unwrap().policy(), Some("iothubowner"));
    assert_eq!(Token::parse(&sign("h", &key(), 1, None)).unwrap().policy(), None);
    assert_eq!(Token::parse(&sign("h", &key(), 1, Some(""))).unwrap().policy(), None);
}

#[test]
fn malformed_tokens_are_told_apart() {
    for (text, error) in [
        ("", TokenError::Scheme),
        ("SharedAccessSignature", TokenError::Scheme),
        ("Bearer sr=h&sig=x&se=1", TokenError::Scheme),
        ("SharedAccessSignature sig=x&se=1", TokenError::Missing { field: "sr" }),
        ("SharedAccessSignature sr=h&se=1", TokenError::Missing { field: "sig" }),
        ("SharedAccessSignature sr=h&sig=x", TokenError::Missing { field: "se" }),
        ("SharedAccessSignature sr=h&sr=i&sig=x&se=1", TokenError::Duplicate { field: "sr" }),
        ("SharedAccessSignature sr=h&sig=AAAA&se=1", TokenError::Field { field: "sig" }),
        ("SharedAccessSignature sr=h&sig=%ff&se=1", TokenError::Field { field: "sig" }),
        ("SharedAccessSignature sr=%ff&sig=AAAA&se=1", TokenError::Field { field: "sr" }),
        ("SharedAccessSignature sr=h&sig=AAAA&se=%2B1", TokenError::Field { field: "se" }),
        ("SharedAccessSignature sr=h&sig=AAAA&se=+1", TokenError::Field { field: "se" }),
        ("SharedAccessSignature sr=h&sig=AAAA&se=99999999999999999999999", TokenError::Field { field: "se" }),
    ] {
        assert_eq!(Token::parse(text).unwrap_err(), error, "{text}");
    }
    let long = format!("SharedAccessSignature sr={}", "a".repeat(TOKEN_BYTES_MAX));
    assert_eq!(Token::parse(&long).unwrap_err(), TokenError::TooLong { max: TOKEN_BYTES_MAX });
}

#[test]
fn debug_shows_no_signature() {
    let text = format!("{:?}", Token::parse(GOLDEN).unwrap());
    assert!(!text.contains("r7r8") && !text.contains("175, 186"), "{text}");
}

proptest! {
    #[test]
    fn parse_never_panics(text in "(SharedAccessSignature )?\\PC{0,120}") {
        if let Ok(token) = Token::parse(&text) {
            prop_assert_eq!(token.verify(&[&key()], NOW, 0), Err(TokenError::Signature));
        }
    }

    #[test]
    fn what_is_signed_verifies_and_covers(
        device in "[A-Za-z0-9\\-.+%_#*?!(),:=@$';]{1,128}",
        module in proptest::option::of("[A-Za-z0-9\\-.+%_#*?!(),:=@$';]{1,128}"),
    ) {
        let path = match &module {
            Some(module) => format!("hub/devices/{device}/modules/{module}"),
            None => format!("hub/devices/{device}"),
        };
        let text = sign(&encode(&path), &key(), 1_700_000_000, None);
        let token = Token::parse(&text).unwrap();
        prop_assert_eq!(token.verify(&[&key()], NOW, 0), Ok(()));
        prop_assert_eq!(token.resource(), path.as_str());
        prop_assert!(token.covers("hub", &device, module.as_deref()));
        let longer = format!("{device}x");
        prop_assert!(!token.covers("hub", &longer, module.as_deref()));
    }
}
