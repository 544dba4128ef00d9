//! What the service asks of configurations: put one in, look, try its queries, delete.

use millrace_control_query::Condition;
use millrace_control_store::clock;
use millrace_control_store::documents::{Collection, DocumentKey, Precondition, Write};
use millrace_model::HubError;
use serde_json::{Map, Value, json};

use super::document::{Configuration, metric};
use super::round::notes_key;
use crate::documents::{self, WriteError};
use crate::error::JobError;
use crate::events;
use crate::jobs::Jobs;
use crate::limits::{CONFIGURATIONS_MAX, METRICS_MAX};

impl Jobs {
    /// Adds a configuration or, with `if_match`, replaces the one that has this etag.
    ///
    /// # Errors
    /// When a member cannot be what it is, the id is taken, it has another etag, there are too many, or the store failed.
    pub async fn put_configuration(&self, id: &str, body: &Value, if_match: Option<&str>) -> Result<Value, HubError> {
        let control = &self.shared.control;
        let found = self.find_configuration(id).await?;
        let (configuration, precondition) = match (&found, if_match) {
            (Some(_), None) => return Err(JobError::ConfigurationExists.into()),
            (None, Some(_)) => return Err(JobError::ConfigurationNotFound.into()),
            (Some((before, _)), Some(etag)) if !before.is_meant(etag) => return Err(JobError::Etag.into()),
            (Some((before, version)), Some(_)) => {
                (Configuration::parse(id, body, Some(before), clock::now())?, Precondition::Version(*version))
            }
            (None, None) => (Configuration::parse(id, body, None, clock::now())?, Precondition::Absent),
        };
        if found.is_none() && documents::count(control, Collection::Configuration, "").await? >= CONFIGURATIONS_MAX {
            return Err(JobError::TooManyConfigurations.into());
        }
        let writes = vec![
            Write::put(key(id), precondition, configuration.encode()),
            Write::put(notes_key(), Precondition::Any, Vec::new()),
        ];
        documents::apply(control, writes).await.map_err(|error| match error {
            WriteError::Conflict if found.is_none() => JobError::ConfigurationExists.into(),
            other => HubError::from(other),
        })?;
        self.changed().await?;
        Ok(configuration.response(&self.shared.rounds.counts(id)))
    }

    /// A configuration with its numbers.
    ///
    /// # Errors
    /// When there is none of that id, or the store failed.
    pub async fn configuration(&self, id: &str) -> Result<Value, HubError> {
        let (configuration, _) = self.find_configuration(id).await?.ok_or(JobError::ConfigurationNotFound)?;
        Ok(configuration.response(&self.shared.rounds.counts(id)))
    }

    /// At most `count` configurations, in the order of their ids.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn configurations(&self, count: usize) -> Result<Vec<Value>, HubError> {
        let all = usize::try_from(CONFIGURATIONS_MAX).unwrap_or(usize::MAX);
        let control = &self.shared.control;
        let found = documents::scan(control, Collection::Configuration, "", None, count.min(all)).await?;
        let read = found.iter().filter_map(|document| Configuration::decode(&document.body));
        Ok(read.map(|one| one.response(&self.shared.rounds.counts(one.id()))).collect())
    }

    /// Deletes a configuration. What it has applied stays.
    ///
    /// # Errors
    /// When there is none of that id, it has another etag, or the store failed.
    pub async fn delete_configuration(&self, id: &str, if_match: Option<&str>) -> Result<(), HubError> {
        let (configuration, version) = self.find_configuration(id).await?.ok_or(JobError::ConfigurationNotFound)?;
        if !if_match.is_none_or(|etag| configuration.is_meant(etag)) {
            return Err(JobError::Etag.into());
        }
        let write = Write::remove(key(id), Precondition::Version(version));
        documents::apply(&self.shared.control, vec![write]).await?;
        self.changed().await
    }

    /// What is wrong with a condition and with queries, told without keeping them.
    ///
    /// # Errors
    /// When the body is not what belongs there.
    pub fn test_queries(&self, body: &Value) -> Result<Value, HubError> {
        let Value::Object(body) = body else {
            return Err(HubError::FORMAT.because("the body is an object with targetCondition and customMetricQueries"));
        };
        let target = body.get("targetCondition").and_then(Value::as_str).unwrap_or_default();
        let target_error = Condition::parse(target).err().map(|error| error.to_string());
        let queries = body.get("customMetricQueries").and_then(Value::as_object);
        if queries.map_or(0, Map::len) > METRICS_MAX {
            return Err(HubError::ARGUMENT.because(format!("customMetricQueries are at most {METRICS_MAX}")));
        }
        let mut errors = Map::new();
        for (name, query) in queries.into_iter().flatten() {
            if let Err(error) = metric(name, query.as_str().unwrap_or_default()) {
                errors.insert(name.clone(), error.to_string().into());
            }
        }
        Ok(json!({ "targetConditionError": target_error, "customMetricQueryErrors": errors }))
    }

    /// Adds or replaces a configuration.
    pub(crate) async fn import_configuration(&self, id: &str, body: &Value) -> Result<(), HubError> {
        let is_there = self.find_configuration(id).await?.is_some();
        self.put_configuration(id, body, is_there.then_some("*")).await.map(drop)
    }

    async fn find_configuration(&self, id: &str) -> Result<Option<(Configuration, i64)>, HubError> {
        let found = documents::read(&self.shared.control, &key(id)).await?;
        let Some(document) = found else { return Ok(None) };
        let configuration = Configuration::decode(&document.body).ok_or_else(|| {
            events::corrupt("configuration", id);
            HubError::SERVER
        })?;
        Ok(Some((configuration, document.version)))
    }

    async fn changed(&self) -> Result<(), HubError> {
        self.load_configurations().await?;
        self.shared.rounds.want();
        Ok(())
    }
}

/// Key of a configuration. What is no id names none.
fn key(id: &str) -> DocumentKey {
    let id = if id.len() <= crate::limits::CONFIGURATION_ID_CHARACTERS_MAX { id } else { "" };
    DocumentKey::new(Collection::Configuration, "", id)
}
