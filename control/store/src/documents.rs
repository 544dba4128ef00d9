//! Documents: everything the control side keeps besides identities, as small bodies of bytes under a key, with a version each.
//! - Shape: `collection | owner | name -> version, body`. What belongs to an identity has its device id as owner and goes when the
//!   identity goes, by the store itself (a trigger), so that nothing of a deleted device comes back with its successor.
//! - Invariants: a [`Batch`] is applied whole or not at all, and is durable when `apply` answers. Versions of a document start at 1 and
//!   grow by one with each write. Batches that are applied at the same time may share a transaction (group commit), never a fate.
//! - Limits: a body has at most [`BODY_BYTES_MAX`], a batch [`WRITES_MAX`] writes and 16 MiB, a scan [`SCAN_DOCUMENTS_MAX`] documents.

use std::future::Future;
use std::pin::Pin;

use crate::error::RegistryError;
use crate::registry::IdentityName;

/// Largest body: a twin with all sections full, or a cloud-to-device message in text form.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Writes in one batch.
pub const WRITES_MAX: usize = 256;

/// Documents that one scan answers.
pub const SCAN_DOCUMENTS_MAX: usize = 1_000;

/// Kinds of documents. The numbers are in the stores: never use one again for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Collection {
    /// Twins. Owner: device id; name: module id, or empty for the device.
    Twin = 1,
    /// Subscriptions of sessions. Likewise.
    Session = 2,
    /// State of a device's command queue. Owner: device id; name: empty.
    CommandQueue = 3,
    /// Bodies of queued commands. Owner: device id; name: sequence number.
    Command = 4,
    /// File uploads under way. Owner: device id; name: correlation id.
    Upload = 5,
    /// Feedback on commands, waiting for the service. Owner: empty; name: sequence.
    Feedback = 16,
    /// File notifications, waiting for the service. Owner: empty; name: sequence.
    FileNotification = 17,
    /// DTDL models. Owner: empty; name: model id.
    Model = 18,
    /// Certificates of authorities, and revocation lists. Owner: empty; name: their name.
    Certificate = 19,
    /// Automatic configurations. Owner: empty; name: their id.
    Configuration = 20,
    /// Jobs. Owner: kind; name: job id.
    Job = 21,
    /// What a job did with a device. Owner: job id; name: device id [`/` module id].
    DeviceJob = 22,
    /// Individual enrollments. Owner: empty; name: registration id.
    Enrollment = 23,
    /// Enrollment groups. Owner: empty; name: their id.
    EnrollmentGroup = 24,
    /// Registrations. Owner: enrollment group id or empty; name: registration id.
    Registration = 25,
    /// Hubs that the provisioning service assigns devices to. Owner: empty; name: host name.
    LinkedHub = 26,
    /// Positions of followers, and other single values.
    State = 27,
}

/// Key of a document. Owner and name have at most [`KEY_BYTES_MAX`](crate::limits::KEY_BYTES_MAX) bytes together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentKey {
    /// What it is.
    pub collection: Collection,
    /// Whose it is; see [`Collection`].
    pub owner: Box<str>,
    /// Its name there.
    pub name: Box<str>,
}

/// A document as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its key.
    pub key: DocumentKey,
    /// How often it was written.
    pub version: i64,
    /// Its body.
    pub body: Vec<u8>,
}

/// In which state a document must be for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// Whatever it is.
    Any,
    /// Not there.
    Absent,
    /// There, with this version.
    Version(i64),
}

/// One write of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Which document.
    pub key: DocumentKey,
    /// In which state it must be.
    pub precondition: Precondition,
    /// Its new body; `None` removes it.
    pub body: Option<Vec<u8>>,
    /// Told to all other nodes once the write is durable; see [`Documents::listen`].
    pub note: Option<Box<str>>,
}

/// What another node has noted with a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it wrote.
    pub key: DocumentKey,
    /// The note; empty when it was too long.
    pub text: Box<str>,
}

/// What a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A note.
    Notice(Notice),
    /// Notes may have been missed; from now on there are some again.
    Gap,
}

/// Writes that are applied together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// An identity that must be there: nothing is written for one that was deleted meanwhile.
    pub identity: Option<IdentityName>,
    /// The writes; no two of the same document.
    pub writes: Vec<Write>,
}

