//! An import into PostgreSQL: one transaction, many rows in each statement.
//! - Invariants: dropped before [`Import::commit`], nothing of it remains. Until then other changes of identities wait.

use sqlx::{Postgres, Transaction};

use crate::registry::Record;
use crate::store::postgres::row;
use crate::store::{Import, Pending};

/// Rows in one statement: each costs a round trip and three runs of a trigger.
const STATEMENT_ROWS_MAX: usize = 5_000;

pub(super) struct PostgresImport(pub(super) Transaction<'static, Postgres>);

impl Import for PostgresImport {
    fn add<'a>(&'a mut self, records: &'a [Record]) -> Pending<'a, Vec<usize>> {
        Box::pin(async move {
            let mut left_out = Vec::new();
            for (step, records) in records.chunks(STATEMENT_ROWS_MAX).enumerate() {
                let start = step.saturating_mul(STATEMENT_ROWS_MAX);
                let positions = row::insert(&mut self.0, records).await?;
                left_out.extend(positions.into_iter().map(|position| position.saturating_add(start)));
            }
            Ok(left_out)
        })
    }

    fn commit(self: Box<Self>) -> Pending<'static, ()> {
        Box::pin(async move { Ok(self.0.commit().await?) })
    }
}
