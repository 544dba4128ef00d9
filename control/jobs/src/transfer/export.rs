//! Exports: a line for each identity, with its twin.
//! - Shape: identities, in pages -> ExportImportDevice lines -> blob. Configurations, if asked for, into a blob of their own.
//! - Invariants: the blob appears only when it is whole.

use std::collections::HashMap;

use millrace_control::hub_error;
use millrace_control_store::documents::{Collection, DocumentKey};
use millrace_control_store::limits::PAGE_IDENTITIES_MAX;
use millrace_control_store::registry::Record;
use millrace_control_twin::Twin;
use millrace_model::{HubError, IdentityName};
use object_store::buffered::BufWriter;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::container::Container;
use super::import::failed_io;
use super::job::Progress;
use super::run::{Held, Stop};
use crate::events;
use crate::jobs::Jobs;
use crate::shape::{BulkIdentity, IdentityBody, ImportMode, PropertiesBody};

impl Jobs {
    pub(super) async fn export(&self, held: &mut Held) -> Result<(), Stop> {
        let request = held.transfer.request().clone();
        let output = self.shared.containers.open(&request.output).map_err(Stop::Impossible)?;
        let store = self.shared.control.store();
        let total = store.count().await.map_err(|error| hub_error(&error))?.total;
        let mut writer = BufWriter::new(output.store.clone(), output.blob(&request.output_blob));
        let unwritten = |error: std::io::Error| failed_io("the output blob cannot be written", &error);
        let mut last: Option<IdentityName> = None;
        let (mut identities, mut devices) = (0_u64, 0_u64);
        loop {
            let page = store.identities(last.as_ref(), PAGE_IDENTITIES_MAX).await.map_err(|error| hub_error(&error))?;
            let Some(record) = page.last() else { break };
            last = Some(record.name.clone());
            let lines = self.lines_of(&page, request.without_keys).await?;
            writer.write_all(&lines).await.map_err(unwritten)?;
            let count = |number: usize| u64::try_from(number).unwrap_or_default();
            identities = identities.saturating_add(count(page.len()));
            devices =
                devices.saturating_add(count(page.iter().filter(|record| record.name.module_id().is_none()).count()));
            events::transferred("export", page.len());
            let hundredths = devices.saturating_mul(100).checked_div(total).unwrap_or(0).min(99);
            let percent = u8::try_from(hundredths).unwrap_or(99);
            self.advance(held, Progress { percent, identities, ..Progress::default() }, Vec::new()).await?;
        }
        writer.shutdown().await.map_err(unwritten)?;
        if request.with_configurations {
            self.export_configurations(&output, &request.configurations_blob).await?;
        }
        Ok(())
    }

    async fn lines_of(&self, records: &[Record], without_keys: bool) -> Result<Vec<u8>, HubError> {
        let keys: Vec<_> = records.iter().map(|record| DocumentKey::of(Collection::Twin, &record.name)).collect();
        let found = self.shared.control.documents().read_many(&keys).await.map_err(|error| hub_error(&error))?;
        let mut twins: HashMap<DocumentKey, Vec<u8>> =
            found.into_iter().map(|document| (document.key, document.body)).collect();
        let mut lines = Vec::new();
        for (record, key) in records.iter().zip(keys) {
            let twin = twins.remove(&key).map(|body| Twin::decode(&body)).transpose().map_err(|_| {
                events::corrupt("twin", &key.owner);
                HubError::SERVER
            })?;
            // There is nothing in it that cannot be written.
            lines
                .extend(serde_json::to_vec(&line(record, &twin.unwrap_or_default(), without_keys)).unwrap_or_default());
            lines.push(b'\n');
        }
        Ok(lines)
    }

    async fn export_configurations(&self, output: &Container, name: &str) -> Result<(), Stop> {
        let mut writer = BufWriter::new(output.store.clone(), output.blob(name));
        let unwritten = |error: std::io::Error| failed_io("the blob with the configurations cannot be written", &error);
        for configuration in self.configurations(usize::MAX).await? {
            let mut line = configuration;
            if let Value::Object(members) = &mut line {
                members.insert("importMode".to_owned(), "createOrUpdate".into());
            }
            writer.write_all(format!("{line}\n").as_bytes()).await.map_err(unwritten)?;
        }
        writer.shutdown().await.map_err(unwritten)
    }
}

/// An identity with its twin, as an import reads it.
fn line(record: &Record, twin: &Twin, without_keys: bool) -> BulkIdentity {
    let mut body = IdentityBody::from(record);
    let if_match = body.etag.take();
    body.device_id = String::new();
    // What is about its connection does not belong to it, and is not imported.
    body.generation_id = None;
    body.status_updated_time = None;
    body.connection_state = None;
    body.connection_state_updated_time = None;
    body.last_activity_time = None;
    body.cloud_to_device_message_count = None;
    if let Some(authentication) = body.authentication.as_mut().filter(|_| without_keys) {
        authentication.forget_keys();
    }
    BulkIdentity {
        id: record.name.device_id().to_owned(),
        if_match,
        import_mode: ImportMode::CreateOrUpdate,
        twin_if_match: Some(twin.etag()),
        tags: Some(Value::Object(twin.tags().clone())),
        properties: Some(PropertiesBody {
            desired: Some(json!(twin.desired())),
            reported: Some(json!(twin.reported())),
        }),
        body,
    }
}

#[cfg(test)]
mod tests {
    use millrace_control_store::registry::Authentication;
    use millrace_model::Timestamp;
    use millrace_protocols_identity::Key;

    use super::*;

    #[test]
    fn what_is_exported_can_be_imported() {
        let key = || Key::from_bytes(&[b'k'; 32]).unwrap();
        let authentication = Authentication::Sas { primary: key(), secondary: key() };
        let name = IdentityName::new("d", Some("m")).unwrap();
        let record = Record::new(name.clone(), authentication, Timestamp(1_000), 7);
        let patch = json!({"tags": {"a": 1}, "properties": {"desired": {"x": 2}}});
        let twin = Twin::fresh().patch_service(None, &patch, Timestamp(1_000)).unwrap().twin;
        for without_keys in [false, true] {
            let text = serde_json::to_string(&line(&record, &twin, without_keys)).unwrap();
            assert_eq!(text.contains("a2tra2tr"), !without_keys, "{text}");
            assert!(!text.contains("deviceId") && text.contains("\"tags\":{\"a\":1}"));
            let back: BulkIdentity = serde_json::from_str(&text).unwrap();
            assert_eq!(back.name().unwrap(), name);
            assert_eq!(back.properties.unwrap().desired, Some(json!({"x": 2})));
        }
    }
}
