//! Id scope and secret of the service: made once, kept in the store, the same on all nodes.

use millrace_control_store::documents::{ApplyError, Batch, Collection, DocumentKey, Documents, Precondition, Write};
use millrace_protocols_identity::Key;
use serde::{Deserialize, Serialize};

use crate::attestation::ServiceSecret;
use crate::enrollment::SecretText;
use crate::error::StartError;
use crate::random;

/// What is kept.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    id_scope: String,
    secret: SecretText,
}

/// Reads id scope and secret; makes them when there are none. A configured id scope counts more than the stored one.
pub(super) async fn open(
    documents: &dyn Documents,
    configured: Option<&str>,
) -> Result<(String, ServiceSecret), StartError> {
    let key = DocumentKey::new(Collection::State, "", "provisioning");
    let stored = match documents.read(&key).await.map_err(StartError::Store)? {
        Some(document) => decode(&document.body)?,
        None => make(documents, &key).await?,
    };
    let secret = Key::from_base64(&stored.secret.0).map_err(|_| StartError::Corrupt)?;
    Ok((configured.map_or(stored.id_scope, str::to_owned), ServiceSecret::new(secret)))
}

async fn make(documents: &dyn Documents, key: &DocumentKey) -> Result<Stored, StartError> {
    let random = |_| StartError::Random;
    let number = u32::from_be_bytes(*random::bytes::<4>().map_err(random)?);
    let secret = random::key().map_err(random)?;
    let new = Stored { id_scope: format!("0ne{number:08X}"), secret: (&secret).into() };
    let body = serde_json::to_vec(&new).map_err(|_| StartError::Corrupt)?;
    let write = Write::put(key.clone(), Precondition::Absent, body);
    match documents.apply(Batch { identity: None, writes: vec![write] }).await {
        Ok(_) => Ok(new),
        // Another node was first.
        Err(ApplyError::Conflict { .. }) => {
            let document = documents.read(key).await.map_err(StartError::Store)?;
            decode(&document.ok_or(StartError::Corrupt)?.body)
        }
        Err(ApplyError::Store(error)) => Err(StartError::Store(error)),
        Err(_) => Err(StartError::Corrupt),
    }
}

fn decode(body: &[u8]) -> Result<Stored, StartError> {
    serde_json::from_slice(body).map_err(|_| StartError::Corrupt)
}
