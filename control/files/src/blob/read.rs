//! Reading the blob back, for clients that check what they wrote or go on with it.
//! - Source: Get Blob with `Range` or `x-ms-range` (one range), Get Blob Properties.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use object_store::ObjectStoreExt as _;
use object_store::{GetOptions, GetRange, ObjectStore as _};

use super::error::BlobError;
use super::write::described;
use super::{Granted, etag};
use crate::files::Files;

impl Files {
    /// Get Blob, or only its properties.
    pub(super) async fn read_blob(
        &self,
        granted: Granted,
        headers: &HeaderMap,
        wants_body: bool,
    ) -> Result<Response, BlobError> {
        let path = granted.blob.path(&self.container());
        let meta = self.store.head(&path).await?;
        if headers.get(header::IF_MATCH).is_some_and(|wanted| wanted != "*" && wanted != etag(&meta).as_str()) {
            return Err(BlobError::CONDITION);
        }
        let asked = headers.get("x-ms-range").or_else(|| headers.get(header::RANGE));
        let range = asked.map(|value| range(value, meta.size)).transpose()?.filter(|_| wants_body);
        let (body, length) = if wants_body {
            let options = match range.clone() {
                Some(range) => GetOptions::new().with_range(Some(GetRange::Bounded(range))),
                None => GetOptions::new(),
            };
            let found = self.store.get_opts(&path, options).await?;
            let length = found.range.end.saturating_sub(found.range.start);
            (Body::from_stream(found.into_stream()), length)
        } else {
            (Body::empty(), meta.size)
        };
        let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        let mut response = (status, body).into_response();
        let mut facts = described(&meta);
        facts.extend([
            (header::CONTENT_LENGTH, length.to_string()),
            (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
            (header::ACCEPT_RANGES, "bytes".to_owned()),
            (HeaderName::from_static("x-ms-blob-type"), "BlockBlob".to_owned()),
        ]);
        if let Some(range) = range {
            let last = range.end.saturating_sub(1);
            facts.push((header::CONTENT_RANGE, format!("bytes {}-{last}/{}", range.start, meta.size)));
        }
        for (name, value) in facts {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(name, value);
            }
        }
        Ok(response)
    }
}

/// `bytes=first-[last]`, cut to what is there.
fn range(value: &HeaderValue, size: u64) -> Result<std::ops::Range<u64>, BlobError> {
    let text = value.to_str().ok().and_then(|text| text.strip_prefix("bytes=")).ok_or(BlobError::HEADER)?;
    let (first, last) = text.split_once('-').ok_or(BlobError::HEADER)?;
    let first: u64 = first.parse().map_err(|_| BlobError::HEADER)?;
    let last: u64 = if last.is_empty() { u64::MAX } else { last.parse().map_err(|_| BlobError::HEADER)? };
    let end = last.saturating_add(1).min(size);
    if first < end { Ok(first..end) } else { Err(BlobError::INVALID_RANGE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_blob() {
        let check = |text: &'static str| range(&HeaderValue::from_static(text), 10);
        assert_eq!(check("bytes=0-3"), Ok(0..4));
        assert_eq!(check("bytes=4-33554431"), Ok(4..10));
        assert_eq!(check("bytes=9-"), Ok(9..10));
        assert_eq!(check("bytes=10-"), Err(BlobError::INVALID_RANGE));
        assert_eq!(check("bytes=5-4"), Err(BlobError::INVALID_RANGE));
        for bad in ["bytes=-5", "0-3", "bytes=a-b", "bytes=0-3,5-6"] {
            assert_eq!(check(bad), Err(BlobError::HEADER), "{bad}");
        }
    }
}
