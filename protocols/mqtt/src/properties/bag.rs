//! MQTT 5 properties -> the hub's property bag.
//! - Invariants: user properties come last and keep their order, so that for equal keys the user's value counts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millrace_model::{SystemProperty, bag};

use super::{Properties, Value, id};

/// The application property that carries the response topic of a message.
pub const RESPONSE_TOPIC_NAME: &str = "mqtt-response-topic";

pub(super) fn write(properties: Properties<'_>, out: &mut Vec<u8>) {
    for (id, value) in properties.iter() {
        match (id, value) {
            (id::PAYLOAD_FORMAT_INDICATOR, Value::Byte(1)) => {
                bag::push(out, SystemProperty::ContentEncoding.bag_key(), "utf-8");
            }
            (id::CONTENT_TYPE, Value::Text(content_type)) => {
                bag::push(out, SystemProperty::ContentType.bag_key(), content_type);
            }
            (id::CORRELATION_DATA, Value::Binary(data)) => {
                let key = SystemProperty::CorrelationId.bag_key();
                match std::str::from_utf8(data) {
                    Ok(text) => bag::push(out, key, text),
                    Err(_) => bag::push(out, key, &STANDARD.encode(data)),
                }
            }
            (id::RESPONSE_TOPIC, Value::Text(topic)) => bag::push(out, RESPONSE_TOPIC_NAME, topic),
            _ => {}
        }
    }
    //= [MQTT-3.3.2-18]
    for (_, value) in properties.iter() {
        if let Value::Pair(name, value) = value
            && !name.is_empty()
        {
            bag::push(out, name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::Reader;

    fn check(bytes: &[u8], expected: &str) {
        let count = u8::try_from(bytes.len()).unwrap();
        let whole: Vec<u8> = [&[count], bytes].concat();
        let properties = Properties::take(&mut Reader::new(&whole), id::IN_CLIENT_PUBLISH, 16).unwrap();
        let mut out = Vec::new();
        write(properties, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn each_property_finds_its_place() {
        check(b"", "");
        check(b"\x01\x00", "");
        check(b"\x01\x01", "%24.ce=utf-8");
        check(b"\x02\x00\x00\x00\x09", "");
        check(b"\x03\x00\x03a/b", "%24.ct=a%2Fb");
        check(b"\x09\x00\x02c1", "%24.cid=c1");
        check(b"\x09\x00\x02\xff\x00", "%24.cid=%2FwA%3D");
        check(b"\x08\x00\x03r/t", "mqtt-response-topic=r%2Ft");
        check(b"\x26\x00\x01k\x00\x01v\x26\x00\x00\x00\x01v", "k=v");
    }

    //= test
    //= [MQTT-3.3.2-18]
    #[test]
    fn user_properties_keep_their_order_and_win() {
        check(
            b"\x26\x00\x04$.ce\x00\x04gzip\x26\x00\x01b\x00\x011\x26\x00\x01a\x00\x012\x01\x01",
            "%24.ce=utf-8&%24.ce=gzip&b=1&a=2",
        );
    }
}
