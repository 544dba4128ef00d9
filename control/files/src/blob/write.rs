//! Bodies on their way into the store: whole blobs, and the streams that blocks use too.
//! - Invariants: an object appears whole or not at all, and only if its checksums fit. A client that goes away in the middle leaves nothing:
//!   the write goes on without it, finds the body broken off, and takes back what it has.
//! - Limits: one part waits while another is written; `writes_max` of that at once.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::Response;
use http_body_util::BodyExt as _;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::checks::{self, Checker, Expected, Found};
use super::error::BlobError;
use super::{Granted, created, etag, state_headers};
use crate::events;
use crate::files::Files;
use crate::limits::{PART_BYTES, WRITE_WAIT};

impl Files {
    /// Put Blob: the whole file in one request.
    pub(super) async fn put_blob(
        self: &Arc<Self>,
        granted: Granted,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, BlobError> {
        if headers.get("x-ms-blob-type").is_none_or(|kind| kind != "BlockBlob") {
            return Err(BlobError::BLOB_TYPE);
        }
        let expected = Expected::from_headers(headers)?;
        let most = claimed(headers, self.config.upload_bytes_max)?;
        let path = granted.blob.path(&self.container());
        self.check_conditions(headers, &path).await?;
        let found = self.receive(path.clone(), body, most, expected).await?;
        let meta = self.store.head(&path).await?;
        let md5 = [(HeaderName::from_static(checks::MD5), found.md5_text())];
        Ok(created(state_headers(&meta).into_iter().chain(md5)))
    }

    /// Streams a body into an object.
    pub(super) async fn receive(
        self: &Arc<Self>,
        path: Path,
        body: Body,
        bytes_max: u64,
        expected: Expected,
    ) -> Result<Found, BlobError> {
        let files = Arc::clone(self);
        // A task of its own: the one that answers ends when the client goes away.
        let writing = tokio::spawn(async move {
            let _turn = files.write_turn().await?;
            write(Writer::new(&files.store, path), body, bytes_max, expected).await
        });
        let found = writing.await.map_err(|_| BlobError::INTERNAL)??;
        events::received(found.bytes);
        Ok(found)
    }

    pub(super) async fn write_turn(&self) -> Result<OwnedSemaphorePermit, BlobError> {
        let turn = timeout(WRITE_WAIT, Arc::clone(&self.writes).acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or(BlobError::BUSY)
    }

    /// `If-None-Match: *`, which libraries send unless they are told to overwrite, and `If-Match`.
    pub(super) async fn check_conditions(&self, headers: &HeaderMap, path: &Path) -> Result<(), BlobError> {
        let (none, some) = (headers.get(header::IF_NONE_MATCH), headers.get(header::IF_MATCH));
        if none.is_none() && some.is_none() {
            return Ok(());
        }
        let found = match self.store.head(path).await {
            Err(object_store::Error::NotFound { .. }) => None,
            found => Some(etag(&found?)),
        };
        if let (Some(none), Some(found)) = (none, &found)
            && (none == "*" || none == found.as_str())
        {
            return Err(if none == "*" { BlobError::BLOB_EXISTS } else { BlobError::CONDITION });
        }
        let is_other =
            some.is_some_and(|some| found.as_ref().is_none_or(|found| some != "*" && some != found.as_str()));
        if is_other { Err(BlobError::CONDITION) } else { Ok(()) }
    }
}

/// How many bytes may come: what the request claims, unless that is already too much.
pub(super) fn claimed(headers: &HeaderMap, bytes_max: u64) -> Result<u64, BlobError> {
    let Some(length) = headers.get(header::CONTENT_LENGTH) else { return Ok(bytes_max) };
    let length: u64 = length.to_str().ok().and_then(|text| text.parse().ok()).ok_or(BlobError::HEADER)?;
    if length > bytes_max { Err(BlobError::TOO_LARGE) } else { Ok(bytes_max) }
}

async fn write(mut writer: Writer, mut body: Body, bytes_max: u64, expected: Expected) -> Result<Found, BlobError> {
    let mut checker = Checker::new();
    while let Some(frame) = body.frame().await {
        let step = match frame.map(http_body::Frame::into_data) {
            Err(_) => Err(BlobError::BROKEN_OFF),
            // Trailers say nothing here.
            Ok(Err(_)) => Ok(()),
            Ok(Ok(data)) if checker.update(&data) > bytes_max => Err(BlobError::TOO_LARGE),
            Ok(Ok(data)) => writer.put(data).await,
        };
        if let Err(error) = step {
            writer.abort().await;
            return Err(error);
        }
    }
    let found = checker.finish();
    if let Err(error) = expected.check(&found) {
        writer.abort().await;
        return Err(error);
    }
    writer.finish().await.map(|()| found)
}

/// Writes an object in parts.
pub(super) struct Writer(BufWriter);

impl Writer {
    pub(super) fn new(store: &Arc<dyn ObjectStore>, path: Path) -> Self {
        Self(BufWriter::with_capacity(Arc::clone(store), path, PART_BYTES).with_max_concurrency(1))
    }

    pub(super) async fn put(&mut self, data: Bytes) -> Result<(), BlobError> {
        Ok(self.0.put(data).await?)
    }

    /// The object appears.
    pub(super) async fn finish(mut self) -> Result<(), BlobError> {
        Ok(self.0.shutdown().await?)
    }

    /// Nothing appears. What a store keeps of it all the same is its own to clean up.
    pub(super) async fn abort(mut self) {
        if let Err(error) = self.0.abort().await {
            events::store_failed(&error);
        }
    }
}

/// Headers of an answer about an object.
pub(super) fn described(meta: &ObjectMeta) -> Vec<(HeaderName, String)> {
    state_headers(meta).into()
}
