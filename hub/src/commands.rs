//! One file per command.

pub(crate) mod config;
pub(crate) mod journal;
pub(crate) mod operator;
pub(crate) mod route;
