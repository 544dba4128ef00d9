//! The whole journal over disks that fail.
