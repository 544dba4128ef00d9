//! End-to-end tests with real clients, brokers and readers. The tests themselves stand in `tests/`; here is what they share.
//! - Invariants: every server runs on a free loopback port in its own temporary directory, and ends with the value that started it.

pub mod certificates;
pub mod device;
pub mod driver;
pub mod hub;
pub mod kafka;
pub mod load;
pub mod node;
pub mod postgres;
pub mod programs;
pub mod python;
pub mod rest;
pub mod scene;
pub mod sdk;
