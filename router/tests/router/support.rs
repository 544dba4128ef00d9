//! What the tests of this crate share: messages and batches out of a few words.

use millrace_model::batch::IdentitySlot;
use millrace_model::{Batch, BatchBuilder, Identity, IdentityRef, MessageSource, Offset, ShardId, Timestamp};

/// Properties that say JSON in UTF-8, as the SDKs encode them.
pub(crate) const JSON: &str = "%24.ct=application%2Fjson&%24.ce=utf-8";

pub(crate) fn identity(device_id: &str) -> Identity {
    let fields = IdentityRef {
        device_id,
        module_id: device_id.contains('+').then_some("m1"),
        generation_id: "637",
        auth_method: r#"{"scope":"device"}"#,
        model_id: None,
    };
    Identity::new(&fields).unwrap()
}

/// Device, bag and body.
pub(crate) type Line<'a> = (&'a str, &'a str, &'a [u8]);

/// A batch of telemetry at offset 0.
pub(crate) fn batch(messages: &[Line<'_>]) -> Batch {
    batch_at(ShardId(0), Offset(0), MessageSource::Telemetry, messages)
}

pub(crate) fn batch_at(shard: ShardId, base: Offset, source: MessageSource, messages: &[Line<'_>]) -> Batch {
    let mut builder = BatchBuilder::new();
    for (device, bag, body) in messages {
        let time = Timestamp(1_700_000_000_123);
        builder.append(&identity(device), &mut IdentitySlot::default(), source, time, [bag.as_bytes(), b""], body);
    }
    builder.seal(shard, base)
}
