//! DTDL models: kept in the store, held in memory by every node.
//! - Source: DTDL versions 2 and 3. A model is never changed under its id, so adding the same again is harmless and another one is refused.
//! - Shape: a document per interface, its own JSON; the snapshot is made anew when the collection's revision changes.
//! - Limits: [`MODELS_MAX`] models of [`MODEL_BYTES_MAX`] each.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use millrace_control_store::documents::{
    ApplyError, Batch, Collection, Document, DocumentKey, Precondition, Scan, Write,
};
use millrace_control_store::error::RegistryError;
use millrace_control_twin::digital_twin::{Model, Models as FindModels};
use millrace_model::HubError;
use serde_json::Value;

use crate::control::Control;
use crate::events;
use crate::failure::hub_error;
use crate::limits::{MODEL_BYTES_MAX, MODELS_MAX, ROWS_MAX};

/// The models that this node knows.
#[derive(Default)]
pub(crate) struct Models(RwLock<Arc<Snapshot>>);

#[derive(Default)]
pub(crate) struct Snapshot {
    models: HashMap<Box<str>, Arc<Model>>,
}

/// A model in a list.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelSummary {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub display_name: Option<String>,
}

impl Models {
    /// The snapshot as it is now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, snapshot: Snapshot) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }
}

impl FindModels for Snapshot {
    fn model(&self, id: &str) -> Option<Arc<Model>> {
        self.models.get(id).cloned()
    }
}

impl Control {
    /// Adds the interfaces of a DTDL document: one, or an array. Answers their ids, those they need first.
    ///
    /// # Errors
    /// All that is wrong with them; `EXISTS` when an id stands for another model already.
    pub async fn add_models(&self, document: &[u8]) -> Result<Vec<String>, HubError> {
        let snapshot = self.shared.models.snapshot();
        let parsed = Model::parse_all(document, &*snapshot)?;
        let mut writes = Vec::new();
        let mut ids = Vec::new();
        for (model, json) in &parsed {
            let id = model.id().as_str();
            ids.push(id.to_owned());
            match self.model_document(id).await? {
                Some(known) if same_json(&known.body, json) => {}
                Some(_) => return Err(HubError::EXISTS.because(format!("another model has the id {id}"))),
                None => writes.push(model_write(id, json)?),
            }
        }
        let count = self.shared.documents.count_documents(Collection::Model, None).await;
        let count = usize::try_from(count.map_err(|error| hub_error(&error))?).unwrap_or(usize::MAX);
        if count.saturating_add(writes.len()) > MODELS_MAX {
            return Err(HubError::TOO_LARGE.because(format!("a hub keeps at most {MODELS_MAX} models")));
        }
        if !writes.is_empty() {
            let applied = self.shared.documents.apply(Batch { identity: None, writes }).await;
            applied.map_err(|error| match error {
                ApplyError::Store(error) => hub_error(&error),
                ApplyError::TooLarge => HubError::TOO_LARGE,
                _ => HubError::EXISTS,
            })?;
            self.load_models().await.map_err(|error| hub_error(&error))?;
        }
        Ok(ids)
    }

    /// All models, in the order of their ids.
    #[must_use]
    pub fn models(&self) -> Vec<ModelSummary> {
        let snapshot = self.shared.models.snapshot();
        let summary = |model: &Arc<Model>| ModelSummary {
            id: model.id().as_str().to_owned(),
            display_name: model.display_name().map(str::to_owned),
        };
        let mut models: Vec<_> = snapshot.models.values().map(summary).collect();
        models.sort_unstable_by(|left, right| left.id.cmp(&right.id));
        models
    }

    /// The JSON of a model.
    ///
    /// # Errors
    /// When there is none of that id, or the store failed.
    pub async fn model(&self, id: &str) -> Result<Value, HubError> {
        let document = self.model_document(id).await?.ok_or(HubError::RESOURCE_NOT_FOUND)?;
        serde_json::from_slice(&document.body).map_err(|error| {
            events::corrupt("model", &error);
            HubError::SERVER
        })
    }

    /// Deletes a model, if no other needs it.
    ///
    /// # Errors
    /// When there is none of that id, another model needs it, or the store failed.
    pub async fn delete_model(&self, id: &str) -> Result<(), HubError> {
        let document = self.model_document(id).await?.ok_or(HubError::RESOURCE_NOT_FOUND)?;
        let snapshot = self.shared.models.snapshot();
        let needs = |model: &Model| {
            model.extends().iter().any(|base| base.as_str() == id)
                || model.components().any(|(_, component)| component.id().as_str() == id)
        };
        if let Some(other) = snapshot.models.values().find(|model| needs(model)) {
            return Err(HubError::OPERATION.because(format!("the model {} needs it", other.id().as_str())));
        }
        let write = Write::remove(document.key, Precondition::Version(document.version));
        match self.shared.documents.apply(Batch { identity: None, writes: vec![write] }).await {
            Ok(_) => self.load_models().await.map_err(|error| hub_error(&error)),
            Err(ApplyError::Store(error)) => Err(hub_error(&error)),
            Err(_) => Err(HubError::PRECONDITION),
        }
    }

    /// The model that stands for an id, if it is known.
    pub(crate) fn find_model(&self, id: Option<&str>) -> Option<Arc<Model>> {
        self.shared.models.snapshot().model(id?)
    }

    /// Makes the snapshot anew.
    pub(crate) async fn load_models(&self) -> Result<(), RegistryError> {
        let _loading = self.shared.loading.lock().await;
        let mut waiting = Vec::new();
        let mut scan = Scan { collection: Collection::Model, owner: None, after: None, count: ROWS_MAX };
        while waiting.len() < MODELS_MAX {
            let page = self.shared.documents.scan(&scan).await?;
            let Some(last) = page.last() else { break };
            scan.after = Some((last.key.owner.clone(), last.key.name.clone()));
            waiting.extend(page);
        }
        self.shared.models.replace(Snapshot::of(waiting));
        Ok(())
    }

    async fn model_document(&self, id: &str) -> Result<Option<Document>, HubError> {
        let key = DocumentKey::new(Collection::Model, "", id);
        self.shared.documents.read(&key).await.map_err(|error| hub_error(&error))
    }
}

impl Snapshot {
    /// Reads models in rounds, because those that need others can only be read after them.
    fn of(mut waiting: Vec<Document>) -> Self {
        let mut snapshot = Self::default();
        loop {
            let before = waiting.len();
            waiting.retain(|document| match Model::parse(&document.body, &snapshot) {
                Ok(model) => {
                    snapshot.models.insert(document.key.name.clone(), Arc::new(model));
                    false
                }
                Err(_) => true,
            });
            if waiting.is_empty() {
                return snapshot;
            }
            if waiting.len() == before {
                for document in &waiting {
                    if let Err(problems) = Model::parse(&document.body, &snapshot) {
                        events::corrupt("model", &problems);
                    }
                }
                return snapshot;
            }
        }
    }
}

fn same_json(stored: &[u8], json: &Value) -> bool {
    serde_json::from_slice::<Value>(stored).is_ok_and(|stored| stored == *json)
}

fn model_write(id: &str, json: &Value) -> Result<Write, HubError> {
    let body = serde_json::to_vec(json).map_err(|_| HubError::SERVER)?;
    if body.len() > MODEL_BYTES_MAX {
        return Err(HubError::TOO_LARGE.because(format!("the model {id} has more than {MODEL_BYTES_MAX} bytes")));
    }
    Ok(Write::put(DocumentKey::new(Collection::Model, "", id), Precondition::Absent, body))
}
