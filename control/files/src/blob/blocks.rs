//! Files that come in blocks, in any order and as often as the client likes, until a list says which blocks they are.
//! - Shape: `.staging/{upload}/{block id in hex}`, beside the containers; `.staging/{upload}.list` is the last list that was carried out.
//! - Invariants: blocks stay until the upload is over, so the same list may come twice, and an interrupted upload can ask what is there.
//!   Putting together copies block after block: memory is bounded, and the file appears at once.
//! - Limits: sizes are summed up before anything is copied. Lists are read under the same bound as bodies are written, some 30 MiB each.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt as _, PutPayload};

use super::block_list::{self, BlockId};
use super::checks::{self, Expected};
use super::error::BlobError;
use super::write::{Writer, claimed, described};
use super::{Granted, created};
use crate::files::{Files, now_unix};
use crate::limits::BLOCK_LIST_BYTES_MAX;

/// Blocks that are there, with their sizes.
type Staged = HashMap<BlockId, u64>;

impl Files {
    /// Put Block.
    pub(super) async fn put_block(
        self: &Arc<Self>,
        granted: Granted,
        id: &str,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, BlobError> {
        let id = BlockId::from_base64(id)?;
        let expected = Expected::from_headers(headers)?;
        let config = &self.config;
        let upload = &granted.correlation_id;
        let most = self.meters.begin(upload, config.upload_bytes_max, config.block_bytes_max, now_unix())?;
        let most = claimed(headers, most)?;
        let path = Self::staging(upload).join(id.to_hex());
        let found = self.receive(path, body, most, expected).await?;
        self.meters.add(upload, found.bytes);
        let md5 = expected.asks_md5().then(|| (HeaderName::from_static(checks::MD5), found.md5_text()));
        let crc64 = [(HeaderName::from_static(checks::CRC64), found.crc64_text())];
        Ok(created(md5.into_iter().chain(crc64)))
    }

    /// Put Block List: the blocks become the file.
    pub(super) async fn put_block_list(
        self: &Arc<Self>,
        granted: Granted,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, BlobError> {
        // The list and what is known of the blocks take memory too, before anything is written.
        let turn = self.write_turn().await?;
        let list = read_list(headers, body).await?;
        let ids = block_list::read(&list)?;
        let staged = self.staged(&granted.correlation_id).await?;
        let sizes: Option<Vec<u64>> = ids.iter().map(|id| staged.get(id).copied()).collect();
        let bytes = sizes.ok_or(BlobError::INVALID_BLOCK_LIST)?.into_iter().fold(0, u64::saturating_add);
        if bytes > self.config.upload_bytes_max {
            return Err(BlobError::TOO_LARGE);
        }
        let path = granted.blob.path(&self.container());
        self.check_conditions(headers, &path).await?;
        let files = Arc::clone(self);
        // A task of its own, so that it ends in order when the client goes away.
        let building = tokio::spawn(async move {
            let _turn = turn;
            files.build(&granted.correlation_id, &ids, &path).await?;
            files.store.put(&committed_list(&granted.correlation_id), PutPayload::from(list)).await?;
            Ok::<_, BlobError>(files.store.head(&path).await?)
        });
        let meta = building.await.map_err(|_| BlobError::INTERNAL)??;
        Ok(created(described(&meta)))
    }

    /// Get Block List.
    pub(super) async fn block_list(&self, granted: Granted, kind: Option<&str>) -> Result<Response, BlobError> {
        let (wants_committed, wants_uncommitted) = match kind {
            None | Some("committed") => (true, false),
            Some("uncommitted") => (false, true),
            Some("all") => (true, true),
            Some(_) => return Err(BlobError::INVALID_QUERY),
        };
        let _turn = self.write_turn().await?;
        let staged = self.staged(&granted.correlation_id).await?;
        let list = match self.store.get(&committed_list(&granted.correlation_id)).await {
            Ok(list) => block_list::read(&list.bytes().await?)?,
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let known: HashSet<&BlockId> = list.iter().collect();
        let size = |id: &BlockId| staged.get(id).copied().unwrap_or_default();
        let committed: Vec<_> = list.iter().map(|id| (id.clone(), size(id))).collect();
        let mut uncommitted: Vec<_> =
            staged.iter().filter(|(id, _)| !known.contains(id)).map(|(id, size)| (id.clone(), *size)).collect();
        uncommitted.sort();
        let xml = block_list::write(
            wants_committed.then_some(committed.as_slice()),
            wants_uncommitted.then_some(uncommitted.as_slice()),
        );
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"))];
        Ok((kind, xml).into_response())
    }

    /// Removes what is staged for an upload. What does not go is left for the next sweep.
    pub(crate) async fn remove_staged(&self, correlation_id: &str) {
        self.meters.forget(correlation_id);
        let listed: Result<Vec<ObjectMeta>, _> =
            self.store.list(Some(&Self::staging(correlation_id))).try_collect().await;
        let blocks = listed.unwrap_or_default().into_iter().map(|meta| meta.location);
        for path in blocks.chain([committed_list(correlation_id)]) {
            if let Err(error) = self.store.delete(&path).await
                && !matches!(error, object_store::Error::NotFound { .. })
            {
                crate::events::store_failed(&error);
            }
        }
    }

    async fn build(&self, correlation_id: &str, ids: &[BlockId], path: &Path) -> Result<(), BlobError> {
        let mut writer = Writer::new(&self.store, path.clone());
        for id in ids {
            if let Err(error) = self.copy(&Self::staging(correlation_id).join(id.to_hex()), &mut writer).await {
                writer.abort().await;
                return Err(if error == BlobError::NOT_FOUND { BlobError::INVALID_BLOCK_LIST } else { error });
            }
        }
        writer.finish().await
    }

    async fn copy(&self, block: &Path, writer: &mut Writer) -> Result<(), BlobError> {
        let mut chunks = self.store.get(block).await?.into_stream();
        while let Some(chunk) = chunks.try_next().await? {
            writer.put(chunk).await?;
        }
        Ok(())
    }

    async fn staged(&self, correlation_id: &str) -> Result<Staged, BlobError> {
        let listed = self.store.list(Some(&Self::staging(correlation_id)));
        let blocks = listed.try_filter_map(|meta| async move {
            Ok(meta.location.filename().and_then(BlockId::from_hex).map(|id| (id, meta.size)))
        });
        Ok(blocks.try_collect().await?)
    }
}

/// Beside the blocks, not among them: a hex name with an ending is no block.
fn committed_list(correlation_id: &str) -> Path {
    Files::staging_root().join(format!("{correlation_id}.list"))
}

async fn read_list(headers: &HeaderMap, body: Body) -> Result<Bytes, BlobError> {
    let expected = Expected::from_headers(headers)?;
    claimed(headers, u64::try_from(BLOCK_LIST_BYTES_MAX).unwrap_or(u64::MAX))?;
    let list = axum::body::to_bytes(body, BLOCK_LIST_BYTES_MAX).await.map_err(|_| BlobError::INVALID_XML)?;
    let mut checker = checks::Checker::new();
    checker.update(&list);
    expected.check(&checker.finish())?;
    Ok(list)
}
