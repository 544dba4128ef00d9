//! The name of a blob: device id, slash, and what the device calls its file. Pure.
//! - Invariants: no part is empty, `.` or `..`; nothing climbs out of the device's folder, on any store. Different names never meet in one
//!   object.
//! - Limits: [`BLOB_CHARACTERS_MAX`], [`SEGMENT_BYTES_MAX`].

use millrace_model::HubError;
use object_store::path::{Path, PathPart};

use crate::limits::{BLOB_CHARACTERS_MAX, SEGMENT_BYTES_MAX};

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlobName {
    text: String,
    device_bytes: usize,
}

impl BlobName {
    /// The name of a device's file.
    pub(crate) fn new(device_id: &str, file: &str) -> Result<Self, HubError> {
        let refuse = |why: &'static str| Err(HubError::ARGUMENT.because(why));
        let text = format!("{device_id}/{file}");
        if text.chars().count() > BLOB_CHARACTERS_MAX {
            return refuse("the name of the blob is too long");
        }
        if text.chars().any(|character| character.is_control() || character == '\\') {
            return refuse("the name of the blob holds a control character or a backslash");
        }
        if file.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return refuse("a part of the blob's name is empty, . or ..");
        }
        // Azure's own rule, and some file systems drop the dot.
        if file.ends_with('.') {
            return refuse("the name of the blob ends with a dot");
        }
        if text.split('/').any(|part| PathPart::from(part).as_ref().len() > SEGMENT_BYTES_MAX) {
            return refuse("a part of the blob's name is too long");
        }
        Ok(Self { text, device_bytes: device_id.len() })
    }

    /// The name in a path, if it can be one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (device_id, file) = text.split_once('/')?;
        Self::new(device_id, file).ok()
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn device_id(&self) -> &str {
        self.text.get(..self.device_bytes).unwrap_or_default()
    }

    /// Where the blob lies in a container's folder. Parts are encoded, so a device `..` has a folder like any other.
    pub(crate) fn path(&self, container: &Path) -> Path {
        self.text.split('/').fold(container.clone(), |path, part| path.join(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_climb_or_cannot_be_are_refused() {
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "a/../../x",
            "a/..",
            "a//b",
            "a/",
            "./a",
            "a\\b",
            "..\\x",
            "a\nb",
            "a\0",
            "a.",
            &"x".repeat(1_022),
            &"é".repeat(200),
        ] {
            assert!(BlobName::new("d1", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn odd_names_stay_below_their_device() {
        let root = Path::from("uploads");
        for (device_id, file, path) in [
            ("d1", "a/b.txt", "uploads/d1/a/b.txt"),
            ("..", "x", "uploads/%2E%2E/x"),
            (".", "...x", "uploads/%2E/...x"),
            ("d%2F1", "x%2F..%2Fy", "uploads/d%252F1/x%252F..%252Fy"),
            ("d?#*1", "~a b", "uploads/d%3F%23%2A1/%7Ea b"),
            ("d1", "é", "uploads/d1/%C3%A9"),
        ] {
            let name = BlobName::new(device_id, file).unwrap();
            assert_eq!(name.path(&root).as_ref(), path);
            assert_eq!(name.device_id(), device_id);
            assert_eq!(BlobName::parse(name.as_str()), Some(name));
        }
        assert_eq!(BlobName::parse("d1"), None);
    }
}
