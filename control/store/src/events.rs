//! What the stores tell metrics. Nothing here names a device or a document.

/// Groups that a store has carried out; each cost one sync.
pub const GROUPS_TOTAL: &str = "millrace_store_groups_total";
/// Changes and batches in those groups. Divided by the groups: how many share a sync.
pub const GROUP_MEMBERS_TOTAL: &str = "millrace_store_group_members_total";
/// Groups that were tried again because another node was faster.
pub const RETRIES_TOTAL: &str = "millrace_store_retries_total";

/// A group was carried out.
pub(crate) fn committed(members: usize) {
    metrics::counter!(GROUPS_TOTAL).increment(1);
    metrics::counter!(GROUP_MEMBERS_TOTAL).increment(u64::try_from(members).unwrap_or(u64::MAX));
}

/// A group is tried again.
pub(crate) fn retried() {
    metrics::counter!(RETRIES_TOTAL).increment(1);
}
