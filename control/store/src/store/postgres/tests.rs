//! The common suites, and what is particular to a database that several nodes share.

use super::*;
use crate::store::postgres::server::database;
use crate::store::{document_suite, suite};

async fn open() -> ((), PostgresStore) {
    ((), PostgresStore::open(&database().await).await.unwrap())
}

#[tokio::test]
async fn does_what_every_store_must() {
    suite::every_check(open).await;
}

#[tokio::test]
async fn keeps_documents_as_every_store_must() {
    document_suite::every_check(open).await;
}
