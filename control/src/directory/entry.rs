//! One identity, packed into one allocation.
//! - Shape: see the header of `directory`; lengths fit a byte, because ids have at most 128 bytes, keys 64 and thumbprints 32. Thumbprints
//!   lie where keys do.

use std::sync::Arc;

use millrace_ingest::{Found, Proof};
use millrace_protocols_identity::{Key, Thumbprint};
use zeroize::Zeroize;

use millrace_control_store::registry::{Authentication, ChangeKind, Record, Status};

const DEVICE_LENGTH: usize = 0;
const MODULE_LENGTH: usize = 1;
const FLAGS: usize = 2;
const GENERATION: std::ops::Range<usize> = 3..11;
const PRIMARY_LENGTH: usize = 11;
const SECONDARY_LENGTH: usize = 12;
const HEADER_BYTES: usize = 13;

const ENABLED: u8 = 1;
const HAS_KEYS: u8 = 2;
const HAS_THUMBPRINTS: u8 = 4;
const HAS_AUTHORITY: u8 = 8;
/// The flags that say how the identity shows who it is.
const PROOFS: u8 = HAS_KEYS | HAS_THUMBPRINTS | HAS_AUTHORITY;

pub(super) struct Entry(Box<[u8]>);

impl Entry {
    pub(super) fn new(record: &Record) -> Option<Self> {
        let device_id = record.name.device_id().as_bytes();
        let module_id = record.name.module_id().unwrap_or_default().as_bytes();
        let (proof, primary, secondary): (u8, &[u8], &[u8]) = match &record.authentication {
            Authentication::None => (0, &[], &[]),
            Authentication::Sas { primary, secondary } => (HAS_KEYS, primary.as_bytes(), secondary.as_bytes()),
            Authentication::SelfSigned { primary, secondary } => {
                (HAS_THUMBPRINTS, thumbprint_bytes(primary.as_ref()), thumbprint_bytes(secondary.as_ref()))
            }
            Authentication::CertificateAuthority => (HAS_AUTHORITY, &[], &[]),
        };
        let flags = if record.status == Status::Enabled { proof | ENABLED } else { proof };
        let fields = [device_id, module_id, primary, secondary];
        // The exact capacity: a vector that grew would leave keys behind in memory it gave back.
        let mut bytes = Vec::with_capacity(HEADER_BYTES + fields.iter().map(|field| field.len()).sum::<usize>());
        bytes.extend([u8::try_from(device_id.len()).ok()?, u8::try_from(module_id.len()).ok()?, flags]);
        bytes.extend(record.generation.0.to_le_bytes());
        bytes.extend([u8::try_from(primary.len()).ok()?, u8::try_from(secondary.len()).ok()?]);
        for field in fields {
            bytes.extend(field);
        }
        Some(Self(bytes.into_boxed_slice()))
    }

    pub(super) fn is_named(&self, device_id: &str, module_id: Option<&str>) -> bool {
        let [device, module, ..] = self.fields();
        // The empty module id is how the device itself is kept, not a name to ask for.
        let asked = module_id.map_or(Some(""), |id| Some(id).filter(|id| !id.is_empty()));
        device == device_id.as_bytes() && asked.is_some_and(|asked| module == asked.as_bytes())
    }

    pub(super) fn device_id(&self) -> &str {
        let [device, ..] = self.fields();
        std::str::from_utf8(device).unwrap_or_default()
    }

    pub(super) fn module_id(&self) -> Option<&str> {
        let [_, module, ..] = self.fields();
        std::str::from_utf8(module).ok().filter(|id| !id.is_empty())
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.has(ENABLED)
    }

    pub(super) fn found(&self) -> Option<Found> {
        Some(Found {
            enabled: self.is_enabled(),
            generation_id: self.generation().to_string().into(),
            proof: self.proof()?,
        })
    }

    fn proof(&self) -> Option<Proof> {
        let [_, _, primary, secondary] = self.fields();
        let thumbprint = |bytes: &[u8]| Thumbprint::from_bytes(bytes).ok();
        Some(match self.proof_flags() {
            HAS_KEYS => Proof::Keys(Arc::new([Key::from_bytes(primary).ok()?, Key::from_bytes(secondary).ok()?])),
            HAS_THUMBPRINTS => Proof::Thumbprints(Arc::new([thumbprint(primary), thumbprint(secondary)])),
            HAS_AUTHORITY => Proof::Authority,
            _ => Proof::None,
        })
    }

    /// What a session that was opened under `old` has to know; the gravest first.
    pub(super) fn difference(&self, old: &Self) -> Option<ChangeKind> {
        let ([_, _, primary, secondary], [_, _, old_primary, old_secondary]) = (self.fields(), old.fields());
        if self.generation() != old.generation() {
            Some(ChangeKind::Recreated)
        } else if old.has(ENABLED) && !self.has(ENABLED) {
            Some(ChangeKind::Disabled)
        } else if (primary, secondary) != (old_primary, old_secondary) || self.proof_flags() != old.proof_flags() {
            Some(ChangeKind::KeysChanged)
        } else if !old.has(ENABLED) && self.has(ENABLED) {
            Some(ChangeKind::Enabled)
        } else {
            None
        }
    }

    fn has(&self, flag: u8) -> bool {
        self.byte(FLAGS) & flag != 0
    }

    fn proof_flags(&self) -> u8 {
        self.byte(FLAGS) & PROOFS
    }

    fn byte(&self, index: usize) -> u8 {
        self.0.get(index).copied().unwrap_or_default()
    }

    fn generation(&self) -> i64 {
        self.0.get(GENERATION).and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_le_bytes)
    }

    /// Device id, module id, primary key, secondary key.
    fn fields(&self) -> [&[u8]; 4] {
        let mut rest = self.0.get(HEADER_BYTES..).unwrap_or_default();
        [DEVICE_LENGTH, MODULE_LENGTH, PRIMARY_LENGTH, SECONDARY_LENGTH].map(|length| {
            let (field, behind) = rest.split_at_checked(usize::from(self.byte(length))).unwrap_or_default();
            rest = behind;
            field
        })
    }
}

/// Empty for a thumbprint that is not there.
fn thumbprint_bytes(thumbprint: Option<&Thumbprint>) -> &[u8] {
    thumbprint.map_or(&[], Thumbprint::as_bytes)
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
