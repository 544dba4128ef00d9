//! Properties of a message as HTTP carries them -> a property bag. Pure.
//! - Source: Azure IoT Hub: `iothub-app-{name}` for the application's, fixed names for the system's; the same names inside of batches.
//! - Limits: [`PROPERTIES_MAX`]. Names of headers come in lower case, whatever the device wrote, because the HTTP library hands them on so;
//!   inside of batches they keep their case.
//! - Errors: a value that is not UTF-8 and a property without a name are refused.

use axum::http::HeaderMap;
use millrace_model::limits::PROPERTIES_MAX;
use millrace_model::property::SystemProperty;
use millrace_model::{HubError, bag};

const APPLICATION: &str = "iothub-app-";

/// The bag of a single message.
pub(super) fn from_headers(headers: &HeaderMap) -> Result<Vec<u8>, HubError> {
    let mut properties = Vec::new();
    for (name, value) in headers {
        if is_property(name.as_str()) {
            let value = std::str::from_utf8(value.as_bytes())
                .map_err(|_| HubError::ARGUMENT.because("the value of a property is not UTF-8"))?;
            properties.push((name.as_str(), value));
        }
    }
    from_pairs(properties)
}

/// The bag of one message of a batch, or of headers.
pub(super) fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Vec<u8>, HubError> {
    let (mut bag, mut count) = (Vec::new(), 0_usize);
    for (name, value) in pairs {
        let key = match system(name) {
            Some(property) => property.bag_key(),
            None => match application(name) {
                Some("") => return Err(HubError::ARGUMENT.because("a property has no name")),
                Some(name) => name,
                None => continue,
            },
        };
        count += 1;
        if count > PROPERTIES_MAX {
            return Err(HubError::TOO_LARGE.because("the message has too many properties"));
        }
        bag::push(&mut bag, key, value);
    }
    Ok(bag)
}

fn is_property(name: &str) -> bool {
    application(name).is_some() || system(name).is_some()
}

fn application(name: &str) -> Option<&str> {
    let (prefix, rest) = name.split_at_checked(APPLICATION.len())?;
    prefix.eq_ignore_ascii_case(APPLICATION).then_some(rest)
}

fn system(name: &str) -> Option<SystemProperty> {
    const NAMES: [(&str, SystemProperty); 10] = [
        ("dt-subject", SystemProperty::DtSubject),
        ("iothub-contentencoding", SystemProperty::ContentEncoding),
        ("iothub-contenttype", SystemProperty::ContentType),
        ("iothub-correlationid", SystemProperty::CorrelationId),
        ("iothub-creation-time-utc", SystemProperty::CreationTimeUtc),
        ("iothub-expiry", SystemProperty::Expiry),
        ("iothub-interface-id", SystemProperty::InterfaceId),
        ("iothub-messageid", SystemProperty::MessageId),
        ("iothub-to", SystemProperty::To),
        ("iothub-userid", SystemProperty::UserId),
    ];
    NAMES.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, property)| property)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn check(pairs: &[(&str, &str)], expected: &str) {
        let bag = from_pairs(pairs.iter().copied()).unwrap();
        assert_eq!(std::str::from_utf8(&bag).unwrap(), expected);
    }

    #[test]
    fn names_become_keys_of_the_bag() {
        check(&[], "");
        check(&[("iothub-app-Level", "a b&c=d")], "Level=a%20b%26c%3Dd");
        check(
            &[("IoTHub-MessageId", "m1"), ("iothub-contenttype", "application/json"), ("dt-subject", "c1")],
            "%24.mid=m1&%24.ct=application%2Fjson&%24.sub=c1",
        );
        // What the hub does not know is no property.
        check(&[("iothub-operation", "d2c"), ("iothub-ack", "full"), ("user-agent", "x")], "");
        // An application cannot state what only the system may.
        check(&[("iothub-app-$.cdid", "other")], "%24.cdid=other");
    }

    #[test]
    fn bad_properties_are_refused() {
        assert_eq!(from_pairs([("iothub-app-", "x")]).unwrap_err().code, 400_004);
        let many: Vec<String> = (0..=PROPERTIES_MAX).map(|number| format!("iothub-app-{number}")).collect();
        assert_eq!(from_pairs(many.iter().map(|name| (name.as_str(), ""))).unwrap_err().status, 413);
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("iothub-app-a"), HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(from_headers(&headers).unwrap_err().status, 400);
        headers.insert(HeaderName::from_static("iothub-app-a"), HeaderValue::from_bytes("é".as_bytes()).unwrap());
        assert_eq!(from_headers(&headers).unwrap(), b"a=%C3%A9");
    }
}
