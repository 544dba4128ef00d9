//! Topic aliases of one connection: small numbers that stand for topics.
//! - Source: MQTT 5.0 section 3.3.2.3.4.
//! - Limits: at most `maximum` aliases, at most `bytes_max` bytes in all of their topics.

use crate::error::SessionError;

/// The topics a client gave numbers to; position 0 is alias 1.
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    topics: Vec<Option<Box<str>>>,
    bytes: usize,
}

impl Aliases {
    /// The topic behind `alias`, after setting it where `topic` is not empty. The caller has checked the alias against the maximum.
    pub(crate) fn resolve(&mut self, alias: u16, topic: &str, bytes_max: usize) -> Result<&str, SessionError> {
        //= [MQTT-3.3.2-7]
        //= [MQTT-3.3.2-11]
        let position = usize::from(alias).checked_sub(1).ok_or(SessionError::TopicAliasInvalid(alias))?;
        if !topic.is_empty() {
            self.set(position, topic, bytes_max)?;
        }
        self.topics.get(position).and_then(Option::as_deref).ok_or(SessionError::TopicAliasUnknown(alias))
    }

    fn set(&mut self, position: usize, topic: &str, bytes_max: usize) -> Result<(), SessionError> {
        if self.topics.len() <= position {
            self.topics.resize(position.saturating_add(1), None);
        }
        let Some(place) = self.topics.get_mut(position) else {
            return Ok(());
        };
        if place.as_deref() == Some(topic) {
            return Ok(());
        }
        let before = place.as_deref().map_or(0, str::len);
        let bytes = self.bytes.saturating_sub(before).saturating_add(topic.len());
        if bytes > bytes_max {
            return Err(SessionError::TopicAliasBytes);
        }
        self.bytes = bytes;
        *place = Some(topic.into());
        Ok(())
    }
}
