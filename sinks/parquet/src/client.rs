//! The folder or object store that files go to: find complete files, publish new ones, remove left-overs.
//! - Shape: `ROOT/date=../hour=../NAME` for readers, `_temporary/WRITER-..` for files in the making, `_writer-SINK` for the
//!   [`WriterId`]. The latter two lie in the root itself when it is a folder of this machine, else in the data directory:
//!   an object store gets a file only when it is complete.
//! - Invariants: what is visible under a file's name is whole and, in a folder, synced, its directory entries included.
//! - Limits: a search for complete files ends [`DATES_BEYOND`] dates after the first that lies wholly below the cursor.
//! - Errors: [`ClientError`]: all are worth another try except [`ClientError::Unsynced`].

use std::fs::{self, File};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use millrace_model::{Offset, ShardId};
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload, WriteMultipart};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::runtime::Runtime;

use crate::config::ParquetConfig;
use crate::limits::{DATES_BEYOND, UPLOAD_PART_BYTES, UPLOAD_PARTS_MAX};
use crate::name::{FileName, Hour, WriterId};
use crate::target::Target;

/// Why the target did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// A folder or file of this machine refused.
    #[error("{step} {path}: {source}")]
    Local { step: &'static str, path: PathBuf, source: std::io::Error },
    /// The object store refused or did not answer.
    #[error("{step}: {source}")]
    Remote { step: &'static str, source: object_store::Error },
    /// The data of a file may not have reached the disk; the file must be written again, not synced again.
    #[error("sync {path}: {source}")]
    Unsynced { path: PathBuf, source: std::io::Error },
    /// The file that names this writer is damaged; only its owner can know whether it may go.
    #[error("{0} does not hold 1 to 32 hexadecimal digits")]
    Writer(PathBuf),
    /// The task that published a file is gone.
    #[error("publishing was interrupted")]
    Interrupted,
}

/// See the module's documentation.
pub(crate) struct Client {
    target: Target,
    /// The folder for temporary files.
    temporary: PathBuf,
    writer_path: PathBuf,
    /// Known once the folders exist and left-overs are gone.
    writer: Option<WriterId>,
    runtime: Runtime,
}

/// A finished file on its way to its readers.
#[derive(Debug)]
pub(crate) struct Publication {
    /// Where it lies now.
    pub(crate) temporary: PathBuf,
    pub(crate) hour: Hour,
    pub(crate) name: FileName,
}

fn local<T>(result: std::io::Result<T>, step: &'static str, path: &Path) -> Result<T, ClientError> {
    result.map_err(|source| ClientError::Local { step, path: path.to_owned(), source })
}

fn remote<T>(result: object_store::Result<T>, step: &'static str) -> Result<T, ClientError> {
    result.map_err(|source| ClientError::Remote { step, source })
}

impl Client {
    /// Asks nothing of the target yet.
    pub(crate) fn new(sink: &str, config: &ParquetConfig, directory: &Path) -> Result<Self, String> {
        let target = Target::new(config, directory)?;
        let home = match &target {
            Target::Folder(root) => root,
            Target::Store { .. } => directory,
        };
        // One worker: it talks to the object store while the sink's own thread encodes.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(2)
            .thread_name("parquet-upload")
            .enable_all()
            .build()
            .map_err(|error| format!("runtime: {error}"))?;
        let sink = utf8_percent_encode(sink, NON_ALPHANUMERIC);
        Ok(Self {
            temporary: home.join("_temporary"),
            writer_path: directory.join(format!("_writer-{sink}")),
            writer: None,
            runtime,
            target,
        })
    }

    /// Makes the folders, finds out or decides who this writer is, and removes what an earlier run left unfinished. Once.
    pub(crate) fn prepare(&mut self) -> Result<WriterId, ClientError> {
        if let Some(writer) = &self.writer {
            return Ok(writer.clone());
        }
        local(fs::create_dir_all(&self.temporary), "create", &self.temporary)?;
        let writer = self.read_or_create_writer()?;
        let own = format!("{writer}-");
        for entry in local(fs::read_dir(&self.temporary), "read", &self.temporary)? {
            let path = local(entry, "read", &self.temporary)?.path();
            if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&own)) {
                local(fs::remove_file(&path), "remove", &path)?;
            }
        }
        self.writer = Some(writer.clone());
        Ok(writer)
    }

    /// The complete files of a shard that end past `cursor`, in order.
    pub(crate) fn complete_files(&self, shard: ShardId, cursor: Offset) -> Result<Vec<FileName>, ClientError> {
        let mut dates = self.folders("", "date=")?;
        dates.sort_unstable_by(|a, b| b.cmp(a));
        let (mut found, mut beyond) = (Vec::new(), 0);
        for date in dates {
            let mut own = Vec::new();
            for hour in self.folders(&date, "hour=")? {
                let before = own.len();
                let folder = format!("{date}/{hour}");
                let names = self.runtime.block_on(self.target.list(&folder))?.files;
                own.extend(
                    names
                        .iter()
                        .filter_map(|name| FileName::parse(name))
                        .filter(|name| name.shard == shard && self.writer.as_ref() == Some(&name.writer)),
                );
                if own.iter().skip(before).any(|name| name.end > cursor) {
                    self.make_names_safe(&date, &folder)?;
                }
            }
            let passed = own.iter().any(|name| name.end <= cursor);
            own.retain(|name| name.end > cursor);
            beyond = if own.is_empty() && (passed || beyond > 0) { beyond + 1 } else { 0 };
            found.append(&mut own);
            if beyond > DATES_BEYOND {
                break;
            }
        }
        found.sort_unstable_by_key(|name| (name.start, name.end));
        Ok(found)
    }

    /// A file whose publishing a crash interrupted may be visible before its name is on the disk.
    fn make_names_safe(&self, date: &str, folder: &str) -> Result<(), ClientError> {
        match &self.target {
            Target::Folder(root) => {
                [root.join(folder).as_path(), &root.join(date), root].into_iter().try_for_each(sync_folder)
            }
            // What an object store shows, it keeps.
            Target::Store { .. } => Ok(()),
        }
    }

    /// Where a shard's next file is to be written.
    pub(crate) fn temporary_path(&self, writer: &WriterId, shard: ShardId, start: Offset) -> PathBuf {
        self.temporary.join(format!("{writer}-{shard}-{start}.parquet.tmp"))
    }

    /// Starts to publish a file on another thread. `file` is handed over until it has been synced.
    pub(crate) fn publish(
        &self,
        publication: &Arc<Publication>,
        file: Option<File>,
    ) -> Receiver<Result<(), ClientError>> {
        let (done, receiver) = sync_channel(1);
        let publication = Arc::clone(publication);
        match &self.target {
            Target::Folder(root) => {
                let root = root.clone();
                self.runtime.spawn_blocking(move || {
                    // The receiver is gone only when the sink is.
                    done.send(move_into_place(&root, &publication, file)).unwrap_or_default();
                });
            }
            Target::Store { store, prefix } => {
                let key = prefix.clone().join(publication.hour.date_folder()).join(publication.hour.hour_folder());
                let key = key.join(publication.name.to_string());
                let store = Arc::clone(store);
                self.runtime.spawn(async move {
                    let result = upload(store.as_ref(), &key, &publication.temporary).await;
                    done.send(result).unwrap_or_default();
                });
            }
        }
        receiver
    }

    fn folders(&self, folder: &str, prefix: &str) -> Result<Vec<String>, ClientError> {
        let mut folders = self.runtime.block_on(self.target.list(folder))?.folders;
        folders.retain(|name| name.starts_with(prefix));
        Ok(folders)
    }

    fn read_or_create_writer(&self) -> Result<WriterId, ClientError> {
        let path = &self.writer_path;
        match fs::read_to_string(path) {
            Ok(text) => return WriterId::parse(text.trim()).ok_or_else(|| ClientError::Writer(path.clone())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(ClientError::Local { step: "read", path: path.clone(), source }),
        }
        // Seeded by the system's randomness; need only differ from other data directories that share a target.
        let random = RandomState::new().build_hasher().finish();
        let text = format!("{random:016x}");
        let new = path.with_extension("new");
        let directory = path.parent().unwrap_or(path);
        local(fs::create_dir_all(directory), "create", directory)?;
        local(fs::write(&new, &text), "write", &new)?;
        local(File::open(&new).and_then(|file| file.sync_all()), "sync", &new)?;
        local(fs::rename(&new, path), "rename", path)?;
        sync_folder(directory)?;
        WriterId::parse(&text).ok_or_else(|| ClientError::Writer(path.clone()))
    }
}

