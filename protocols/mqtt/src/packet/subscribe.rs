//! SUBSCRIBE: topic filters a client wants to hear.
//! - Source: MQTT 5.0 section 3.8.
//! - Shape: fixed header | packet id u16 | properties (v5) | (filter (u16 length, utf-8) | options u8)*
//! - Limits: number of filters and levels of a filter; one pass, no recursion.

use crate::codec::packet_type;
use crate::error::{PacketError, SessionError};
use crate::limits::Limits;
use crate::properties::{Properties, UserProperties, id};
use crate::reader::Reader;
use crate::text;
use crate::version::{QoS, Version};
use crate::writer;

/// A wish to subscribe; answer it with one code per filter.
#[derive(Debug, Clone, Copy)]
pub struct Subscribe<'a> {
    /// To be given back in SUBACK.
    pub packet_id: u16,
    /// The filters, in the order the answer must have.
    pub filters: Filters<'a>,
    /// Said by a v5 client.
    pub user_properties: UserProperties<'a>,
}

/// Filters and the level that can be granted for each: a wish for QoS 2 is granted as 1.
#[derive(Debug, Clone, Copy)]
pub struct Filters<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Filters<'a> {
    type Item = (&'a str, QoS);

    fn next(&mut self) -> Option<Self::Item> {
        // Every byte was checked when the packet was read.
        let filter = self.reader.string().ok()?;
        let options = self.reader.byte().ok()?;
        Some((filter, if options & 0x03 == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce }))
    }
}

pub(crate) fn decode<'a>(
    version: Version,
    flags: u8,
    body: &'a [u8],
    limits: &Limits,
) -> Result<Subscribe<'a>, SessionError> {
    //= [MQTT-3.8.1-1]
    if flags != 0x02 {
        return Err(PacketError::FixedHeaderFlags.into());
    }
    let mut reader = Reader::new(body);
    let packet_id = reader.packet_id()?;
    let mut properties = Properties::NONE;
    if version == Version::V5 {
        properties = Properties::take(&mut reader, id::IN_SUBSCRIBE, limits.user_properties_max)?;
        if properties.has(id::SUBSCRIPTION_IDENTIFIER) {
            return Err(SessionError::SubscriptionIdentifier);
        }
    }
    let filters = Filters { reader };
    check_filters(version, reader, limits)?;
    Ok(Subscribe { packet_id, filters, user_properties: UserProperties::new(properties) })
}

fn check_filters(version: Version, mut reader: Reader<'_>, limits: &Limits) -> Result<(), PacketError> {
    //= [MQTT-3.8.3-2]
    if reader.is_empty() {
        return Err(PacketError::NoFilters);
    }
    let mut count = 0_usize;
    while !reader.is_empty() {
        count = count.saturating_add(1);
        if count > limits.filters_max {
            return Err(PacketError::TooManyFilters);
        }
        let filter = reader.string()?;
        if !text::is_filter(filter, limits.filter_levels_max) {
            return Err(PacketError::FilterInvalid);
        }
        check_options(version, filter, reader.byte()?)?;
    }
    Ok(())
}

fn check_options(version: Version, filter: &str, options: u8) -> Result<(), PacketError> {
    let reserved = match version {
        //= [MQTT-3.8.3-5]
        Version::V5 => 0xc0,
        //= 3.1.1 [MQTT-3.8.3-4]
        Version::V311 => 0xfc,
    };
    if options & reserved != 0 {
        return Err(PacketError::SubscriptionOptions);
    }
    let quality = options & 0x03;
    let retain_handling = options >> 4 & 0x03;
    if quality == 3 || retain_handling == 3 {
        return Err(PacketError::SubscriptionOptionValue);
    }
    //= [MQTT-3.8.3-4]
    let is_no_local = options & 0x04 != 0;
    if is_no_local && filter.starts_with("$share/") {
        return Err(PacketError::SharedNoLocal);
    }
    Ok(())
}

pub(crate) fn encode(version: Version, packet_id: u16, filters: &[(&str, u8)], out: &mut Vec<u8>) {
    writer::packet(out, packet_type::SUBSCRIBE << 4 | 0x02, u32::MAX, |body| {
        body.two_bytes(packet_id);
        if version == Version::V5 {
            body.byte(0);
        }
        for &(filter, quality) in filters {
            body.string(filter);
            body.byte(quality);
        }
    });
}
