//! Lines of a file that comes in pieces.
//! - Units: positions are bytes from the start of the file; a position is always behind a whole line.
//! - Limits: a line has at most [`IMPORT_LINE_BYTES_MAX`]; what is beyond is skipped, and the line counts as one that is too long.

use crate::limits::IMPORT_LINE_BYTES_MAX;

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its bytes, without the end of the line; `None`: too many.
    pub(super) text: Option<Vec<u8>>,
    /// Position behind it.
    pub(super) end: u64,
}

/// Cuts pieces into lines.
#[derive(Debug)]
pub(super) struct Lines {
    position: u64,
    partial: Vec<u8>,
    is_too_long: bool,
}

impl Lines {
    /// Begins at a position.
    pub(super) fn new(position: u64) -> Self {
        Self { position, partial: Vec::new(), is_too_long: false }
    }

    /// Takes a piece; answers the lines that are whole now.
    pub(super) fn take(&mut self, piece: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for part in piece.split_inclusive(|&byte| byte == b'\n') {
            self.position = self.position.saturating_add(u64::try_from(part.len()).unwrap_or_default());
            self.add(part.strip_suffix(b"\n").unwrap_or(part));
            if part.ends_with(b"\n") {
                lines.push(self.line());
            }
        }
        lines
    }

    /// The last line, if the file does not end with the end of one.
    pub(super) fn finish(&mut self) -> Option<Line> {
        (self.is_too_long || !self.partial.is_empty()).then(|| self.line())
    }

    fn add(&mut self, part: &[u8]) {
        if self.partial.len().saturating_add(part.len()) > IMPORT_LINE_BYTES_MAX {
            self.is_too_long = true;
            self.partial.clear();
        }
        if !self.is_too_long {
            self.partial.extend_from_slice(part);
        }
    }

    fn line(&mut self) -> Line {
        let text = std::mem::take(&mut self.partial);
        let text = (!std::mem::take(&mut self.is_too_long)).then_some(text);
        Line { text, end: self.position }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_lines_are_skipped_and_told() {
        let mut lines = Lines::new(0);
        let mut found = Vec::new();
        for _ in 0..3 {
            found.extend(lines.take(&vec![b'x'; IMPORT_LINE_BYTES_MAX]));
        }
        found.extend(lines.take(b"\nshort"));
        found.extend(lines.finish());
        let long = u64::try_from(3 * IMPORT_LINE_BYTES_MAX).unwrap() + 1;
        assert_eq!(found, [Line { text: None, end: long }, Line { text: Some(b"short".to_vec()), end: long + 5 }]);
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_the_pieces(text in "[a-c\n]{0,60}", pieces in 1..7_usize) {
            let mut lines = Lines::new(7);
            let mut found: Vec<Line> = text.as_bytes().chunks(pieces).flat_map(|piece| lines.take(piece)).collect();
            found.extend(lines.finish());
            let mut expected: Vec<&str> = text.split('\n').collect();
            if expected.last() == Some(&"") {
                expected.pop();
            }
            let texts: Vec<_> = found.iter().map(|line| String::from_utf8(line.text.clone().unwrap()).unwrap()).collect();
            prop_assert_eq!(texts, expected);
            if let Some(last) = found.last() {
                prop_assert_eq!(last.end, 7 + u64::try_from(text.len()).unwrap());
            }
        }
    }
}
