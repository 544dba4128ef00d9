//! A message as it is stored: everything but its place in the queue.
//! - Shape: format u8 = 1 | length of the header u32, little endian | header, JSON | body
//! - Invariants: what was good enough to be stored is read back, whatever the limits are by then.
//! - Errors: [`CommandError::Corrupt`]. Never panics.

use bytes::{BufMut as _, Bytes};

use super::Message;
use crate::error::CommandError;

const FORMAT: u8 = 1;

const CORRUPT: CommandError = CommandError::Corrupt { what: "command" };

impl Message {
    /// The form that is stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Serialising text and numbers into memory does not fail; were it to, the empty header is refused when it is read.
        let header = serde_json::to_vec(self).unwrap_or_default();
        let mut document = Vec::with_capacity(header.len().saturating_add(self.body.len()).saturating_add(5));
        document.put_u8(FORMAT);
        document.put_u32_le(u32::try_from(header.len()).unwrap_or_default());
        document.extend_from_slice(&header);
        document.extend_from_slice(&self.body);
        document
    }

    /// Reads what [`Self::encode`] gave; the body is not copied.
    ///
    /// # Errors
    /// When it is not of that form, or of a newer one.
    pub fn decode(document: Bytes) -> Result<Self, CommandError> {
        let (&[FORMAT, length @ ..], rest) = document.split_first_chunk::<5>().ok_or(CORRUPT)? else {
            return Err(CORRUPT);
        };
        let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_| CORRUPT)?;
        let header = rest.get(..length).ok_or(CORRUPT)?;
        let mut message: Self = serde_json::from_slice(header).map_err(|_| CORRUPT)?;
        message.body = document.slice(length.saturating_add(5)..);
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Ack, Draft};
    use super::*;
    use millrace_model::Timestamp;
    use proptest::prelude::*;

    fn drafts() -> impl Strategy<Value = Draft> {
        let text = || proptest::option::of("[a-zé\"\\\\&=/%+ ]{0,20}");
        let ack = prop_oneof![Just(Ack::None), Just(Ack::Positive), Just(Ack::Negative), Just(Ack::Full)];
        let properties = proptest::collection::vec(("[a-zé&=/ %-]{1,9}", "[ -~é☃]{0,9}"), 0..5);
        let body = proptest::collection::vec(any::<u8>(), 0..100);
        (text(), text(), text(), text(), text(), proptest::option::of(any::<i64>()), ack, properties, body).prop_map(
            |(message_id, correlation_id, user_id, content_type, content_encoding, expiry, ack, properties, body)| {
                Draft {
                    message_id,
                    correlation_id,
                    user_id,
                    content_type,
                    content_encoding,
                    expiry: expiry.map(Timestamp),
                    ack,
                    properties,
                    body: body.into(),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_stored_is_read_back(draft in drafts()) {
            let message = Message::new(draft, 1).unwrap();
            let document = message.encode();
            prop_assert_eq!(Message::decode(document.clone().into()), Ok(message));
            for end in 0..document.len().min(5) {
                prop_assert!(Message::decode(document[..end].to_vec().into()).is_err());
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64), length in 0_u32..80) {
            let framed = [&[FORMAT][..], &length.to_le_bytes(), &bytes].concat();
            prop_assert_eq!(Message::decode(framed.into()), Err(CORRUPT));
            drop(Message::decode(bytes.into()));
        }
    }

    #[test]
    fn the_stored_form_stays_readable() {
        let document = b"\x01\x1b\0\0\0{\"id\":\"m\",\"ack\":\"positive\"}hello";
        let message = Message::decode(Bytes::from_static(document)).unwrap();
        assert_eq!((message.message_id(), message.ack(), &message.body()[..]), ("m", Ack::Positive, &b"hello"[..]));
        assert_eq!(message.encode(), document);
    }
}
