//! Carries a group out: identities first, then documents, in one transaction of the one writing connection.
//! - Invariants: every refusal is decided before anything of the refused member is written.

use std::future::Future;
use std::pin::Pin;

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Sqlite, Transaction};

use crate::clock;
use crate::error::RegistryError;
use crate::limits::DEVICE_MODULES_MAX;
use crate::random;
use crate::registry::{self, IdentityName, Record};
use crate::store::group::{Commit, Failure, Group, Order, Outcome};
use crate::store::plan::{self, Found};
use crate::store::sqlite::{document, row};

#[derive(Debug)]
pub(super) struct SqliteWriter(pub(super) SqlitePool);

impl Commit for SqliteWriter {
    fn commit<'a>(&'a self, group: &'a Group) -> Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send + 'a>> {
        Box::pin(async move {
            let (transaction, outcome) = self.write(group).await.map_err(Failure::RolledBack)?;
            transaction.commit().await.map_err(|error| Failure::Unknown(error.into()))?;
            Ok(outcome)
        })
    }
}

impl SqliteWriter {
    async fn write(&self, group: &Group) -> Result<(Transaction<'static, Sqlite>, Outcome), RegistryError> {
        let mut transaction = self.0.begin_with("BEGIN IMMEDIATE").await?;
        let mut orders = Vec::with_capacity(group.orders.len());
        for order in &group.orders {
            orders.push(match carry_out(&mut transaction, order).await {
                Err(error @ (RegistryError::Store(_) | RegistryError::Busy)) => return Err(error),
                result => result,
            });
        }
        let identities: Vec<_> = plan::identities(&group.batches).into_iter().collect();
        let keys: Vec<_> = plan::keys(&group.batches).into_iter().collect();
        let found = Found {
            identities: document::identities(&mut transaction, &identities).await?,
            versions: document::versions(&mut transaction, &keys).await?,
        };
        let plan = plan::plan(&group.batches, &found);
        document::write(&mut transaction, &plan.effects).await?;
        Ok((transaction, Outcome { orders, batches: plan.answers }))
    }
}

async fn carry_out(connection: &mut SqliteConnection, order: &Order) -> Result<Record, RegistryError> {
    match order {
        Order::Create(record) => create(connection, record).await,
        Order::Update(name, expected, update) => {
            let found = row::find(connection, name).await?.ok_or_else(|| registry::not_found(name))?;
            expected.check(found.etag)?;
            let record = found.updated(update.clone(), clock::now(), random::salt()?)?;
            row::replace(connection, &record).await?;
            Ok(record)
        }
        Order::Delete(name, expected) => {
            let found = row::find(connection, name).await?.ok_or_else(|| registry::not_found(name))?;
            expected.check(found.etag)?;
            row::delete(connection, name).await?;
            Ok(found)
        }
    }
}

async fn create(connection: &mut SqliteConnection, record: &Record) -> Result<Record, RegistryError> {
    record.check()?;
    if record.name.module_id().is_some() {
        let device = IdentityName::new(record.name.device_id(), None)?;
        if !row::is_there(connection, &device).await? {
            return Err(RegistryError::DeviceNotFound);
        }
        if row::is_there(connection, &record.name).await? {
            return Err(RegistryError::ModuleExists);
        }
        if row::modules(connection, record.name.device_id()).await? >= DEVICE_MODULES_MAX {
            return Err(RegistryError::TooManyModules);
        }
    }
    if row::insert(connection, std::slice::from_ref(record)).await?.is_empty() {
        Ok(record.clone())
    } else {
        Err(registry::exists(&record.name))
    }
}
