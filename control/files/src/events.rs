//! What file uploads count and log.

use metrics::counter;

const BEGUN: &str = "millrace_files_uploads_begun_total";
const FINISHED: &str = "millrace_files_uploads_finished_total";
const EXPIRED: &str = "millrace_files_uploads_expired_total";
const BYTES: &str = "millrace_files_received_bytes";
const REFUSED: &str = "millrace_files_requests_refused_total";
const NOTIFIED: &str = "millrace_files_notifications_total";
const DROPPED: &str = "millrace_files_notifications_dropped_total";

pub(crate) fn describe() {
    metrics::describe_counter!(BEGUN, "File uploads begun");
    metrics::describe_counter!(FINISHED, "File uploads that their device called finished, by outcome");
    metrics::describe_counter!(EXPIRED, "File uploads that nobody finished in time");
    metrics::describe_counter!(BYTES, "Bytes of files received");
    metrics::describe_counter!(REFUSED, "Requests to the blob endpoint that were refused");
    metrics::describe_counter!(NOTIFIED, "Notifications of finished uploads put into the queue");
    metrics::describe_counter!(DROPPED, "Notifications dropped: queue full, time over, or handed out too often");
}

pub(crate) fn begun() {
    counter!(BEGUN).increment(1);
}

pub(crate) fn finished(is_success: bool) {
    counter!(FINISHED, "outcome" => if is_success { "success" } else { "failure" }).increment(1);
}

pub(crate) fn expired(count: u64) {
    counter!(EXPIRED).increment(count);
}

pub(crate) fn received(bytes: u64) {
    counter!(BYTES).increment(bytes);
}

pub(crate) fn refused(code: &str) {
    counter!(REFUSED).increment(1);
    tracing::debug!(code, "a request to the blob endpoint was refused");
}

pub(crate) fn notified() {
    counter!(NOTIFIED).increment(1);
}

pub(crate) fn notification_dropped(why: &str) {
    counter!(DROPPED).increment(1);
    tracing::warn!(why, "a file notification was dropped");
}

pub(crate) fn store_failed(error: &dyn std::error::Error) {
    tracing::warn!(%error, "the store of files or of their records failed");
}

pub(crate) fn swept(records: u64, objects: u64) {
    tracing::info!(records, objects, "unfinished uploads were cleaned away");
}
