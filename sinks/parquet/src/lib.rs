//! Delivers batches to Parquet files.
