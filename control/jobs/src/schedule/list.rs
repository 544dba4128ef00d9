//! Which devices a job is about: one row each, written before anything is done.
//! - Invariants: each page of rows is written together with the place where listing goes on, so that none is left out or counted twice.

use millrace_control_query::{Condition, Source};
use millrace_control_store::clock;
use millrace_control_store::documents::{Collection, DocumentKey, Precondition, Write};
use millrace_model::{HubError, IdentityName};
use serde_json::Value;

use super::outcome::DeviceJob;
use super::run::{Held, Stop};
use crate::error::JobError;
use crate::jobs::Jobs;
use crate::limits::LISTED_PER_STEP;

/// Identities that a condition means, from a page of all.
struct Meant {
    names: Vec<IdentityName>,
    /// The last one that was looked at; `None` at the end.
    behind: Option<IdentityName>,
}

impl Jobs {
    /// Gives each device that is meant its row, from where listing stopped.
    pub(super) async fn list(&self, held: &mut Held) -> Result<(), Stop> {
        let condition = Condition::parse(held.job.condition())
            .map_err(|error| HubError::from(JobError::Query { member: "queryCondition".to_owned(), error }))?;
        while !held.job.is_listed() && !held.job.status().is_end() && !held.job.is_overdue(clock::now()) {
            let meant = self.meant(&condition, held.job.listed_behind()).await?;
            let now = clock::now();
            let row = |name: &IdentityName| {
                let row = DeviceJob::pending(name, held.job.id(), held.job.job_type(), now);
                Write::put(row_key(held.job.id(), name), Precondition::Any, row.encode())
            };
            let rows = meant.names.iter().map(row).collect();
            self.write(held, rows, |job| job.listed(meant.names.len(), meant.behind.as_ref())).await?;
        }
        Ok(())
    }

    async fn meant(&self, condition: &Condition, after: Option<IdentityName>) -> Result<Meant, HubError> {
        let control = &self.shared.control;
        if let Some(keys) = condition.keys().filter(|_| condition.source() == Source::Devices) {
            let behind = after.as_ref().map(IdentityName::device_id);
            let later = keys.values.iter().filter(|id| behind.is_none_or(|behind| **id > behind));
            let names: Vec<_> = later.filter_map(|id| IdentityName::new(id, None).ok()).take(LISTED_PER_STEP).collect();
            let behind = names.last().filter(|_| names.len() == LISTED_PER_STEP).cloned();
            let rows = control.rows_of(&names).await?;
            return Ok(Meant { names: matching(condition, &rows), behind });
        }
        let after = after.map(|name| key_of(&name)).unwrap_or_default();
        let (rows, last) = control.rows(condition.source(), &after, LISTED_PER_STEP).await?;
        Ok(Meant { names: matching(condition, &rows), behind: last.as_deref().and_then(name_of) })
    }
}

/// Key of a device's row.
pub(super) fn row_key(job_id: &str, name: &IdentityName) -> DocumentKey {
    DocumentKey::new(Collection::DeviceJob, job_id, &name.to_string())
}

fn matching(condition: &Condition, rows: &[(Vec<Box<str>>, Value)]) -> Vec<IdentityName> {
    rows.iter().filter(|(_, row)| condition.matches(row)).filter_map(|(key, _)| name_of(key)).collect()
}

fn name_of(key: &[Box<str>]) -> Option<IdentityName> {
    IdentityName::new(key.first()?, key.get(1).map(|id| &**id)).ok()
}

fn key_of(name: &IdentityName) -> Vec<Box<str>> {
    std::iter::once(name.device_id().into()).chain(name.module_id().map(Into::into)).collect()
}
