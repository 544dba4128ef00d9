//! Keeps what every node holds in memory in step with the store: models and certificates.
//! - Shape: every [`SNAPSHOT_PAUSE`] the collections' revisions are compared; what has another one is read anew.
//! - Invariants: while the store cannot be read, snapshots stay as they are.

use millrace_control_store::documents::Collection;
use millrace_control_store::error::RegistryError;
use tokio::time::sleep;

use crate::control::Control;
use crate::events;
use crate::limits::SNAPSHOT_PAUSE;

impl Control {
    /// Reads everything once.
    pub(crate) async fn load_snapshots(&self) -> Result<(), RegistryError> {
        self.load_models().await?;
        self.load_certificates().await
    }

    /// Reads again what has changed, for as long as it is not dropped.
    pub(crate) async fn follow_snapshots(&self) {
        let mut seen = [i64::MIN; 2];
        let mut failing = false;
        loop {
            match self.follow_once(&mut seen).await {
                Ok(()) => failing = false,
                Err(error) => {
                    if !failing {
                        events::store_failed(&error);
                    }
                    failing = true;
                }
            }
            sleep(SNAPSHOT_PAUSE).await;
        }
    }

    async fn follow_once(&self, seen: &mut [i64; 2]) -> Result<(), RegistryError> {
        let [models, certificates] = seen;
        // The revision is read before the documents: what changes in between is read again.
        let revision = self.shared.documents.revision(Collection::Model).await?;
        if revision != *models {
            self.load_models().await?;
            *models = revision;
        }
        let revision = self.shared.documents.revision(Collection::Certificate).await?;
        if revision != *certificates {
            self.load_certificates().await?;
            *certificates = revision;
        }
        Ok(())
    }
}
