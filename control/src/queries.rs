//! Queries: the rows that the query language is asked about, a page at a time.
//! - Source: Azure IoT Hub query language over twins, modules and what jobs did.
//! - Shape: a source of rows in the order of their keys -> `control/query` decides about each -> a page with where to go on. A condition on
//!   the key is looked up instead of read through.
//! - Limits: [`ROWS_SCANNED_MAX`] rows are looked at for one page; then it is given out with what it has, even if that is nothing. A
//!   query with groups looks at all rows.

use std::collections::HashMap;

use millrace_control_command::Queue;
use millrace_control_query::{Answer, End, Query, Run, Source};
use millrace_control_store::documents::{Collection, DocumentKey, Scan};
use millrace_control_store::registry::Record;
use millrace_control_twin::Twin;
use millrace_model::{HubError, IdentityName};
use serde_json::Value;

use crate::control::Control;
use crate::events;
use crate::failure::hub_error;
use crate::limits::{ROWS_MAX, ROWS_SCANNED_MAX};
use crate::throttle::Operation;
use crate::twins::decoded;

/// A row with its key.
pub type Row = (Vec<Box<str>>, Value);

impl Control {
    /// A page of at most `count` rows of what a query asks for.
    ///
    /// # Errors
    /// When the text is no query, the continuation belongs to another one, there are too many groups, or the store failed.
    pub async fn query(&self, text: &str, continuation: Option<&str>, count: usize) -> Result<Answer, HubError> {
        self.shared.throttles.pass(Operation::Query).await?;
        let query = Query::parse(text)?;
        if !matches!(query.source(), Source::Devices | Source::Modules | Source::Jobs) {
            return Err(HubError::ARGUMENT.because("the provisioning service answers queries of enrollments"));
        }
        let mut run = Run::new(&query, continuation, count)?;
        let with_counts = query.needs().reads(&["cloudToDeviceMessageCount"]);
        if let Some(keys) = query.keys().filter(|_| query.source() == Source::Devices) {
            let after = run.after().first().cloned();
            let wanted = keys.values.iter().filter(|id| after.as_deref().is_none_or(|after| **id > after));
            let names: Vec<_> = wanted.filter_map(|id| IdentityName::new(id, None).ok()).collect();
            for part in names.chunks(ROWS_MAX) {
                for (key, row) in self.looked_up(part, with_counts).await? {
                    offer(&mut run, &key, row)?;
                }
            }
            return Ok(run.finish(End::Exhausted));
        }
        // What one job did lies together; nobody looks through all jobs for it.
        let jobs = query.values_of("jobId").filter(|_| query.source() == Source::Jobs);
        let job = jobs.as_deref().and_then(|jobs| if let [job] = jobs { Some(*job) } else { None });
        let mut after = run.after().to_vec();
        let mut scanned: usize = 0;
        while run.wants_more() {
            if scanned >= ROWS_SCANNED_MAX && !query.is_aggregate() {
                return Ok(run.finish(End::More));
            }
            let (rows, last) = match job {
                Some(job) => self.job_rows(Some(job), &after, ROWS_MAX).await?,
                None => self.rows_behind(query.source(), &after, ROWS_MAX, with_counts).await?,
            };
            let Some(last) = last else { return Ok(run.finish(End::Exhausted)) };
            after = last;
            scanned = scanned.saturating_add(ROWS_MAX);
            for (key, row) in rows {
                offer(&mut run, &key, row)?;
            }
        }
        Ok(run.finish(End::More))
    }

    /// Rows of a source in the order of their keys, from the first one behind `after` (empty: from the start); with the key of the last row
    /// that was looked at, `None` at the end. There may be fewer rows than `count`, or none, before the end.
    ///
    /// # Errors
    /// When the store failed, or the source is not this hub's.
    pub async fn rows(
        &self,
        source: Source,
        after: &[Box<str>],
        count: usize,
    ) -> Result<(Vec<Row>, Option<Vec<Box<str>>>), HubError> {
        self.rows_behind(source, after, count.clamp(1, ROWS_MAX), true).await
    }

