//! A message's properties as each door sends them: the tail of an MQTT topic, and HTTP headers.
//! - Source: Azure IoT Hub, `devices/{id}/messages/devicebound/{bag}` and `GET /devices/{id}/messages/devicebound`. SDKs split the
//!   topic at `/`, `&` and `=` before they decode, and know system properties only by the name `%24.`.
//! - Invariants: keys and values in a bag hold no raw `/`, `&`, `=`, `?`, `+` or `#`; headers hold visible ASCII and inner blanks only.

use millrace_model::{SystemProperty, bag};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{ACK_PROPERTY, Message};
use crate::queue::Delivery;
use crate::time;

/// What a header's value cannot carry, and the sign that says so.
const VALUE: &AsciiSet = &CONTROLS.add(b'%').add(b' ');

/// What a header's name cannot carry (RFC 9110 section 5.6.2), and the sign that says so.
const NAME: &AsciiSet = &CONTROLS
    .add(b'%')
    .add(b' ')
    .add(b'"')
    .add(b'(')
    .add(b')')
    .add(b',')
    .add(b'/')
    .add(b':')
    .add(b';')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'{')
    .add(b'}');

impl Message {
    /// What follows `devices/{device_id}/messages/devicebound/` in the topic.
    #[must_use]
    pub fn mqtt_bag(&self, device_id: &str) -> String {
        let mut bag = Vec::with_capacity(256);
        let expiry = self.expiry().map(time::to_text);
        let system = [
            (SystemProperty::MessageId, Some(&*self.message_id)),
            (SystemProperty::To, Some(&*address(device_id))),
            (SystemProperty::CorrelationId, self.correlation_id.as_deref()),
            (SystemProperty::UserId, self.user_id.as_deref()),
            (SystemProperty::ContentType, self.content_type.as_deref()),
            (SystemProperty::ContentEncoding, self.content_encoding.as_deref()),
            (SystemProperty::Expiry, expiry.as_deref()),
        ];
        for (property, value) in system {
            if let Some(value) = value {
                bag::push(&mut bag, property.bag_key(), value);
            }
        }
        bag::push(&mut bag, ACK_PROPERTY, self.ack.as_str());
        for (name, value) in self.properties() {
            bag::push(&mut bag, name, value);
        }
        String::from_utf8(bag).unwrap_or_default()
    }

    /// The headers of the answer that carries it. An application property that a header cannot carry as it is comes
    /// percent-encoded.
    #[must_use]
    pub fn http_headers(&self, device_id: &str, delivery: &Delivery) -> Vec<(String, String)> {
        let system = [
            ("etag", Some(format!("\"{}\"", delivery.token))),
            ("iothub-messageid", Some(value(&self.message_id))),
            ("iothub-sequencenumber", Some(delivery.sequence.to_string())),
            ("iothub-enqueuedtime", Some(time::to_text(delivery.enqueued))),
            ("iothub-to", Some(value(&address(device_id)))),
            ("iothub-expiry", Some(time::to_text(delivery.expiry))),
            ("iothub-correlationid", self.correlation_id.as_deref().map(value)),
            ("iothub-userid", self.user_id.as_deref().map(value)),
            ("iothub-contenttype", self.content_type.as_deref().map(value)),
            ("iothub-contentencoding", self.content_encoding.as_deref().map(value)),
            (ACK_PROPERTY, Some(self.ack.as_str().to_owned())),
            ("iothub-deliverycount", Some(delivery.delivery_count.to_string())),
        ];
        let system = system.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let free = self.properties().map(|(name, text)| (format!("iothub-app-{}", header_name(name)), value(text)));
        system.chain(free).collect()
    }
}

fn address(device_id: &str) -> String {
    format!("/devices/{device_id}/messages/deviceBound")
}

/// As it is where a header can carry it, else percent-encoded as a whole.
fn value(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.trim() == text;
    if is_plain { text.to_owned() } else { utf8_percent_encode(text, VALUE).to_string() }
}

fn header_name(text: &str) -> String {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.bytes().all(is_token) { text.to_owned() } else { utf8_percent_encode(text, NAME).to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::{Ack, Draft};
    use super::*;
    use crate::queue::LockToken;
    use millrace_model::{PropertyName, Timestamp};

    fn message() -> Message {
        let draft = Draft {
            message_id: Some("m/1".into()),
            correlation_id: Some("c 1".into()),
            content_type: Some("application/json".into()),
            expiry: Some(Timestamp(1_893_456_000_000)),
            ack: Ack::Full,
            properties: vec![("a b".into(), "c/d=é".into()), ("k".into(), " +&#?".into())],
            ..Draft::default()
        };
        Message::new(draft, 0).unwrap()
    }

    #[test]
    fn the_topic_is_as_sdks_take_it_apart() {
        let expected = "%24.mid=m%2F1&%24.to=%2Fdevices%2Fd%201%2Fmessages%2FdeviceBound&%24.cid=c%201&%24.ct=application%2Fjson\
                        &%24.exp=2030-01-01T00%3A00%3A00Z&iothub-ack=full&a%20b=c%2Fd%3D%C3%A9&k=%20%2B%26%23%3F";
        let bag = message().mqtt_bag("d 1");
        assert_eq!(bag, expected);
        let back = bag::properties(bag.as_bytes());
        let named = |wanted: &str| {
            let of_name = |name: &PropertyName<'_>| matches!(name, PropertyName::Application(name) if name == wanted);
            back.iter().find(|property| of_name(&property.name)).and_then(|property| property.value.as_deref())
        };
        assert_eq!((named("a b"), named("k")), (Some("c/d=é"), Some(" +&#?")));
        assert_eq!(bag::system(bag.as_bytes(), SystemProperty::MessageId).as_deref(), Some("m/1"));
    }

    #[test]
    fn headers_carry_the_same() {
        let delivery = Delivery {
            sequence: 7,
            token: LockToken(0x1f),
            enqueued: Timestamp(1_714_557_600_000),
            expiry: Timestamp(1_714_561_200_500),
            delivery_count: 2,
            bytes: 0,
        };
        let headers = message().http_headers("d1", &delivery);
        let expected = [
            ("etag", "\"000000000000001f\""),
            ("iothub-messageid", "m/1"),
            ("iothub-sequencenumber", "7"),
            ("iothub-enqueuedtime", "2024-05-01T10:00:00Z"),
            ("iothub-to", "/devices/d1/messages/deviceBound"),
            ("iothub-expiry", "2024-05-01T11:00:00.5Z"),
            ("iothub-correlationid", "c 1"),
            ("iothub-contenttype", "application/json"),
            ("iothub-ack", "full"),
            ("iothub-deliverycount", "2"),
            ("iothub-app-a%20b", "c/d=%C3%A9"),
            ("iothub-app-k", "%20+&#?"),
        ];
        assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
