//! Bounds of the HTTPS door that are not configured.

use std::time::Duration;

use millrace_model::limits::MESSAGE_BYTES_MAX;

/// Head of a request: a message with its properties in headers, and a token.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Headers of a request.
pub(crate) const HEADERS_MAX: usize = 512;

/// Body of a batch: base64 makes four thirds of a message, and the JSON around it is allowed as much again as the difference.
pub(crate) const BATCH_BODY_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 2 * (MESSAGE_BYTES_MAX / 3);

/// Messages of one batch: more than fit with SDKs' own overhead of 30 bytes and more each.
pub(crate) const BATCH_MESSAGES_MAX: usize = 10_000;

/// Messages of one request that wait for the journal at once, so that one batch does not fill a shard's queue.
pub(crate) const SUBMISSIONS_MAX: usize = 128;

/// A message that is not safe by then is answered for with 503; it may be stored all the same.
pub(crate) const SUBMIT_TIME: Duration = Duration::from_secs(30);

/// What a device that was told to wait should wait, in seconds.
pub(crate) const RETRY_SECONDS: &str = "5";

/// Bytes that one direction of a WebSocket holds.
pub(crate) const WEBSOCKET_BYTES: usize = 4 * 1024;

/// How long the other side of a WebSocket may take to say goodbye.
pub(crate) const WEBSOCKET_CLOSE_TIME: Duration = Duration::from_secs(5);

/// Pause after a failed accept (no descriptors left), so that it does not spin.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// JSON bodies of the file routes.
pub(crate) const FILE_BODY_BYTES_MAX: usize = 16 * 1024;

/// Locks on commands that a device may ask for, in seconds.
pub(crate) const LOCK_SECONDS: std::ops::RangeInclusive<u64> = 1..=300;

const _: () = assert!(BATCH_BODY_BYTES_MAX > MESSAGE_BYTES_MAX / 3 * 4);
