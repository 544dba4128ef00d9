//! Whole-sink tests.
