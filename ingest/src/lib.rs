//! Listeners, TLS, admission, shards.
