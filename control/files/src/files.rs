//! The handshake of an upload: a device asks for a name, writes, and says how it went.
//! - Invariants: what is answered is durable. Saying twice how it went is no error and tells services once.
//! - Limits: `uploads_per_device_max` at once, exact on one node; several nodes that are asked in the same moment may each let one more in.
//! - Errors: the hub's.

use std::path::Path as Folder;
use std::sync::Arc;

use millrace_control_store::{
    ApplyError, Batch, Collection, Document, DocumentKey, Documents, Precondition, RegistryError, Scan, Write, clock,
};
use millrace_model::{HubError, IdentityName};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Semaphore};

use crate::blob::Meters;
use crate::config::FilesConfig;
use crate::events;
use crate::limits::{DESCRIPTION_CHARACTERS_MAX, FINISHED_KEPT, NOTIFICATIONS_MAX, STRIPES};
use crate::name::BlobName;
use crate::record::{Notification, NotificationRecord, UploadRecord};
use crate::sas::Signer;
use crate::target;

/// Unfinished blocks lie there, beside the container.
const STAGING: &str = ".staging";

/// Name of the document with the key that signs.
const KEY_NAME: &str = "files-key";

/// Why file uploads cannot start.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Where files should go cannot be used.
    #[error("the store for files cannot be used: {0}")]
    Target(String),
    /// The key that signs cannot be read or made.
    #[error("the key for uploads cannot be read or made")]
    Key(#[from] RegistryError),
}

/// File uploads of one hub.
pub struct Files {
    pub(crate) config: FilesConfig,
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) signer: Signer,
    pub(crate) meters: Meters,
    pub(crate) writes: Arc<Semaphore>,
    host_name: String,
    turns: [Mutex<()>; STRIPES],
}

/// What a device needs to write its file; the names are the device API's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Upload {
    /// Names the upload.
    pub correlation_id: String,
    /// Where to write.
    pub host_name: String,
    /// In which container.
    pub container_name: String,
    /// Under which name, the device's id included.
    pub blob_name: String,
    /// Leave to do so; begins with a question mark.
    pub sas_token: String,
}

/// How an upload went, in the device's words; the names are the device API's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Whether the file is there.
    pub is_success: bool,
    /// In the device's own meaning.
    #[serde(default)]
    pub status_code: i64,
    /// Likewise.
    #[serde(default)]
    pub status_description: Option<String>,
}

impl Files {
    /// Opens the store for files. `directory` is the data directory, `host_name` where the hub is reached.
    ///
    /// # Errors
    /// When the store or the signing key cannot be used.
    pub async fn open(
        config: FilesConfig,
        documents: Arc<dyn Documents>,
        directory: &Folder,
        host_name: &str,
    ) -> Result<Arc<Self>, FileError> {
        events::describe();
        let store = target::open(&config, directory).map_err(FileError::Target)?;
        let signer = Signer::new(&signing_key(documents.as_ref()).await?);
        let host_name = if config.host_name.is_empty() { host_name } else { &config.host_name }.to_owned();
        Ok(Arc::new(Self {
            documents,
            store,
            signer,
            meters: Meters::default(),
            writes: Arc::new(Semaphore::new(config.writes_max)),
            host_name,
            turns: std::array::from_fn(|_| Mutex::new(())),
            config,
        }))
    }

    /// Where files are kept.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Begins an upload of a file that the device calls `file`.
    ///
    /// # Errors
    /// When the name cannot be one, too many uploads are under way, or the store failed.
    pub async fn begin(&self, device: &IdentityName, file: &str) -> Result<Upload, HubError> {
        let blob = BlobName::new(device.device_id(), file)?;
        let now = now_unix();
        let _turn = self.turn(device.device_id()).lock().await;
        let mut writes = self.make_room(device, now).await?;
        let correlation_id = random_id().map_err(|error| failed(&error))?;
        let end = now.saturating_add(self.config.upload_seconds);
        let record = UploadRecord { blob_name: blob.as_str().to_owned(), begun: now, end, is_finished: false };
        let key = DocumentKey::new(Collection::Upload, device.device_id(), &correlation_id);
        writes.push(Write::put(key, Precondition::Absent, json(&record)?));
        self.apply(device, writes).await?;
        events::begun();
        Ok(Upload {
            host_name: self.host_name.clone(),
            container_name: self.config.container.clone(),
            sas_token: self.signer.sign(&self.config.container, blob.as_str(), &correlation_id, end),
            blob_name: blob.as_str().to_owned(),
            correlation_id,
        })
    }

