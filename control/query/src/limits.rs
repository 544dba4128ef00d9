//! Bounds of the query language.

/// Longest query or condition, in characters; the hub's own documented limit.
pub const QUERY_CHARACTERS_MAX: usize = 8192;

/// Deepest nesting of an expression. `AND` and `OR` chains count as one level, however long.
pub const EXPRESSION_DEPTH_MAX: usize = 32;

/// Most arguments of one function call.
pub const ARGUMENTS_MAX: usize = 64;

/// Most items of one `SELECT`.
pub const ITEMS_MAX: usize = 64;

/// Most members of one `GROUP BY`.
pub const GROUP_MEMBERS_MAX: usize = 8;

/// Most groups of one answer. Beyond it a query is refused rather than answered in part.
pub const GROUPS_MAX: usize = 10_000;

/// Most bytes of the groups of one answer, so that few groups of long texts or many columns are bounded too.
pub const GROUP_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Longest text that an expression may build; a longer one is undefined. A twin section has at most 32 KiB.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Longest part of a key in a continuation, as long as a store keeps one.
pub const KEY_PART_BYTES_MAX: usize = 2048;

/// Most parts of a key in a continuation: owner and name, and one to spare.
pub const KEY_PARTS_MAX: usize = 3;

/// Most rows of one page (Azure IoT Hub: 1,000).
pub const PAGE_ROWS_MAX: usize = 1000;

const _: () = {
    assert!(KEY_PART_BYTES_MAX <= 65_535, "lengths are kept in two bytes");
    assert!(TEXT_BYTES_MAX >= 32 * 1024, "any text of a twin can be passed through");
};
