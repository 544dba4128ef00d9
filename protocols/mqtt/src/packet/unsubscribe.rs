//! UNSUBSCRIBE: topic filters a client no longer wants.
//! - Source: MQTT 5.0 section 3.10.
//! - Shape: fixed header | packet id u16 | properties (v5) | filter (u16 length, utf-8)*

use crate::error::PacketError;
use crate::limits::Limits;
use crate::properties::{Properties, UserProperties, id};
use crate::reader::Reader;
use crate::text;
use crate::version::Version;

/// A wish to unsubscribe; answer it with one code per filter.
#[derive(Debug, Clone, Copy)]
pub struct Unsubscribe<'a> {
    /// To be given back in UNSUBACK.
    pub packet_id: u16,
    /// Said by a v5 client.
    pub user_properties: UserProperties<'a>,
    filters: Reader<'a>,
}

impl<'a> Unsubscribe<'a> {
    /// The filters, in the order the answer must have.
    pub fn filters(&self) -> impl Iterator<Item = &'a str> {
        let mut reader = self.filters;
        // Every byte was checked when the packet was read.
        std::iter::from_fn(move || reader.string().ok())
    }
}

pub(crate) fn decode<'a>(
    version: Version,
    flags: u8,
    body: &'a [u8],
    limits: &Limits,
) -> Result<Unsubscribe<'a>, PacketError> {
    //= [MQTT-3.10.1-1]
    if flags != 0x02 {
        return Err(PacketError::FixedHeaderFlags);
    }
    let mut reader = Reader::new(body);
    let packet_id = reader.packet_id()?;
    let mut properties = Properties::NONE;
    if version == Version::V5 {
        properties = Properties::take(&mut reader, id::IN_UNSUBSCRIBE, limits.user_properties_max)?;
    }
    let filters = reader;
    //= [MQTT-3.10.3-2]
    if reader.is_empty() {
        return Err(PacketError::NoFilters);
    }
    let mut count = 0_usize;
    while !reader.is_empty() {
        count = count.saturating_add(1);
        if count > limits.filters_max {
            return Err(PacketError::TooManyFilters);
        }
        if !text::is_filter(reader.string()?, limits.filter_levels_max) {
            return Err(PacketError::FilterInvalid);
        }
    }
    Ok(Unsubscribe { packet_id, user_properties: UserProperties::new(properties), filters })
}
