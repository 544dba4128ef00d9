//! The tail of a request's topic: `?$rid={id}` and what else the request says about itself.
//! - Shape: `?name=value&name=value`; the order is free, unknown names are ignored, a name that counts stands once.
//! - Limits: a request id has 1 to [`REQUEST_ID_BYTES_MAX`] bytes and none of `$`, `/`, `?` and `=`, so that it stands in an answer's
//!   topic as it came and clients that split that topic find it again.

/// Longest request id; SDKs send a UUID or a number.
pub const REQUEST_ID_BYTES_MAX: usize = 256;

/// Pairs of one query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// Takes a topic's last segment.
    pub(super) fn new(segment: &'a str) -> Option<Self> {
        segment.strip_prefix('?').map(Self)
    }

    /// The value of `name`: `Some(None)` when it is not there, `None` when it is there twice or without value.
    #[expect(clippy::option_option, reason = "absent and unreadable are two answers")]
    pub(super) fn optional(self, name: &str) -> Option<Option<&'a str>> {
        let mut values = self.0.split('&').filter_map(|pair| {
            let rest = pair.strip_prefix(name)?;
            if rest.is_empty() { Some(None) } else { rest.strip_prefix('=').map(Some) }
        });
        match (values.next(), values.next()) {
            (None, _) => Some(None),
            (Some(Some(value)), None) => Some(Some(value)),
            _ => None,
        }
    }

    /// The id that the answer has to carry.
    pub(super) fn request_id(self) -> Option<&'a str> {
        self.optional("$rid")?.filter(|id| is_token(id, REQUEST_ID_BYTES_MAX))
    }
}

/// Whether `text` may stand in a topic's query as it is.
pub(super) fn is_token(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && !text.contains(['$', '/', '?', '=', '&', '+', '#'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_once() {
        let query = Query::new("?a=1&$rid=r-1&b&c=&d=1&d=2").unwrap();
        assert_eq!(query.request_id(), Some("r-1"));
        assert_eq!(query.optional("a"), Some(Some("1")));
        assert_eq!(query.optional("c"), Some(Some("")));
        assert_eq!(query.optional("x"), Some(None));
        assert_eq!((query.optional("b"), query.optional("d")), (None, None), "no value, or two");
        assert!(Query::new("$rid=1").is_none());
    }

    #[test]
    fn request_ids_have_bounds() {
        let longest = format!("?$rid={}", "x".repeat(REQUEST_ID_BYTES_MAX));
        assert!(Query::new(&longest).unwrap().request_id().is_some());
        for bad in
            [&format!("{longest}x"), "?$rid=", "?$rid", "?", "?$rid=a$b", "?$rid=a/b", "?$rid=a=b", "?$rid=a&$rid=b"]
        {
            assert_eq!(Query::new(bad).unwrap().request_id(), None, "{bad}");
        }
    }
}
