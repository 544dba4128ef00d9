//! One file per command.

pub(crate) mod config;
pub(crate) mod device;
pub(crate) mod journal;
pub(crate) mod route;
