//! Who sent a message, as stamped on it by the hub: never taken from the message itself.
//! - Shape: five fields of UTF-8 joined by line feeds: device id, module id, generation id, authentication method, model id.
//! - Limits: no field holds a line feed ([`Identity::new`] refuses it), so the form is unambiguous.

/// What `iothub-connection-auth-method` says of a token signed with a policy's, a device's or a module's key. They are most of an
/// identity's text and nearly always one of these, so they are encoded as their number here.
pub const SAS_METHODS: [&str; 3] = [
    r#"{"scope":"hub","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}"#,
    r#"{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}"#,
    r#"{"scope":"module","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}"#,
];

/// The same of a device's or a module's certificate.
pub const X509_METHODS: [&str; 2] = [
    r#"{"scope":"device","type":"x509","issuer":"iothub","acceptingIpFilterRule":null}"#,
    r#"{"scope":"module","type":"x509","issuer":"iothub","acceptingIpFilterRule":null}"#,
];

/// The numbers as text; a method that is none of these is JSON, and begins with a brace.
const CODES: [&str; 5] = ["0", "1", "2", "3", "4"];

/// All methods that have a number.
fn known() -> impl Iterator<Item = (&'static str, &'static str)> {
    SAS_METHODS.into_iter().chain(X509_METHODS).zip(CODES)
}

fn encoded(method: &str) -> &str {
    known().find(|(known, _)| *known == method).map_or(method, |(_, code)| code)
}

fn decoded(code: &str) -> &str {
    known().find(|(_, known)| *known == code).map_or(code, |(method, _)| method)
}

/// One authenticated identity, encoded once at CONNECT and copied into each batch that it takes part in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity(Box<[u8]>);

/// A borrowed, decoded identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct IdentityRef<'a> {
    /// Device id.
    pub device_id: &'a str,
    /// Module id; `None` for the device itself.
    pub module_id: Option<&'a str>,
    /// Changes when the identity is deleted and created again (`iothub-connection-auth-generation-id`).
    pub generation_id: &'a str,
    /// JSON text of `iothub-connection-auth-method`.
    pub auth_method: &'a str,
    /// DTDL model id announced on connect (`dt-dataschema`).
    pub model_id: Option<&'a str>,
}

impl Identity {
    /// Encodes an identity; `None` when a field holds a line feed.
    #[must_use]
    pub fn new(fields: &IdentityRef<'_>) -> Option<Self> {
        let all = [
            fields.device_id,
            fields.module_id.unwrap_or_default(),
            fields.generation_id,
            encoded(fields.auth_method),
            fields.model_id.unwrap_or_default(),
        ];
        if all.iter().any(|field| field.contains('\n')) {
            return None;
        }
        Some(Self(all.join("\n").into_bytes().into_boxed_slice()))
    }

    /// The encoded form.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The decoded form.
    #[must_use]
    pub fn as_ref(&self) -> IdentityRef<'_> {
        IdentityRef::decode(&self.0).unwrap_or_default()
    }
}

impl<'a> IdentityRef<'a> {
    /// Decodes what [`Identity::as_bytes`] gave; `None` when it is not of that form.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let [device, module, generation, method] = line_feeds(bytes)?;
        Some(Self {
            device_id: text.get(..device)?,
            module_id: text.get(device + 1..module).and_then(non_empty),
            generation_id: text.get(module + 1..generation)?,
            auth_method: text.get(generation + 1..method).map(decoded)?,
            model_id: text.get(method + 1..).and_then(non_empty),
        })
    }
}

/// Where the line feeds stand, when there are four. Eight bytes at a time: sinks do this for every message.
fn line_feeds(bytes: &[u8]) -> Option<[usize; 4]> {
    const LOW_BITS: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    const LINE_FEEDS: u64 = 0x0a0a_0a0a_0a0a_0a0a;
    let (mut found, mut count) = ([0; 4], 0);
    let mut note = |at| {
        *found.get_mut(count)? = at;
        count += 1;
        Some(())
    };
    let (words, rest) = bytes.as_chunks::<8>();
    for (word, start) in words.iter().zip((0..).step_by(8)) {
        let differing = u64::from_le_bytes(*word) ^ LINE_FEEDS;
        // The highest bit of each byte that is a line feed, and of no other.
        let mut hits = !(((differing & LOW_BITS) + LOW_BITS) | differing | LOW_BITS);
        while hits != 0 {
            note(start + usize::try_from(hits.trailing_zeros() / 8).ok()?)?;
            hits &= hits - 1;
        }
    }
    for (&byte, at) in rest.iter().zip(words.len() * 8..) {
        if byte == b'\n' {
            note(at)?;
        }
    }
    (count == 4).then_some(found)
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_refuses_line_feeds() {
        let fields = IdentityRef {
            device_id: "d1",
            module_id: Some("m"),
            generation_id: "g",
            auth_method: "{}",
            model_id: None,
        };
        let identity = Identity::new(&fields).unwrap();
        assert_eq!(identity.as_ref(), fields);
        for method in SAS_METHODS.into_iter().chain(X509_METHODS) {
            let identity = Identity::new(&IdentityRef { auth_method: method, ..fields }).unwrap();
            assert_eq!(identity.as_ref().auth_method, method);
            assert!(identity.as_bytes().len() < 16, "the method is not spelled out");
        }
        assert!(Identity::new(&IdentityRef { model_id: Some("a\nb"), ..fields }).is_none());
        assert!(IdentityRef::decode(b"a\nb").is_none());
    }

    #[test]
    fn fields_of_all_lengths_are_found_and_other_counts_refused() {
        for seed in 0..2000_usize {
            let lengths = [seed % 13, seed / 3 % 9, seed / 5 % 17, seed / 7 % 19, seed / 11 % 10];
            let fields = lengths.map(|length| "aé\u{8a}".chars().cycle().take(length).collect::<String>());
            let text = fields.join("\n");
            let decoded = IdentityRef::decode(text.as_bytes()).unwrap();
            assert_eq!(
                [decoded.device_id, decoded.generation_id, decoded.auth_method],
                [0, 2, 3].map(|at| &fields[at])
            );
            assert_eq!([decoded.module_id, decoded.model_id], [1, 4].map(|at| non_empty(&fields[at])));
            assert!(IdentityRef::decode(format!("{text}\n").as_bytes()).is_none(), "a field too many");
            assert!(IdentityRef::decode(fields[..4].join("\n").as_bytes()).is_none(), "a field too few");
        }
    }
}
