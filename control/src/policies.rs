//! The hub's own keys: shared access policies, each with what it permits; and those of its provisioning service.
//! - Source: Azure IoT Hub, access control with shared access policies: five policies with these names; Azure DPS: one.
//! - Shape: `DIR/policies.json`, mode 0600: `{"iothubowner": {"primary": "...", "secondary": "..."}, ...}`, and
//!   `DIR/provisioning-policies.json` likewise, so that either service can hand out keys that are worth nothing at the other.
//! - Invariants: made once, by whichever program comes first; two that start together agree. `Debug` shows no key.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::BitOr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use millrace_protocols_identity::Key;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::limits::SMALL_FILE_BYTES_MAX;
use millrace_control_store::error::RegistryError;
use millrace_control_store::random;

/// Name of the file in the data directory.
pub const FILE_NAME: &str = "policies.json";

/// Name of the file with the provisioning service's policies.
pub const PROVISIONING_FILE_NAME: &str = "provisioning-policies.json";

/// Policy that may do everything.
pub const OWNER: &str = "iothubowner";

/// Policy that may do everything at the provisioning service, and nothing at the hub.
pub const PROVISIONING_OWNER: &str = "provisioningserviceowner";

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permissions(u16);

impl Permissions {
    /// Read identities.
    pub const REGISTRY_READ: Self = Self(1);
    /// Create, change and delete identities.
    pub const REGISTRY_WRITE: Self = Self(2);
    /// Everything on the service side that is not the registry.
    pub const SERVICE_CONNECT: Self = Self(4);
    /// Act as any device.
    pub const DEVICE_CONNECT: Self = Self(8);
    /// Change the provisioning service's own settings.
    pub const SERVICE_CONFIG: Self = Self(16);
    /// Read enrollments.
    pub const ENROLLMENT_READ: Self = Self(32);
    /// Create, change and delete enrollments.
    pub const ENROLLMENT_WRITE: Self = Self(64);
    /// Read what became of registrations.
    pub const REGISTRATION_STATUS_READ: Self = Self(128);
    /// Delete registrations.
    pub const REGISTRATION_STATUS_WRITE: Self = Self(256);

    /// Whether all of `wanted` are in this set.
    #[must_use]
    pub const fn contain(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }
}

