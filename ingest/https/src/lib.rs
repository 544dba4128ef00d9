//! The HTTPS door.