    /// Ends an upload, and tells services of it.
    ///
    /// # Errors
    /// When there is no such upload, or the store failed.
    pub async fn finish(&self, device: &IdentityName, correlation_id: &str, outcome: &Outcome) -> Result<(), HubError> {
        let described = outcome.status_description.as_ref().map_or(0, |text| text.chars().count());
        if described > DESCRIPTION_CHARACTERS_MAX {
            return Err(HubError::ARGUMENT.because("the status description is too long"));
        }
        let key = upload_key(device.device_id(), correlation_id)?;
        let _turn = self.turn(device.device_id()).lock().await;
        let document = self.documents.read(&key).await.map_err(|error| failed(&error))?;
        let document = document.ok_or_else(|| HubError::RESOURCE_NOT_FOUND.because("no such upload"))?;
        let mut record: UploadRecord = parsed(&document)?;
        if record.is_finished {
            return Ok(());
        }
        record.is_finished = true;
        let mut writes = vec![Write::put(key, Precondition::Version(document.version), json(&record)?)];
        if outcome.is_success && self.config.notifications {
            writes.extend(self.notification(device, &record).await?);
        }
        let is_notified = writes.len() > 1;
        self.apply(device, writes).await?;
        events::finished(outcome.is_success);
        if is_notified {
            events::notified();
        }
        // The blob is whole, or will never be. What does not go now goes with the next sweep.
        self.remove_staged(correlation_id).await;
        Ok(())
    }

    /// The record of an upload that may still be written.
    pub(crate) async fn open_upload(
        &self,
        device_id: &str,
        correlation_id: &str,
    ) -> Result<Option<UploadRecord>, HubError> {
        let key = upload_key(device_id, correlation_id)?;
        let document = self.documents.read(&key).await.map_err(|error| failed(&error))?;
        let record: Option<UploadRecord> = document.as_ref().map(parsed).transpose()?;
        Ok(record.filter(|record| record.is_open(now_unix())))
    }

    /// Folder of all blobs.
    pub(crate) fn container(&self) -> Path {
        Path::from(self.config.container.as_str())
    }

    /// Folder of an upload's blocks.
    pub(crate) fn staging(correlation_id: &str) -> Path {
        Path::from(STAGING).join(correlation_id)
    }

    /// Folder of all blocks.
    pub(crate) fn staging_root() -> Path {
        Path::from(STAGING)
    }

    /// Refuses one upload too many; otherwise says which old records of the device can go.
    async fn make_room(&self, device: &IdentityName, now: u64) -> Result<Vec<Write>, HubError> {
        let scan = Scan {
            collection: Collection::Upload,
            owner: Some(device.device_id().into()),
            after: None,
            count: self.config.uploads_per_device_max + FINISHED_KEPT + 100,
        };
        let documents = self.documents.scan(&scan).await.map_err(|error| failed(&error))?;
        let (mut open, mut closed) = (0_usize, Vec::new());
        for document in &documents {
            let record: UploadRecord = parsed(document)?;
            if record.is_open(now) {
                open += 1;
            } else {
                closed.push((record.begun, document));
            }
        }
        if open >= self.config.uploads_per_device_max {
            return Err(HubError::UPLOADS);
        }
        closed.sort_by_key(|(begun, _)| std::cmp::Reverse(*begun));
        let old = closed.into_iter().skip(FINISHED_KEPT);
        Ok(old.map(|(_, document)| Write::remove(document.key.clone(), Precondition::Any)).collect())
    }

