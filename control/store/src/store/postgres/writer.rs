//! Carries a group out: identities first, then documents, in one transaction and a handful of statements however large it is.
//! - Invariants: every refusal is decided before anything of the refused member is written. Locks are taken in one order, the log, then
//!   identities, then documents by their keys, so that nodes seldom wait for each other in a circle; when they do, the group is tried again.
//! - Limits: [`ATTEMPTS_MAX`] attempts, each of at most [`ATTEMPT_TIME_MAX`]; then [`RegistryError::Busy`].

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::{PgConnection, PgPool};
use tokio::time::timeout;

use crate::clock;
use crate::error::RegistryError;
use crate::events;
use crate::limits::DEVICE_MODULES_MAX;
use crate::random;
use crate::registry::{self, Record};
use crate::store::group::{Commit, Failure, Group, Order, Outcome};
use crate::store::plan::{self, Found};
use crate::store::postgres::notices::{self, Node};
use crate::store::postgres::{document, row};

/// How often a group is tried when another node gets in its way.
const ATTEMPTS_MAX: usize = 8;
/// How long an attempt may take, locks included, before the connection is given up.
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct PostgresWriter {
    pub(super) pool: PgPool,
    pub(super) node: Node,
}

impl Commit for PostgresWriter {
    fn commit<'a>(&'a self, group: &'a Group) -> Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send + 'a>> {
        Box::pin(async move {
            for _ in 1..ATTEMPTS_MAX {
                match self.attempt(group).await {
                    Err(Failure::RolledBack(error)) if is_collision(&error) => events::retried(),
                    result => return result,
                }
            }
            self.attempt(group).await
        })
    }
}

impl PostgresWriter {
    async fn attempt(&self, group: &Group) -> Result<Outcome, Failure> {
        let mut connection = self.pool.acquire().await.map_err(|error| Failure::RolledBack(error.into()))?;
        let mut is_committing = false;
        match timeout(ATTEMPT_TIME_MAX, write(&mut connection, group, self.node, &mut is_committing)).await {
            Ok(Err(error)) if is_committing => Err(Failure::Unknown(error)),
            Ok(result) => result.map_err(Failure::RolledBack),
            Err(_) => {
                // Nobody knows what state it is in, and the server may be gone.
                drop(connection.detach());
                let failure = if is_committing { Failure::Unknown } else { Failure::RolledBack };
                Err(failure(RegistryError::Busy))
            }
        }
    }
}

/// Whether the group met another node's and may do better when it is tried again.
fn is_collision(error: &RegistryError) -> bool {
    match error {
        RegistryError::Store(sqlx::Error::RowNotFound) => true,
        RegistryError::Store(sqlx::Error::Database(error)) => {
            // Serialization failure, deadlock.
            error.code().is_some_and(|code| matches!(&*code, "40001" | "40P01"))
        }
        _ => false,
    }
}

async fn write(
    connection: &mut PgConnection,
    group: &Group,
    node: Node,
    is_committing: &mut bool,
) -> Result<Outcome, RegistryError> {
    let mut transaction = connection.begin().await?;
    let mut orders = Vec::with_capacity(group.orders.len());
    if !group.orders.is_empty() {
        row::lock_log(&mut transaction).await?;
    }
    for order in &group.orders {
        orders.push(match carry_out(&mut transaction, order).await {
            Err(error @ (RegistryError::Store(_) | RegistryError::Busy)) => return Err(error),
            result => result,
        });
    }
    let identities: Vec<_> = plan::identities(&group.batches).into_iter().collect();
    let keys: Vec<_> = plan::keys(&group.batches).into_iter().collect();
    let found = Found {
        identities: document::lock_identities(&mut transaction, &identities).await?,
        versions: document::lock(&mut transaction, &keys).await?,
    };
    let plan = plan::plan(&group.batches, &found);
    document::write(&mut transaction, &plan.effects).await?;
    notices::send(&mut transaction, node, &plan.notes).await?;
    *is_committing = true;
    transaction.commit().await?;
    Ok(Outcome { orders, batches: plan.answers })
}

async fn carry_out(connection: &mut PgConnection, order: &Order) -> Result<Record, RegistryError> {
    match order {
        Order::Create(record) => create(connection, record).await,
        Order::Update(name, expected, update) => {
            let found = row::find_for_update(connection, name).await?.ok_or_else(|| registry::not_found(name))?;
            expected.check(found.etag)?;
            let record = found.updated(update.clone(), clock::now(), random::salt()?)?;
            row::replace(connection, &record).await?;
            Ok(record)
        }
        Order::Delete(name, expected) => {
            let found = row::find_for_update(connection, name).await?.ok_or_else(|| registry::not_found(name))?;
            expected.check(found.etag)?;
            row::delete(connection, name).await?;
            Ok(found)
        }
    }
}

async fn create(connection: &mut PgConnection, record: &Record) -> Result<Record, RegistryError> {
    record.check()?;
    if record.name.module_id().is_some() {
        let modules = row::device(connection, record.name.device_id()).await?.ok_or(RegistryError::DeviceNotFound)?;
        if modules >= DEVICE_MODULES_MAX && row::find(connection, &record.name).await?.is_none() {
            return Err(RegistryError::TooManyModules);
        }
    }
    if row::insert(connection, std::slice::from_ref(record)).await?.is_empty() {
        Ok(record.clone())
    } else {
        Err(registry::exists(&record.name))
    }
}
