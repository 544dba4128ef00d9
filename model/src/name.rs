//! The name of an identity: a device, or one of its modules.
//! - Invariants: always valid; see [`crate::ids::is_valid_id`].

use std::fmt;

use crate::ids::is_valid_id;

/// Name of a device or of one of its modules.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdentityName {
    device_id: Box<str>,
    module_id: Option<Box<str>>,
}

/// Which of the two ids cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The device id.
    #[error("a device id has 1 to 128 letters, digits and any of -.+%_#*?!(),:=@$';")]
    Device,
    /// The module id.
    #[error("a module id has 1 to 128 letters, digits and any of -.+%_#*?!(),:=@$';")]
    Module,
}

impl IdentityName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When an id breaks the alphabet or the length of ids.
    pub fn new(device_id: &str, module_id: Option<&str>) -> Result<Self, NameError> {
        if !is_valid_id(device_id) {
            return Err(NameError::Device);
        }
        if module_id.is_some_and(|id| !is_valid_id(id)) {
            return Err(NameError::Module);
        }
        Ok(Self { device_id: device_id.into(), module_id: module_id.map(Into::into) })
    }

    /// Device id.
    #[must_use]
    pub fn device_id(&self) -> &str {
        &self.device_id
    }

    /// Module id; `None` for the device itself.
    #[must_use]
    pub fn module_id(&self) -> Option<&str> {
        self.module_id.as_deref()
    }
}

impl fmt::Display for IdentityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.module_id {
            Some(module_id) => write!(f, "{}/{module_id}", self.device_id),
            None => f.write_str(&self.device_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert_eq!(IdentityName::new("a/b", None), Err(NameError::Device));
        assert_eq!(IdentityName::new("a", Some("")), Err(NameError::Module));
        assert_eq!(IdentityName::new("a", Some("m")).unwrap().to_string(), "a/m");
    }
}
