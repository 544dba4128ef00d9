//! Bounds of the provisioning service, each with its reason.

/// Longest registration id.
pub const REGISTRATION_ID_CHARACTERS_MAX: usize = 128;

/// Largest body of a registration: the service's own message limit.
pub const REGISTRATION_BODY_BYTES_MAX: usize = 96 * 1024;

/// Largest body of an enrollment: two certificates, a full initial twin, and room.
pub const ENROLLMENT_BODY_BYTES_MAX: usize = 128 * 1024;

/// Enrollments in one bulk call, as the service allows.
pub const BULK_ENROLLMENTS_MAX: usize = 10;

/// Largest body of a bulk call.
pub const BULK_BODY_BYTES_MAX: usize = ENROLLMENT_BODY_BYTES_MAX * BULK_ENROLLMENTS_MAX;

/// Groups of all kinds: 100 for each of X.509 and symmetric keys.
pub const GROUPS_MAX: usize = 200;

/// Hubs that devices are assigned to, as the service allows.
pub const LINKED_HUBS_MAX: usize = 50;

/// Certificates of a client's chain that are looked at.
pub const CHAIN_CERTIFICATES_MAX: usize = 8;

/// Largest answer of an allocation webhook: a hub's name, an initial twin and a payload.
pub const WEBHOOK_ANSWER_BYTES_MAX: usize = 128 * 1024;

/// Largest answer of a hub's REST API that is read: a full twin has under 200 KiB.
pub const HUB_ANSWER_BYTES_MAX: usize = 512 * 1024;

/// Items of one page of a query, as the service allows.
pub const PAGE_ITEMS_MAX: usize = 1_000;

/// Items of a page when nothing is asked for.
pub const PAGE_ITEMS: usize = 100;

/// Documents that one page of a query looks at; it ends with a continuation rather than hold the store for longer.
pub const PAGE_DOCUMENTS_MAX: usize = 10_000;

/// Lanes of requests that come from sessions. A session's requests share a lane and so keep their order.
pub const LANES: usize = 16;

/// Requests waiting in one lane; behind that a door tells its device to come again.
pub const LANE_REQUESTS_MAX: usize = 512;

/// Proofs whose judgement is remembered. About 200 bytes each with what they hold.
pub const STANDINGS_MAX: usize = 20_000;

/// Registrations whose polls are counted. About 64 bytes each.
pub const POLLERS_MAX: usize = 100_000;

/// How long a judgement is remembered, in milliseconds: so long a change made by another node may take to have its effect.
pub const STANDING_MS: u64 = 2_000;

/// How long the enrollment groups read from the store are good, in milliseconds.
pub const GROUPS_MS: u64 = 1_000;

/// How long an assignment belongs to the node that began it. Behind that, another one that is asked about it takes it over.
pub const ASSIGNMENT_LEASE_MS: i64 = 60_000;

const _: () = assert!(REGISTRATION_BODY_BYTES_MAX < millrace_control_store::documents::BODY_BYTES_MAX);
const _: () = assert!(ENROLLMENT_BODY_BYTES_MAX < millrace_control_store::documents::BODY_BYTES_MAX);
const _: () = assert!(GROUPS_MAX <= millrace_control_store::documents::SCAN_DOCUMENTS_MAX);