/// Which documents to read: those of `collection`, and of `owner` if named, in the order of their keys, behind `after`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// What.
    pub collection: Collection,
    /// Whose; `None`: anybody's.
    pub owner: Option<Box<str>>,
    /// Owner and name of the last one seen.
    pub after: Option<(Box<str>, Box<str>)>,
    /// At most so many, and at most [`SCAN_DOCUMENTS_MAX`].
    pub count: usize,
}

/// Why a batch was not applied. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A document is not in the state that a write asks for.
    #[error("a document has changed meanwhile")]
    Conflict {
        /// Position of the first such write.
        write: usize,
        /// The document's version; `None` when it is not there.
        found: Option<i64>,
    },
    /// The identity is not there.
    #[error("the identity is not there")]
    NoIdentity,
    /// Too many writes, or too large a body.
    #[error("the batch is larger than a store takes")]
    TooLarge,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] RegistryError),
}

/// What a store's document methods return.
pub type PendingDocuments<'a, T, E = RegistryError> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// Notes of other nodes. They say where to look: one that comes late, twice or not at all may cost time only.
pub trait Notices: Send {
    /// Waits for the next. After an error it tries again to listen, and then begins with [`Heard::Gap`].
    fn next(&mut self) -> PendingDocuments<'_, Heard>;
}

/// A store of documents.
pub trait Documents: Send + Sync {
    /// Reads one.
    fn read<'a>(&'a self, key: &'a DocumentKey) -> PendingDocuments<'a, Option<Document>>;

    /// Reads several, at most [`SCAN_DOCUMENTS_MAX`]; those that are not there are left out. In the order of the keys asked for.
    fn read_many<'a>(&'a self, keys: &'a [DocumentKey]) -> PendingDocuments<'a, Vec<Document>>;

    /// Reads a page.
    fn scan<'a>(&'a self, scan: &'a Scan) -> PendingDocuments<'a, Vec<Document>>;

    /// How many there are of a collection, and of an owner if named.
    fn count_documents<'a>(&'a self, collection: Collection, owner: Option<&'a str>) -> PendingDocuments<'a, u64>;

    /// Writes, also if the future is dropped after its first poll. Answers the new version of each written document, 0 for a removed one.
    fn apply(&self, batch: Batch) -> PendingDocuments<'_, Vec<i64>, ApplyError>;

    /// A number that changes with every change of a collection, whichever process makes it. Only for collections that every node
    /// keeps in memory: [`Collection::Model`], [`Collection::Certificate`], [`Collection::Configuration`], [`Collection::LinkedHub`].
    fn revision(&self, collection: Collection) -> PendingDocuments<'_, i64>;

    /// Listens to the notes of other nodes' writes from now on; `None` where there are no other nodes. Notes of this store's own writes
    /// are not heard. Only for [`Collection::Twin`] and [`Collection::CommandQueue`].
    fn listen(&self) -> PendingDocuments<'_, Option<Box<dyn Notices>>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

impl DocumentKey {
    /// A key.
    #[must_use]
    pub fn new(collection: Collection, owner: &str, name: &str) -> Self {
        Self { collection, owner: owner.into(), name: name.into() }
    }

    /// The key of something that an identity has one of.
    #[must_use]
    pub fn of(collection: Collection, name: &IdentityName) -> Self {
        Self::new(collection, name.device_id(), name.module_id().unwrap_or_default())
    }
}

impl Collection {
    /// Whether its documents belong to an identity and go with it.
    #[must_use]
    pub const fn is_of_identity(self) -> bool {
        self.number() < 16
    }

    /// The number that stores keep.
    #[must_use]
    #[expect(clippy::as_conversions, reason = "the discriminants are the numbers")]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl Scan {
    /// `count` within its bound, as databases take it.
    pub(crate) fn limit(&self) -> i64 {
        i64::try_from(self.count.min(SCAN_DOCUMENTS_MAX)).unwrap_or(0)
    }
}

impl Write {
    /// Writes a body.
    #[must_use]
    pub fn put(key: DocumentKey, precondition: Precondition, body: Vec<u8>) -> Self {
        Self { key, precondition, body: Some(body), note: None }
    }

    /// Removes a document.
    #[must_use]
    pub fn remove(key: DocumentKey, precondition: Precondition) -> Self {
        Self { key, precondition, body: None, note: None }
    }

    /// The same write with a note for other nodes.
    #[must_use]
    pub fn noted(self, note: Option<Box<str>>) -> Self {
        Self { note, ..self }
    }
}
