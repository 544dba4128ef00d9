//! Leave to write one blob for a while: a query that the storage libraries pass on without looking into it. Pure.
//! - Source: the shape of Azure's service SAS (`sv`, `sr`, `si`, `se`, `sp`, `sig`); the libraries keep these names and drop others.
//! - Invariants: the signature covers container, blob, upload, permission and end. It is checked before any of them is believed.
//! - Errors: [`Denied`], which does not say more to whoever made one up.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Version of the service that the signature is said to be of.
const VERSION: &str = "2020-10-02";

/// Reading and writing.
const PERMISSION: &str = "rw";

/// The signature is wrong, or its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Denied;

/// Signs and checks.
pub(crate) struct Signer {
    key: hmac::Key,
}

impl Signer {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// The query that lets its holder write the blob of an upload until then.
    pub(crate) fn sign(&self, container: &str, blob: &str, upload: &str, end_unix: u64) -> String {
        let end = end_text(end_unix);
        let message = message(container, blob, upload, &end);
        let signature = STANDARD.encode(hmac::sign(&self.key, message.as_bytes()));
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let (upload, signature, end) = (encode(upload), encode(&signature), encode(&end));
        format!("?sv={VERSION}&sr=b&si={upload}&sig={signature}&se={end}&sp={PERMISSION}")
    }

    /// Whether `query` lets its holder write `blob` now; the answer is the upload's id.
    pub(crate) fn check(&self, container: &str, blob: &str, query: &str, now_unix: u64) -> Result<String, Denied> {
        let end = parameter(query, "se").ok_or(Denied)?;
        let upload = parameter(query, "si").ok_or(Denied)?;
        let signature = parameter(query, "sig").and_then(|text| STANDARD.decode(text).ok()).ok_or(Denied)?;
        let message = message(container, blob, &upload, &end);
        hmac::verify(&self.key, message.as_bytes(), &signature).map_err(|_| Denied)?;
        let end = end.parse::<jiff::Timestamp>().map_err(|_| Denied)?;
        let is_over = u64::try_from(end.as_second()).unwrap_or_default() < now_unix;
        if is_over || parameter(query, "sp").as_deref() != Some(PERMISSION) { Err(Denied) } else { Ok(upload) }
    }
}

/// A parameter of a query, decoded once.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    let mut values = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(key, _)| *key == name);
    let (_, value) = values.next()?;
    // Which of two is meant could be read differently by two readers.
    if values.next().is_some() {
        return None;
    }
    percent_decode_str(value).decode_utf8().ok().map(|value| value.into_owned())
}

fn message(container: &str, blob: &str, upload: &str, end: &str) -> String {
    format!("{PERMISSION}\n{end}\n/{container}/{blob}\n{upload}\n{VERSION}")
}

fn end_text(unix: u64) -> String {
    let seconds = i64::try_from(unix).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_passes() {
        let (signer, other) = (Signer::new(&[7; 32]), Signer::new(&[8; 32]));
        let query = signer.sign("uploads", "d1/a b.txt", "0a1b", 1_800_000_000);
        let query = query.strip_prefix('?').unwrap();
        assert!(query.contains("&sr=b&") && query.contains("&se=2027%2D01%2D15T08%3A00%3A00Z&sp=rw"), "{query}");
        let check = |signer: &Signer, blob: &str, query: &str, now| signer.check("uploads", blob, query, now);
        assert_eq!(check(&signer, "d1/a b.txt", query, 1_800_000_000).as_deref(), Ok("0a1b"));
        assert_eq!(check(&signer, "d1/a b.txt", query, 1_800_000_001), Err(Denied));
        assert_eq!(check(&signer, "d2/a b.txt", query, 0), Err(Denied));
        assert_eq!(check(&other, "d1/a b.txt", query, 0), Err(Denied));
        assert_eq!(signer.check("other", "d1/a b.txt", query, 0), Err(Denied));
        for (from, to) in
            [("2027", "2028"), ("0a1b", "0a1c"), ("sp=rw", "sp=rwd"), ("sig=", "sog="), ("&se=", "&se=x&se=")]
        {
            assert_eq!(check(&signer, "d1/a b.txt", &query.replace(from, to), 0), Err(Denied), "{from}");
        }
        // Libraries sort and encode as they like.
        let mut pairs: Vec<&str> = query.split('&').chain(["comp=block"]).collect();
        pairs.reverse();
        let sorted = pairs.join("&").replace("%2D", "-").replace("%3A", ":");
        assert_eq!(check(&signer, "d1/a b.txt", &sorted, 0).as_deref(), Ok("0a1b"));
    }
}
