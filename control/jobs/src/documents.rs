//! Documents of jobs and configurations: read, written with their versions, listed in pages.

use millrace_control::{Control, hub_error};
use millrace_control_query::Continuation;
use millrace_control_store::documents::{ApplyError, Batch, Collection, Document, DocumentKey, Scan, Write};
use millrace_model::HubError;

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// Its rows.
    pub rows: Vec<T>,
    /// How to ask for the next page, if there is one.
    pub continuation: Option<String>,
}

/// Why writes were not carried out.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// A document is in another state.
    Conflict,
    /// The store failed.
    Failed(HubError),
}

impl From<WriteError> for HubError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Conflict => Self::PRECONDITION,
            WriteError::Failed(error) => error,
        }
    }
}

/// Reads a document.
pub(crate) async fn read(control: &Control, key: &DocumentKey) -> Result<Option<Document>, HubError> {
    control.documents().read(key).await.map_err(|error| hub_error(&error))
}

/// Reads a page behind a name.
pub(crate) async fn scan(
    control: &Control,
    collection: Collection,
    owner: &str,
    after: Option<&str>,
    count: usize,
) -> Result<Vec<Document>, HubError> {
    let after = after.map(|name| (owner.into(), name.into()));
    let scan = Scan { collection, owner: Some(owner.into()), after, count };
    control.documents().scan(&scan).await.map_err(|error| hub_error(&error))
}

/// Writes together; answers the new versions.
pub(crate) async fn apply(control: &Control, writes: Vec<Write>) -> Result<Vec<i64>, WriteError> {
    let applied = control.documents().apply(Batch { identity: None, writes }).await;
    applied.map_err(|error| match error {
        ApplyError::Conflict { .. } => WriteError::Conflict,
        ApplyError::Store(error) => WriteError::Failed(hub_error(&error)),
        ApplyError::TooLarge => WriteError::Failed(HubError::TOO_LARGE),
        ApplyError::NoIdentity => WriteError::Failed(HubError::SERVER),
    })
}

/// How many documents an owner has.
pub(crate) async fn count(control: &Control, collection: Collection, owner: &str) -> Result<u64, HubError> {
    control.documents().count_documents(collection, Some(owner)).await.map_err(|error| hub_error(&error))
}

/// The name behind which a list goes on; `list` tells it from other lists.
pub(crate) fn decode_continuation(text: Option<&str>, list: u64) -> Result<Option<Box<str>>, HubError> {
    let Some(text) = text else { return Ok(None) };
    let continuation = Continuation::decode(text)?;
    if continuation.query != list {
        return Err(other_list());
    }
    Ok(continuation.after.into_iter().next())
}

/// As text for a header.
pub(crate) fn encode_continuation(name: &str, list: u64) -> String {
    Continuation { query: list, taken: 0, after: vec![name.into()] }.encode()
}

fn other_list() -> HubError {
    HubError::ARGUMENT.because("the continuation belongs to another list")
}
