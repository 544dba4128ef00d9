//! Digital twins.
