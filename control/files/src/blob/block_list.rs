//! Block lists and ids of blocks: text <-> what they mean. Pure.
//! - Source: Azure Storage, Put Block List and Get Block List.
//! - Limits: [`BLOCKS_MAX`], [`BLOCK_ID_BYTES_MAX`]; the reader follows no entity and no reference to another document.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::error::BlobError;
use crate::limits::{BLOCK_ID_BYTES_MAX, BLOCKS_MAX};

/// The id of a block: bytes, which are base64 on the wire and hex in the name of the object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct BlockId(Vec<u8>);

impl BlockId {
    pub(super) fn from_base64(text: &str) -> Result<Self, BlobError> {
        let bytes = STANDARD.decode(text).map_err(|_| BlobError::INVALID_BLOCK_ID)?;
        if (1..=BLOCK_ID_BYTES_MAX).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(BlobError::INVALID_BLOCK_ID) }
    }

    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
        let (pairs, rest) = digits.as_chunks::<2>();
        let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| u8::try_from(high << 4 | low).ok()).collect();
        bytes.filter(|bytes| rest.is_empty() && !bytes.is_empty()).map(Self)
    }

    pub(super) fn to_hex(&self) -> String {
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
    }

    fn to_base64(&self) -> String {
        STANDARD.encode(&self.0)
    }
}

/// Reads the list that a commit names, in its order.
pub(super) fn read(xml: &[u8]) -> Result<Vec<BlockId>, BlobError> {
    let mut reader = Reader::from_reader(xml);
    let (mut ids, mut depth, mut text) = (Vec::new(), 0_usize, String::new());
    let mut is_list = false;
    loop {
        match reader.read_event().map_err(|_| BlobError::INVALID_XML)? {
            Event::Start(tag) => {
                is_list |= depth == 0 && tag.local_name().as_ref() == b"BlockList";
                let is_entry = matches!(tag.local_name().as_ref(), b"Latest" | b"Uncommitted" | b"Committed");
                depth += 1;
                if depth > 2 || !is_list || (depth == 2 && !is_entry) {
                    return Err(BlobError::INVALID_XML);
                }
                text.clear();
            }
            Event::Empty(tag) if depth == 0 && tag.local_name().as_ref() == b"BlockList" => is_list = true,
            Event::Text(part) => text.push_str(&part.decode().map_err(|_| BlobError::INVALID_XML)?),
            Event::End(_) => {
                if depth == 2 {
                    if u64::try_from(ids.len()).unwrap_or(u64::MAX) >= BLOCKS_MAX {
                        return Err(BlobError::TOO_MANY_BLOCKS);
                    }
                    ids.push(BlockId::from_base64(text.trim())?);
                }
                depth = depth.saturating_sub(1);
            }
            Event::Decl(_) | Event::Comment(_) => {}
            Event::Eof if depth == 0 && is_list => return Ok(ids),
            _ => return Err(BlobError::INVALID_XML),
        }
    }
}

/// Writes the list that a client asks for: each id with its size.
pub(super) fn write(committed: Option<&[(BlockId, u64)]>, uncommitted: Option<&[(BlockId, u64)]>) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
    for (tag, blocks) in [("CommittedBlocks", committed), ("UncommittedBlocks", uncommitted)] {
        let Some(blocks) = blocks else { continue };
        let entries = blocks.iter().fold(String::new(), |mut entries, (id, size)| {
            let id = id.to_base64();
            // Writing to a string does not fail.
            write!(entries, "<Block><Name>{id}</Name><Size>{size}</Size></Block>").unwrap_or_default();
            entries
        });
        write!(xml, "<{tag}>{entries}</{tag}>").unwrap_or_default();
    }
    xml + "</BlockList>"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> BlockId {
        BlockId(text.as_bytes().to_vec())
    }

    #[test]
    fn lists_of_the_libraries() {
        let python =
            "<?xml version='1.0' encoding='utf-8'?>\n<BlockList><Latest>YQ==</Latest><Latest>YmM=</Latest></BlockList>";
        let node = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><BlockList>\n <Latest>YQ==</Latest>\n \
                    <Uncommitted> YmM= </Uncommitted></BlockList>";
        for xml in [python, node] {
            assert_eq!(read(xml.as_bytes()), Ok(vec![id("a"), id("bc")]), "{xml}");
        }
        assert_eq!(read(b"<BlockList/>"), Ok(vec![]));
        assert_eq!(read(b"<BlockList></BlockList>"), Ok(vec![]));
    }

    #[test]
    fn other_documents_are_refused() {
        let deep = format!("<BlockList>{}", "<Latest>".repeat(100_000));
        for bad in [
            "",
            "YQ==",
            "<BlockList><Latest>YQ==</Latest>",
            "<BlockList><Other>YQ==</Other></BlockList>",
            "<List><Latest>YQ==</Latest></List>",
            "<BlockList><Latest>not base64</Latest></BlockList>",
            "<BlockList><Latest></Latest></BlockList>",
            "<!DOCTYPE x [<!ENTITY a \"YQ==\">]><BlockList><Latest>&a;</Latest></BlockList>",
            "<BlockList><Latest>&#89;Q==</Latest></BlockList>",
            &deep,
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{:.60}", bad);
        }
        let many = format!("<BlockList>{}</BlockList>", "<Latest>YQ==</Latest>".repeat(50_001));
        assert_eq!(read(many.as_bytes()), Err(BlobError::TOO_MANY_BLOCKS));
    }

    #[test]
    fn ids_are_written_in_all_forms() {
        let long = STANDARD.encode([0xff; BLOCK_ID_BYTES_MAX]);
        for text in ["YQ==", "Li4vLi4v", long.as_str()] {
            let id = BlockId::from_base64(text).unwrap();
            assert_eq!(id.to_base64(), text);
            assert_eq!(BlockId::from_hex(&id.to_hex()), Some(id));
        }
        assert!(BlockId::from_base64("").is_err() && BlockId::from_base64(&STANDARD.encode([0; 65])).is_err());
        assert!(
            BlockId::from_hex("abc").is_none() && BlockId::from_hex("").is_none() && BlockId::from_hex("zz").is_none()
        );
        let xml = write(Some(&[]), Some(&[(id("a"), 3)]));
        assert!(xml.ends_with(
            "<CommittedBlocks></CommittedBlocks><UncommittedBlocks><Block><Name>YQ==</Name><Size>3</Size></Block>\
             </UncommittedBlocks></BlockList>"
        ));
    }
}
