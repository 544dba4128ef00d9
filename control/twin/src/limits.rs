//! Limits of twins and models. The documented ones count as the hub documents it; the others bound what those leave open.

/// Counted bytes of the tags.
pub const TAGS_BYTES_MAX: usize = 8 * 1024;

/// Counted bytes of the desired, and of the reported, properties.
pub const PROPERTIES_BYTES_MAX: usize = 32 * 1024;

/// Members and elements of one section, on all levels. A full section of members or elements that count at all (a boolean counts 4)
/// is never larger; empty texts, nulls and empty objects count nothing, and this is what bounds them.
pub const VALUES_MAX: usize = 8 * 1024;

/// Bytes of the tags as JSON. The counted size leaves escapes, control characters and quotation marks out.
pub const TAGS_STORED_BYTES_MAX: usize = 32 * 1024;

/// Bytes of the desired, and of the reported, properties as JSON: a full section of numbers, 24 bytes each, has 100 KiB.
pub const PROPERTIES_STORED_BYTES_MAX: usize = 112 * 1024;

/// Objects and arrays inside each other, below a section.
pub const DEPTH_MAX: usize = 10;

/// Bytes of a member's name.
pub const NAME_BYTES_MAX: usize = 1024;

/// Bytes of a text.
pub const TEXT_BYTES_MAX: usize = 4 * 1024;

/// Largest integer, and with a minus sign the smallest: 2^52.
pub const INTEGER_MAX: u64 = 1 << 52;

/// Bytes of a patch of the reported properties: a full section in its longest form, and room for the members that it removes.
pub const DEVICE_PATCH_BYTES_MAX: usize = 256 * 1024;

/// Values in a patch of the reported properties.
pub const DEVICE_PATCH_VALUES_MAX: usize = 2 * VALUES_MAX;

/// Bytes of a body from the service, which may be a whole twin with its metadata.
pub const SERVICE_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Values in a body from the service: three sections, each value with an object of two members as metadata.
pub const SERVICE_BODY_VALUES_MAX: usize = 3 * VALUES_MAX * 4;

/// Levels of a body from the service: a section inside `properties`, its metadata one level deeper.
pub const SERVICE_BODY_DEPTH_MAX: usize = DEPTH_MAX + 4;

/// Automatic configurations that a twin remembers.
pub const CONFIGURATIONS_MAX: usize = 100;

/// Bytes of a configuration's id, and of its status.
pub const CONFIGURATION_BYTES_MAX: usize = 128;

/// Bytes of a model id.
pub const MODEL_ID_BYTES_MAX: usize = 2048;

/// Bytes of an encoded twin; what a store takes as the body of a document.
pub const TWIN_BYTES_MAX: usize = 1024 * 1024;

/// Metadata of one member as encoded: name in quotes, colon, `[1714557600000,1234567890,{}]`, comma.
const METADATA_BYTES_MAX: usize = 36;

const _: () = {
    // Names stand in the values and, at most twice as long for their escapes, in the metadata.
    let section = PROPERTIES_STORED_BYTES_MAX + VALUES_MAX * METADATA_BYTES_MAX + 2 * PROPERTIES_BYTES_MAX;
    let configurations = CONFIGURATIONS_MAX * (4 * CONFIGURATION_BYTES_MAX + 16);
    let whole = TAGS_STORED_BYTES_MAX + 2 * section + configurations + 2 * MODEL_ID_BYTES_MAX;
    assert!(whole < TWIN_BYTES_MAX);
};

/// Bytes of a JSON Patch for a digital twin.
pub const JSON_PATCH_BYTES_MAX: usize = 256 * 1024;

/// Operations of a JSON Patch.
pub const JSON_PATCH_OPERATIONS_MAX: usize = 256;

/// Bytes of the payload of a command.
pub const COMMAND_PAYLOAD_BYTES_MAX: usize = 128 * 1024;

/// Bytes of a DTDL document.
pub const MODEL_BYTES_MAX: usize = 1024 * 1024;

/// Values in a DTDL document.
pub const MODEL_VALUES_MAX: usize = 64 * 1024;

/// Levels of a DTDL document: schemas nest five deep, each level an object and an array, inside interfaces inside interfaces.
pub const MODEL_DEPTH_MAX: usize = 64;

/// Problems that are told of one model, or of one value.
pub const PROBLEMS_MAX: usize = 100;

/// Bytes of the id of a model or of an element of one.
pub const DTMI_BYTES_MAX: usize = MODEL_ID_BYTES_MAX;

/// Contents of an interface after all that it extends, whatever its version of DTDL.
pub const MODEL_CONTENTS_MAX: usize = 10_000;

/// Interfaces that extend each other in a row.
pub const EXTENDS_DEPTH_MAX: usize = 10;
