//! Notes of writes on their way to other nodes.
//! - Source: PostgreSQL, NOTIFY: what a transaction notes is told when it commits and not before, in the order of commits, to who listens then.
//! - Shape: payload = node, collection, owner, name and text, with a line feed between each. The node tells it from its own.
//! - Invariants: a note that cannot be told never keeps its write from being done.
//! - Limits: [`PAYLOAD_BYTES_MAX`]; of a longer note only the key is told. After [`QUIET_SECONDS_MAX`] without a note the server is asked
//!   for a sign of life, so that a connection that died in silence does not stay unnoticed.
//! - Errors: after each one the connection is made anew.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener};
use tokio::time::timeout;

use crate::documents::{Collection, DocumentKey, Heard, Notice, Notices, PendingDocuments};
use crate::error::RegistryError;
use crate::random;
use crate::store::postgres::{WAIT_SECONDS, pool};

/// What notes are sent through; all nodes of a database share it.
const CHANNEL: &str = "millrace_documents";
/// The server takes less than 8,000 bytes.
const PAYLOAD_BYTES_MAX: usize = 7_900;
/// How long to hear nothing before asking whether anybody is there.
const QUIET_SECONDS_MAX: u64 = 20;
/// What can be noted.
const COLLECTIONS: [Collection; 2] = [Collection::Twin, Collection::CommandQueue];

/// Tells this process's notes from those of other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node(u64);

impl Node {
    pub(super) fn new() -> Result<Self, RegistryError> {
        Ok(Self(random::number()?))
    }
}

/// Notes what the transaction writes.
pub(super) async fn send(
    transaction: &mut PgConnection,
    node: Node,
    notes: &[(&DocumentKey, &str)],
) -> Result<(), RegistryError> {
    let payloads: Vec<String> = notes.iter().filter_map(|(key, text)| payload(node, key, text)).collect();
    if payloads.is_empty() {
        return Ok(());
    }
    sqlx::query("SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload")
        .bind(CHANNEL)
        .bind(payloads)
        .execute(transaction)
        .await?;
    Ok(())
}

/// `None` for names that cannot be told: no identity has such a one.
fn payload(Node(node): Node, key: &DocumentKey, text: &str) -> Option<String> {
    let (collection, owner, name) = (key.collection.number(), &key.owner, &key.name);
    let begin = format!("{node}\n{collection}\n{owner}\n{name}\n");
    let is_tellable = begin.len() < PAYLOAD_BYTES_MAX && begin.matches('\n').count() == 4 && !begin.contains('\0');
    let fits = begin.len().saturating_add(text.len()) <= PAYLOAD_BYTES_MAX && !text.contains('\0');
    is_tellable.then(|| begin + if fits { text } else { "" })
}

/// `None` for notes of `own`, and for what no node of this version says.
fn notice(Node(own): Node, payload: &str) -> Option<Notice> {
    let mut parts = payload.splitn(5, '\n');
    parts.next()?.parse::<u64>().ok().filter(|node| *node != own)?;
    let number: u8 = parts.next()?.parse().ok()?;
    let collection = COLLECTIONS.into_iter().find(|collection| collection.number() == number)?;
    let key = DocumentKey::new(collection, parts.next()?, parts.next()?);
    Some(Notice { key, text: parts.next()?.into() })
}

/// Listens on a connection of its own.
pub(super) struct PostgresNotices {
    options: Arc<PgConnectOptions>,
    node: Node,
    listener: Option<PgListener>,
}

impl PostgresNotices {
    pub(super) async fn open(options: Arc<PgConnectOptions>, node: Node) -> Result<Self, RegistryError> {
        Ok(Self { listener: Some(connect(&options).await?), options, node })
    }

    async fn next(&mut self) -> Result<Heard, RegistryError> {
        let Some(listener) = &mut self.listener else {
            self.listener = Some(connect(&self.options).await?);
            return Ok(Heard::Gap);
        };
        let heard = hear(listener, self.node).await;
        if heard.is_err() {
            self.listener = None;
        }
        heard.map(Heard::Notice)
    }
}

impl Notices for PostgresNotices {
    fn next(&mut self) -> PendingDocuments<'_, Heard> {
        Box::pin(self.next())
    }
}

async fn connect(options: &PgConnectOptions) -> Result<PgListener, RegistryError> {
    // A pool for each, because a connection that hangs would keep the next one out.
    let mut listener = PgListener::connect_with(&pool(options, 1)).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

async fn hear(listener: &mut PgListener, own: Node) -> Result<Notice, RegistryError> {
    loop {
        // Cancel-safe: a message that is not whole yet stays in the connection's buffer.
        match timeout(Duration::from_secs(QUIET_SECONDS_MAX), listener.try_recv()).await {
            Ok(Ok(Some(notification))) => {
                if let Some(notice) = notice(own, notification.payload()) {
                    return Ok(notice);
                }
            }
            Ok(Ok(None)) => return Err(lost()),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                let sign = sqlx::raw_sql("SELECT 1").execute(&mut *listener);
                timeout(Duration::from_secs(WAIT_SECONDS), sign).await.map_err(|_| lost())??;
            }
        }
    }
}

fn lost() -> RegistryError {
    RegistryError::Unavailable { why: "the connection was lost".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Node = Node(7);
    const THERE: Node = Node(8);

    #[test]
    fn a_note_is_read_as_it_was_written_by_others_only() {
        for (owner, name) in [("device", ""), ("a.b:c$", "module")] {
            let key = DocumentKey::new(Collection::Twin, owner, name);
            for text in ["", "{\"a\":\n0}"] {
                let payload = payload(HERE, &key, text).unwrap();
                assert_eq!(notice(THERE, &payload), Some(Notice { key: key.clone(), text: text.into() }));
                assert_eq!(notice(HERE, &payload), None);
            }
        }
    }

    #[test]
    fn what_cannot_be_told_is_left_out() {
        let key = |owner: &str| DocumentKey::new(Collection::CommandQueue, owner, "");
        let long = payload(HERE, &key("d"), &"x".repeat(9_000)).unwrap();
        assert_eq!(notice(THERE, &long).unwrap().text, "".into());
        for owner in ["a\nb", "a\0b", &"d".repeat(9_000)] {
            assert_eq!(payload(HERE, &key(owner), ""), None);
        }
        for payload in ["", "1", "x\n1\nd\n\n", "1\n99\nd\n\n", "1\n1\nd\n", "1\n1"] {
            assert_eq!(notice(THERE, payload), None, "{payload}");
        }
    }
}
