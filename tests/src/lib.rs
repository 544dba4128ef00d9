//! End-to-end tests with real clients, brokers and readers.
