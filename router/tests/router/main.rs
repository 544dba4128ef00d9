//! Tests of the router through its public interface.

mod drivers;
mod language;
mod oracle;
mod support;
mod tables;