    /// Rows of the devices and modules of these names; those that are not there are left out.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn rows_of(&self, names: &[IdentityName]) -> Result<Vec<Row>, HubError> {
        let mut rows = Vec::new();
        for part in names.chunks(ROWS_MAX) {
            rows.extend(self.looked_up(part, true).await?);
        }
        Ok(rows)
    }

    async fn rows_behind(
        &self,
        source: Source,
        after: &[Box<str>],
        count: usize,
        with_counts: bool,
    ) -> Result<(Vec<Row>, Option<Vec<Box<str>>>), HubError> {
        match source {
            Source::Devices => {
                let after = after.first().map(|id| &**id);
                let records = self.shared.store.devices(after, count).await.map_err(|error| hub_error(&error))?;
                let last = records.last().map(|record| key_of(&record.name));
                Ok((self.twin_rows(&records, with_counts).await?, last))
            }
            Source::Modules => {
                let after = name_of(after);
                let found = self.shared.store.identities(after.as_ref(), count).await;
                let mut records = found.map_err(|error| hub_error(&error))?;
                let last = records.last().map(|record| key_of(&record.name));
                records.retain(|record| record.name.module_id().is_some());
                Ok((self.twin_rows(&records, false).await?, last))
            }
            Source::Jobs => self.job_rows(None, after, count).await,
            _ => Err(HubError::ARGUMENT.because("the hub has no such rows")),
        }
    }

    async fn looked_up(&self, names: &[IdentityName], with_counts: bool) -> Result<Vec<Row>, HubError> {
        let records = self.shared.store.find_many(names).await.map_err(|error| hub_error(&error))?;
        self.twin_rows(&records, with_counts).await
    }

    async fn twin_rows(&self, records: &[Record], with_counts: bool) -> Result<Vec<Row>, HubError> {
        let mut twins = self.twins_of_records(records).await?;
        let counts = if with_counts { self.counts_of(records).await? } else { HashMap::new() };
        let row = |record: &Record| {
            let twin = twins.remove(&DocumentKey::of(Collection::Twin, &record.name)).unwrap_or_default();
            let count = counts.get(record.name.device_id()).copied().unwrap_or_default();
            let count = if record.name.module_id().is_none() { count } else { 0 };
            (key_of(&record.name), self.view(record, &twin, count))
        };
        Ok(records.iter().map(row).collect())
    }

    async fn twins_of_records(&self, records: &[Record]) -> Result<HashMap<DocumentKey, Twin>, HubError> {
        let keys: Vec<_> = records.iter().map(|record| DocumentKey::of(Collection::Twin, &record.name)).collect();
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let found = self.shared.documents.read_many(&keys).await.map_err(|error| hub_error(&error))?;
        found.into_iter().map(|document| Ok((document.key, decoded(&document.body)?))).collect()
    }

    async fn counts_of(&self, records: &[Record]) -> Result<HashMap<Box<str>, u64>, HubError> {
        let devices = records.iter().filter(|record| record.name.module_id().is_none());
        let keys: Vec<_> =
            devices.map(|record| DocumentKey::new(Collection::CommandQueue, record.name.device_id(), "")).collect();
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let found = self.shared.documents.read_many(&keys).await.map_err(|error| hub_error(&error))?;
        let count = |body: &[u8]| Queue::decode(body).map_or(0, |queue| u64::try_from(queue.len()).unwrap_or(u64::MAX));
        Ok(found.into_iter().map(|document| (document.key.owner, count(&document.body))).collect())
    }

    /// What jobs did, or one job: documents that are JSON objects in the form in which the service sees them.
    async fn job_rows(
        &self,
        job: Option<&str>,
        after: &[Box<str>],
        count: usize,
    ) -> Result<(Vec<Row>, Option<Vec<Box<str>>>), HubError> {
        let after = match after {
            [owner, name, ..] => Some((owner.clone(), name.clone())),
            _ => None,
        };
        let scan = Scan { collection: Collection::DeviceJob, owner: job.map(Into::into), after, count };
        let found = self.shared.documents.scan(&scan).await.map_err(|error| hub_error(&error))?;
        let last = found.last().map(|document| vec![document.key.owner.clone(), document.key.name.clone()]);
        let rows = found.into_iter().filter_map(|document| {
            let row = serde_json::from_slice(&document.body);
            let row = row.inspect_err(|error| events::corrupt("device job", error)).ok()?;
            Some((vec![document.key.owner, document.key.name], row))
        });
        Ok((rows.collect(), last))
    }
}

fn offer(run: &mut Run<'_>, key: &[Box<str>], row: Value) -> Result<(), HubError> {
    let parts: Vec<&str> = key.iter().map(|part| &**part).collect();
    Ok(run.offer(&parts, row)?)
}

fn key_of(name: &IdentityName) -> Vec<Box<str>> {
    let module_id = name.module_id().map(Into::into);
    std::iter::once(name.device_id().into()).chain(module_id).collect()
}

fn name_of(key: &[Box<str>]) -> Option<IdentityName> {
    IdentityName::new(key.first()?, key.get(1).map(|id| &**id)).ok()
}
