//! Body -> the values at the wanted paths, in one pass over the JSON.
//! - Shape: the paths form a trie ([`PathNode`]); what no path leads to is skipped, but still checked for syntax.
//! - Units: texts are copied into an arena that is emptied for each chunk; cells hold positions in it.
//! - Limits: a body that nests deeper than [`BODY_DEPTH_MAX`] counts as broken, also where no path leads; bodies are bounded by the
//!   batch.
//! - Errors: [`Unreadable`] says whether the sender promised JSON and broke the promise. Never panics.

use jiter::{Jiter, JiterError, Peek};

use super::ast::PathStep;
use super::value::{Value, number_of};
use crate::limits::BODY_DEPTH_MAX;

/// A step of the trie.
#[derive(Debug, Clone, Default)]
pub(crate) struct PathNode {
    keys: Vec<(String, Self)>,
    items: Vec<(usize, Self)>,
    cell: Option<u16>,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) enum Cell {
    #[default]
    Missing,
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    /// Start and end in the arena.
    Text(usize, usize),
    Array,
    Object,
}

/// Why the body has no values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the content type is not application/json")]
    ContentType,
    #[error("the content encoding is not UTF-8, UTF-16 or UTF-32")]
    ContentEncoding,
    #[error("the body is not text in its content encoding")]
    Text,
    #[error("the body nests deeper than {BODY_DEPTH_MAX} levels")]
    Depth,
    #[error("the body is not valid JSON: {0}")]
    Json(String),
}

/// How the body's text is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16,
    Utf32,
}

impl PathNode {
    /// The number at the path: `next`, or the one it has.
    pub(super) fn insert(&mut self, path: &[PathStep], next: u16) -> u16 {
        let Some((step, rest)) = path.split_first() else {
            return *self.cell.get_or_insert(next);
        };
        match step {
            PathStep::Key(key) => child(&mut self.keys, key.clone()).insert(rest, next),
            PathStep::Index(index) => child(&mut self.items, *index).insert(rest, next),
        }
    }
}

fn child<K: PartialEq>(children: &mut Vec<(K, PathNode)>, key: K) -> &mut PathNode {
    let at = children.iter().position(|(known, _)| *known == key).unwrap_or(children.len());
    if at == children.len() {
        children.push((key, PathNode::default()));
    }
    &mut children[at].1
}

impl Cell {
    pub(super) fn value<'a>(&self, arena: &'a str) -> Value<'a> {
        match *self {
            Self::Missing => Value::Undefined,
            Self::Null => Value::Null,
            Self::Bool(truth) => Value::Bool(truth),
            Self::Integer(number) => Value::Integer(number),
            Self::Float(number) => Value::Float(number),
            Self::Text(start, end) => Value::Text(arena.get(start..end).unwrap_or_default().into()),
            Self::Array => Value::Array,
            Self::Object => Value::Object,
        }
    }
}

impl Unreadable {
    /// Whether the sender said JSON and sent something else.
    pub(super) const fn is_poison(&self) -> bool {
        matches!(self, Self::Text | Self::Depth | Self::Json(_))
    }
}

/// Fills `cells` from a body; on an error all of them are missing.
pub(super) fn extract(
    paths: &PathNode,
    content: [Option<&str>; 2],
    body: &[u8],
    cells: &mut [Cell],
    arena: &mut String,
) -> Result<(), Unreadable> {
    cells.fill(Cell::Missing);
    let [content_type, content_encoding] = content;
    if !content_type.is_some_and(is_json) {
        return Err(Unreadable::ContentType);
    }
    let encoding = content_encoding.and_then(encoding_of).ok_or(Unreadable::ContentEncoding)?;
    let start = arena.len();
    let result = match encoding {
        Encoding::Utf8 => std::str::from_utf8(body)
            .map_err(|_| Unreadable::Text)
            .and_then(|text| Extraction::new(text, cells, arena)?.run(paths)),
        Encoding::Utf16 | Encoding::Utf32 => transcode(encoding, body)
            .ok_or(Unreadable::Text)
            .and_then(|text| Extraction::new(&text, cells, arena)?.run(paths)),
    };
    if result.is_err() {
        cells.fill(Cell::Missing);
        arena.truncate(start);
    }
    result
}

struct Extraction<'a> {
    json: Jiter<'a>,
    cells: &'a mut [Cell],
    arena: &'a mut String,
}

impl<'a> Extraction<'a> {
    fn new(text: &'a str, cells: &'a mut [Cell], arena: &'a mut String) -> Result<Self, Unreadable> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).as_bytes();
        if is_too_deep(text) {
            return Err(Unreadable::Depth);
        }
        Ok(Self { json: Jiter::new(text), cells, arena })
    }