/// Syncs a finished file and renames it. Repeatable after every error but `Unsynced`.
fn move_into_place(root: &Path, publication: &Publication, file: Option<File>) -> Result<(), ClientError> {
    let Publication { temporary, hour, name } = publication;
    if let Some(file) = file {
        file.sync_all().map_err(|source| ClientError::Unsynced { path: temporary.clone(), source })?;
    }
    let date = root.join(hour.date_folder());
    let folder = date.join(hour.hour_folder());
    local(fs::create_dir_all(&folder), "create", &folder)?;
    let path = folder.join(name.to_string());
    match fs::rename(temporary, &path) {
        // An earlier try came as far as this.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.exists() => {}
        result => local(result, "rename", &path)?,
    }
    [folder.as_path(), &date, root].into_iter().try_for_each(sync_folder)
}

fn sync_folder(folder: &Path) -> Result<(), ClientError> {
    local(File::open(folder).and_then(|folder| folder.sync_all()), "sync", folder)
}

/// Sends a file to an object store, which shows it once it is whole, and removes it here.
async fn upload(store: &dyn ObjectStore, key: &object_store::path::Path, path: &Path) -> Result<(), ClientError> {
    let mut file = local(File::open(path), "open", path)?;
    let mut rest = local(file.metadata(), "open", path)?.len();
    let mut part = |rest: &mut u64| -> Result<Vec<u8>, ClientError> {
        let length = usize::try_from(*rest).unwrap_or(usize::MAX).min(UPLOAD_PART_BYTES);
        let mut bytes = vec![0; length];
        local(file.read_exact(&mut bytes), "read", path)?;
        *rest -= u64::try_from(length).unwrap_or(*rest);
        Ok(bytes)
    };
    if rest <= u64::try_from(UPLOAD_PART_BYTES).unwrap_or(u64::MAX) {
        let bytes = part(&mut rest)?;
        remote(store.put(key, PutPayload::from(bytes)).await, "put")?;
    } else {
        let parts = remote(store.put_multipart(key).await, "start upload")?;
        let mut writer = WriteMultipart::new_with_chunk_size(parts, UPLOAD_PART_BYTES);
        while rest > 0 {
            let sent = match writer.wait_for_capacity(UPLOAD_PARTS_MAX).await {
                Ok(()) => part(&mut rest).map(|bytes| writer.put(bytes.into())),
                Err(source) => Err(ClientError::Remote { step: "upload", source }),
            };
            if let Err(error) = sent {
                // The store's own rule for unfinished uploads cleans up if even this fails.
                writer.abort().await.unwrap_or_default();
                return Err(error);
            }
        }
        remote(writer.finish().await, "finish upload")?;
    }
    // What stays is removed at the next start.
    fs::remove_file(path).unwrap_or_default();
    Ok(())
}