impl BitOr for Permissions {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Names of policies and what they permit.
type PolicySet = [(&'static str, Permissions)];

/// The hub's.
const POLICIES: [(&str, Permissions); 5] = [
    ("device", Permissions::DEVICE_CONNECT),
    (OWNER, Permissions(15)),
    ("registryRead", Permissions::REGISTRY_READ),
    ("registryReadWrite", Permissions(3)),
    ("service", Permissions::SERVICE_CONNECT),
];

/// Likewise at the provisioning service.
const PROVISIONING_POLICIES: [(&str, Permissions); 1] = [(PROVISIONING_OWNER, Permissions(16 | 32 | 64 | 128 | 256))];

/// One policy.
#[derive(Debug, Clone)]
pub struct Policy {
    /// What it permits.
    pub permissions: Permissions,
    /// Primary and secondary key.
    pub keys: Arc<[Key; 2]>,
}

/// All policies of a hub.
#[derive(Debug, Clone)]
pub struct Policies(Box<[(&'static str, Policy)]>);

impl Policies {
    /// Reads the policies of `data_dir`; makes them, with new keys, when there are none.
    ///
    /// # Errors
    /// When the file cannot be read, written or understood.
    pub fn open(data_dir: &Path) -> Result<Self, RegistryError> {
        Self::open_file(data_dir, FILE_NAME, &POLICIES)
    }

    /// Likewise those of the provisioning service.
    ///
    /// # Errors
    /// When the file cannot be read, written or understood.
    pub fn open_provisioning(data_dir: &Path) -> Result<Self, RegistryError> {
        Self::open_file(data_dir, PROVISIONING_FILE_NAME, &PROVISIONING_POLICIES)
    }

    fn open_file(data_dir: &Path, name: &str, set: &PolicySet) -> Result<Self, RegistryError> {
        let path = data_dir.join(name);
        let failed = |source| RegistryError::File { path: path.clone(), source };
        let stored = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(data_dir, name, set).map_err(|error| match error {
                    CreateError::Random(error) => error,
                    CreateError::File(error) => failed(error),
                })?;
                read(File::open(&path).map_err(failed)?).map_err(failed)?
            }
            file => read(file.map_err(failed)?).map_err(failed)?,
        };
        stored.policies(set).ok_or(RegistryError::Corrupt { what: "file of policies" })
    }

    /// The policy of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Policy> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, policy)| policy)
    }
}

/// What stands in the file.
#[derive(Serialize, Deserialize)]
struct Stored(BTreeMap<String, StoredKeys>);

#[derive(Serialize, Deserialize)]
struct StoredKeys {
    primary: String,
    secondary: String,
}

impl Drop for StoredKeys {
    fn drop(&mut self) {
        self.primary.zeroize();
        self.secondary.zeroize();
    }
}

impl Stored {
    /// The policies of a set; `None` when one is missing or has no good keys.
    fn policies(&self, set: &PolicySet) -> Option<Policies> {
        let policy = |&(name, permissions): &(&'static str, Permissions)| {
            let keys = self.0.get(name)?;
            let keys = [Key::from_base64(&keys.primary).ok()?, Key::from_base64(&keys.secondary).ok()?];
            Some((name, Policy { permissions, keys: Arc::new(keys) }))
        };
        set.iter().map(policy).collect::<Option<_>>().map(Policies)
    }
}

enum CreateError {
    Random(RegistryError),
    File(io::Error),
}

impl From<io::Error> for CreateError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

/// Writes new policies beside the file and links them to it, which fails harmlessly if another program was first.
fn create(data_dir: &Path, file_name: &str, set: &PolicySet) -> Result<(), CreateError> {
    let mut stored = Stored(BTreeMap::new());
    for &(name, _) in set {
        let key = || random::key().map(|key| key.to_base64().to_string()).map_err(CreateError::Random);
        stored.0.insert(name.to_owned(), StoredKeys { primary: key()?, secondary: key()? });
    }
    let text = Zeroizing::new(serde_json::to_vec_pretty(&stored).map_err(io::Error::other)?);
    let salt = || random::salt().map_err(CreateError::Random);
    let temporary = data_dir.join(format!("{file_name}.{:04x}{:04x}{:04x}", salt()?, salt()?, salt()?));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(&text)?;
    file.sync_all()?;
    let linked = fs::hard_link(&temporary, data_dir.join(file_name));
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    Ok(File::open(data_dir)?.sync_all()?)
}

fn read(file: File) -> io::Result<Stored> {
    let mut text = Zeroizing::new(Vec::new());
    file.take(SMALL_FILE_BYTES_MAX).read_to_end(&mut text)?;
    // The cause is left out: it could repeat a part of a key.
    serde_json::from_slice(&text).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn policies_are_made_once_and_for_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let first = Policies::open(dir.path()).unwrap();
        let again = Policies::open(dir.path()).unwrap();
        for (name, policy) in &first.0 {
            let same = again.find(name).unwrap();
            assert_eq!(policy.keys[0].as_bytes(), same.keys[0].as_bytes());
            assert_ne!(policy.keys[0].as_bytes(), policy.keys[1].as_bytes());
        }
        assert!(first.find("nobody").is_none());
        let mode = fs::metadata(dir.path().join(FILE_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn provisioning_has_keys_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let hub = Policies::open(dir.path()).unwrap();
        let provisioning = Policies::open_provisioning(dir.path()).unwrap();
        let owner = provisioning.find(PROVISIONING_OWNER).unwrap();
        assert!(owner.permissions.contain(Permissions::ENROLLMENT_WRITE | Permissions::REGISTRATION_STATUS_READ));
        assert!(!owner.permissions.contain(Permissions::REGISTRY_READ));
        assert!(!hub.find(OWNER).unwrap().permissions.contain(Permissions::ENROLLMENT_READ));
        assert!(hub.find(PROVISIONING_OWNER).is_none() && provisioning.find(OWNER).is_none());
    }

    #[test]
    fn programs_that_start_together_agree() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Policies::open(dir.path()).unwrap().find(OWNER).unwrap().keys[0].as_bytes().to_vec();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn a_broken_file_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE_NAME), "{\"iothubowner\":{\"primary\":\"a2tr\"}}").unwrap();
        let error = Policies::open(dir.path()).unwrap_err();
        assert!(!format!("{error:?}").contains("a2tr"));
        assert!(dir.path().join(FILE_NAME).exists());
    }

    #[test]
    fn debug_shows_no_key() {
        let dir = tempfile::tempdir().unwrap();
        let policies = Policies::open(dir.path()).unwrap();
        let text = format!("{policies:?}");
        for (_, policy) in &policies.0 {
            assert!(!text.contains(policy.keys[0].to_base64().as_str()));
            assert!(!text.contains(&format!("{:?}", policy.keys[0].as_bytes())));
        }
    }
}