    async fn notification(&self, device: &IdentityName, record: &UploadRecord) -> Result<Option<Write>, HubError> {
        let waiting = self.documents.count_documents(Collection::FileNotification, None).await;
        if waiting.map_err(|error| failed(&error))? >= NOTIFICATIONS_MAX {
            events::notification_dropped("too many wait");
            return Ok(None);
        }
        let blob = BlobName::parse(&record.blob_name).ok_or(HubError::SERVER)?;
        let meta = self.store.head(&blob.path(&self.container())).await.map_err(|error| match error {
            object_store::Error::NotFound { .. } => HubError::OPERATION.because("the file is not there"),
            // The device may say so again later.
            error => failed(&error),
        })?;
        let now = jiff::Timestamp::now();
        let blob_uri = format!("https://{}/{}/{}", self.host_name, self.config.container, uri_path(blob.as_str()));
        let record = NotificationRecord {
            notification: Notification {
                device_id: device.device_id().to_owned(),
                blob_uri,
                blob_name: record.blob_name.clone(),
                last_updated_time: meta.last_modified.to_rfc3339(),
                blob_size_in_bytes: meta.size,
                enqueued_time_utc: now.to_string(),
            },
            expires: now_unix().saturating_add(self.config.notification_seconds),
            locked_until: 0,
            deliveries: 0,
        };
        let name = format!("{:020}-{}", now.as_microsecond(), random_id().map_err(|error| failed(&error))?);
        let key = DocumentKey::new(Collection::FileNotification, "", &name);
        Ok(Some(Write::put(key, Precondition::Absent, json(&record)?)))
    }

    async fn apply(&self, device: &IdentityName, writes: Vec<Write>) -> Result<(), HubError> {
        let batch = Batch { identity: Some(device.clone()), writes };
        self.documents.apply(batch).await.map(drop).map_err(|error| match error {
            ApplyError::NoIdentity => HubError::DEVICE_NOT_FOUND,
            ApplyError::Conflict { .. } => HubError::UNAVAILABLE.because("the upload changed meanwhile, try again"),
            error => failed(&error),
        })
    }

    fn turn(&self, device_id: &str) -> &Mutex<()> {
        let hash = device_id.bytes().fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
        &self.turns[hash % STRIPES]
    }
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("host_name", &self.host_name).finish_non_exhaustive()
    }
}

/// The key that signs, made once for all nodes.
async fn signing_key(documents: &dyn Documents) -> Result<Vec<u8>, RegistryError> {
    let key = DocumentKey::new(Collection::State, "", KEY_NAME);
    if let Some(document) = documents.read(&key).await? {
        return Ok(document.body);
    }
    let mut bytes = vec![0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| RegistryError::Random)?;
    let write = Write::put(key.clone(), Precondition::Absent, bytes.clone());
    match documents.apply(Batch { identity: None, writes: vec![write] }).await {
        Ok(_) => Ok(bytes),
        // Another node was first.
        Err(ApplyError::Conflict { .. }) => {
            documents.read(&key).await?.map(|document| document.body).ok_or(RegistryError::Busy)
        }
        Err(ApplyError::Store(error)) => Err(error),
        Err(_) => Err(RegistryError::Busy),
    }
}

/// A correlation id is 32 hex digits; anything else is nobody's, and no path.
fn upload_key(device_id: &str, correlation_id: &str) -> Result<DocumentKey, HubError> {
    let is_id = correlation_id.len() == 32 && correlation_id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id {
        return Err(HubError::RESOURCE_NOT_FOUND.because("no such upload"));
    }
    Ok(DocumentKey::new(Collection::Upload, device_id, correlation_id))
}

pub(crate) fn random_id() -> Result<String, RegistryError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| RegistryError::Random)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

pub(crate) fn now_unix() -> u64 {
    u64::try_from(clock::now().unix_seconds()).unwrap_or_default()
}

pub(crate) fn failed(error: &dyn std::error::Error) -> HubError {
    events::store_failed(error);
    HubError::UNAVAILABLE
}

pub(crate) fn json<T: Serialize>(record: &T) -> Result<Vec<u8>, HubError> {
    serde_json::to_vec(record).map_err(|_| HubError::SERVER)
}

pub(crate) fn parsed<T: serde::de::DeserializeOwned>(document: &Document) -> Result<T, HubError> {
    serde_json::from_slice(&document.body).map_err(|error| {
        events::store_failed(&error);
        HubError::SERVER
    })
}

/// A blob's name in an address.
fn uri_path(name: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
    utf8_percent_encode(name, PATH).to_string()
}