    fn run(mut self, paths: &PathNode) -> Result<(), Unreadable> {
        let result = self.json.peek().and_then(|peek| self.value(paths, peek)).and_then(|()| self.json.finish());
        result.map_err(|error| Unreadable::Json(format!("{} at byte {}", error.error_type, error.index)))
    }

    fn value(&mut self, node: &PathNode, peek: Peek) -> Result<(), JiterError> {
        let cell = match peek {
            Peek::Object => {
                self.object(node)?;
                Cell::Object
            }
            Peek::Array => {
                self.array(node)?;
                Cell::Array
            }
            peek if node.cell.is_none() => {
                self.json.known_skip(peek)?;
                Cell::Missing
            }
            Peek::String => {
                let text = self.json.known_str()?;
                let start = self.arena.len();
                self.arena.push_str(text);
                Cell::Text(start, self.arena.len())
            }
            Peek::Null => {
                self.json.known_null()?;
                Cell::Null
            }
            Peek::True | Peek::False => Cell::Bool(self.json.known_bool(peek)?),
            _ => self.number(peek)?,
        };
        self.set(node, cell);
        Ok(())
    }

    fn object(&mut self, node: &PathNode) -> Result<(), JiterError> {
        if node.keys.is_empty() {
            return self.json.known_skip(Peek::Object);
        }
        let mut key = self.json.known_object()?;
        while let Some(name) = key {
            let child = node.keys.iter().find(|(known, _)| known == name).map(|(_, child)| child);
            let peek = self.json.peek()?;
            match child {
                Some(child) => {
                    self.clear(child);
                    self.value(child, peek)?;
                }
                None => self.json.known_skip(peek)?,
            }
            key = self.json.next_key()?;
        }
        Ok(())
    }

    fn array(&mut self, node: &PathNode) -> Result<(), JiterError> {
        if node.items.is_empty() {
            return self.json.known_skip(Peek::Array);
        }
        let mut item = self.json.known_array()?;
        let mut index = 0;
        while let Some(peek) = item {
            match node.items.iter().find(|(known, _)| *known == index) {
                Some((_, child)) => self.value(child, peek)?,
                None => self.json.known_skip(peek)?,
            }
            index += 1;
            item = self.json.array_step()?;
        }
        Ok(())
    }

    /// Whole numbers of 64 bits stay exact; any other becomes the nearest double.
    fn number(&mut self, peek: Peek) -> Result<Cell, JiterError> {
        let digits = self.json.known_number_bytes(peek)?;
        Ok(match std::str::from_utf8(digits).ok().and_then(number_of) {
            Some(Value::Integer(number)) => Cell::Integer(number),
            Some(Value::Float(number)) => Cell::Float(number),
            _ => Cell::Missing,
        })
    }

    fn set(&mut self, node: &PathNode, value: Cell) {
        if let Some(cell) = node.cell.and_then(|cell| self.cells.get_mut(usize::from(cell))) {
            *cell = value;
        }
    }

    /// Of equal keys the last one counts, with all that is below it.
    fn clear(&mut self, node: &PathNode) {
        self.set(node, Cell::Missing);
        for (_, child) in &node.keys {
            self.clear(child);
        }
        for (_, child) in &node.items {
            self.clear(child);
        }
    }
}

