//! The query language as its callers see it.
#![expect(clippy::unwrap_used, reason = "also in the helpers of tests")]

mod pages;
mod properties;
mod table;