/// Few bodies open enough brackets to be worth the walk.
fn is_too_deep(text: &[u8]) -> bool {
    if text.iter().filter(|&&byte| matches!(byte, b'[' | b'{')).count() <= BODY_DEPTH_MAX {
        return false;
    }
    let (mut depth, mut in_text, mut bytes) = (0_usize, false, text.iter());
    while let Some(&byte) = bytes.next() {
        match (byte, in_text) {
            (b'"', _) => in_text = !in_text,
            // What is escaped ends no text.
            (b'\\', true) => drop(bytes.next()),
            (b'[' | b'{', false) => depth += 1,
            (b']' | b'}', false) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > BODY_DEPTH_MAX {
            return true;
        }
    }
    false
}

/// Parameters after the media type (`; charset=..`) do not matter.
fn is_json(content_type: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

fn encoding_of(name: &str) -> Option<Encoding> {
    let name = name.trim().to_ascii_lowercase();
    match name.as_str() {
        "utf-8" | "utf8" => Some(Encoding::Utf8),
        "utf-16" | "utf16" | "utf-16le" | "utf-16be" => Some(Encoding::Utf16),
        "utf-32" | "utf32" | "utf-32le" | "utf-32be" => Some(Encoding::Utf32),
        _ => None,
    }
}

/// The byte order shows in the zeros of the first character, which is ASCII in all JSON, or a byte order mark.
fn transcode(encoding: Encoding, body: &[u8]) -> Option<String> {
    let little = !matches!(body, [0xfe, 0xff, ..] | [0, ..]);
    if encoding == Encoding::Utf16 {
        let (units, []) = body.as_chunks::<2>() else {
            return None;
        };
        let units = units.iter().map(|&unit| if little { u16::from_le_bytes(unit) } else { u16::from_be_bytes(unit) });
        return char::decode_utf16(units).collect::<Result<_, _>>().ok();
    }
    let (units, []) = body.as_chunks::<4>() else {
        return None;
    };
    let units = units.iter().map(|&unit| if little { u32::from_le_bytes(unit) } else { u32::from_be_bytes(unit) });
    units.map(char::from_u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(steps: &[&str]) -> Vec<PathStep> {
        let step = |step: &&str| step.parse().map_or_else(|_| PathStep::Key((*step).to_owned()), PathStep::Index);
        steps.iter().map(step).collect()
    }

    fn check(body: &[u8], encoding: &str, expected: Result<[Value<'_>; 3], bool>) {
        let mut paths = PathNode::default();
        for (number, steps) in [&["a", "b"][..], &["list", "1"], &["a"]].into_iter().enumerate() {
            paths.insert(&path(steps), u16::try_from(number).unwrap());
        }
        let (mut cells, mut arena) = ([Cell::Integer(99); 3], String::new());
        let content = [Some("Application/JSON; charset=utf-8"), Some(encoding)];
        let found = extract(&paths, content, body, &mut cells, &mut arena);
        let found = found.map(|()| cells.map(|cell| cell.value(&arena))).map_err(|error| error.is_poison());
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(body));
    }

    #[test]
    fn wanted_values_are_found_in_one_pass() {
        check(
            br#"{"x":[1,{"y":null}],"a":{"b":"t\u0065xt","c":2},"list":[1,2.5,3]}"#,
            "utf-8",
            Ok([Value::Text("text".into()), Value::Float(2.5), Value::Object]),
        );
        check(b"[]", "UTF-8", Ok([Value::Undefined, Value::Undefined, Value::Undefined]));
        check(b"7", "utf-8", Ok([Value::Undefined, Value::Undefined, Value::Undefined]));
        check(br#"{"a":{"b":1},"a":{}}"#, "utf-8", Ok([Value::Undefined, Value::Undefined, Value::Object]));
        check(
            br#"{"list":[0,12345678901234567890]}"#,
            "utf-8",
            Ok([Value::Undefined, Value::Float(12_345_678_901_234_567_890.0), Value::Undefined]),
        );
    }

    #[test]
    fn wide_encodings_are_read_in_either_byte_order() {
        let text = r#"{"a":{"b":"é"}}"#;
        let expected = || Ok([Value::Text("é".into()), Value::Undefined, Value::Object]);
        let wide: Vec<u16> = text.encode_utf16().collect();
        check(&wide.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<_>>(), "utf-16", expected());
        check(&wide.iter().flat_map(|unit| unit.to_be_bytes()).collect::<Vec<_>>(), "utf-16", expected());
        check(&text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect::<Vec<_>>(), "UTF-32", expected());
    }

    #[test]
    fn broken_bodies_are_poison_and_foreign_ones_are_not() {
        let bomb = b"[".repeat(100_000);
        let nested = [&br#"{"a":"#[..], &bomb].concat();
        for broken in [&b"{"[..], b"{\"a\":1} x", b"\xff", b"", b"nul", b"{\"a\":01}", &bomb, &nested] {
            check(broken, "utf-8", Err(true));
        }
        check(b"{}", "latin1", Err(false));
        check(b"{}x", "utf-16", Err(true));
    }
    #[test]
    fn depth_counts_from_the_outside_wherever_it_is() {
        let nested = |levels: usize| [b"[".repeat(levels), b"]".repeat(levels)].concat();
        let nothing = || Ok([Value::Undefined, Value::Undefined, Value::Undefined]);
        check(&nested(BODY_DEPTH_MAX), "utf-8", nothing());
        check(&nested(BODY_DEPTH_MAX + 1), "utf-8", Err(true));
        check(&nested(200), "utf-8", Err(true));
        // Below a wanted value, and below one that is skipped.
        for key in ["a", "x"] {
            let inside = |levels| [format!("{{\"{key}\":").as_bytes(), &nested(levels), b"}"].concat();
            let expected = if key == "a" { Ok([Value::Undefined, Value::Undefined, Value::Array]) } else { nothing() };
            check(&inside(BODY_DEPTH_MAX - 1), "utf-8", expected);
            check(&inside(BODY_DEPTH_MAX), "utf-8", Err(true));
        }
        // Many are not deep, and those in a text are none.
        check(&[b"[", &b"[],".repeat(500)[..], b"{}]"].concat(), "utf-8", nothing());
        check(&[br#"["\""#, &b"[{".repeat(500)[..], b"\"]"].concat(), "utf-8", nothing());
    }
}
