//! Body templates: text with variables, read once and written per message.
//! - Shape: `{seq}` `{id}` `{now_ms}` `{now_ns}` `{random:LOW:HIGH}` (two decimals) `{int:LOW:HIGH}` (whole)
//!   `{step:FIRST:BY}` (FIRST + number of the message x BY) `{sine:LOW:HIGH:SECONDS}` (one wave in SECONDS). Any other brace is text.
//! - Invariants: all but the times follow from seed, device and number of the message.
//! - Hot path: `write` formats no floats and allocates nothing but the body's own growth.

use std::f64::consts::TAU;

use crate::number;
use crate::random::Random;

/// What the variables of one message are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variables<'a> {
    /// `{id}`
    pub(crate) device_id: &'a str,
    /// Number of the device, the stream of its random values.
    pub(crate) device_number: u64,
    /// `{seq}`
    pub(crate) sequence: u64,
    /// `{now_ns}`, UNIX.
    pub(crate) now_ns: u64,
    /// Start of all random values.
    pub(crate) seed: u64,
}

/// A template ready to be written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(Vec<u8>),
    Sequence,
    DeviceId,
    NowMilliseconds,
    NowNanoseconds,
    Random { low: f64, high: f64 },
    Whole { low: f64, high: f64 },
    Step { first: f64, by: f64 },
    Sine { low: f64, high: f64, seconds: f64 },
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// A known variable with arguments it can't have.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            literal.push_str(before);
            let variable = match after.split_once('}') {
                Some((inside, tail)) => variable(inside)?.map(|piece| (piece, tail)),
                None => None,
            };
            if let Some((piece, tail)) = variable {
                if !literal.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut literal).into_bytes()));
                }
                pieces.push(piece);
                rest = tail;
            } else {
                literal.push('{');
                rest = after;
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal.into_bytes()));
        }
        Ok(Self { pieces })
    }

    /// Appends the body of one message.
    pub(crate) fn write(&self, variables: &Variables<'_>, out: &mut Vec<u8>) {
        let mut random = Random::new(variables.seed, variables.device_number, variables.sequence);
        let sequence = number::float(variables.sequence);
        for piece in &self.pieces {
            match *piece {
                Piece::Text(ref text) => out.extend_from_slice(text),
                Piece::Sequence => number::push_decimal(out, variables.sequence),
                Piece::DeviceId => out.extend_from_slice(variables.device_id.as_bytes()),
                Piece::NowMilliseconds => number::push_decimal(out, variables.now_ns / 1_000_000),
                Piece::NowNanoseconds => number::push_decimal(out, variables.now_ns),
                Piece::Random { low, high } => push_decimal_places(out, low + (high - low) * random.unit()),
                Piece::Whole { low, high } => push_whole(out, (low + (high - low + 1.0) * random.unit()).floor()),
                Piece::Step { first, by } => push_decimal_places(out, first + by * sequence),
                Piece::Sine { low, high, seconds } => {
                    let turn = (number::seconds(variables.now_ns) / seconds).fract();
                    push_decimal_places(out, low + (high - low) * (1.0 + (turn * TAU).sin()) / 2.0);
                }
            }
        }
    }
}

/// The variable in braces; `None` when these are the braces of something else.
fn variable(inside: &str) -> Result<Option<Piece>, String> {
    let mut parts = inside.split(':');
    let name = parts.next().unwrap_or_default();
    let arguments: Vec<&str> = parts.collect();
    let numbers = || -> Result<Vec<f64>, String> {
        arguments
            .iter()
            .map(|text| text.trim().parse().map_err(|_| format!("{{{inside}}}: {text:?} is no number")))
            .collect()
    };
    let piece = match (name, arguments.len()) {
        ("seq", 0) => Piece::Sequence,
        ("id", 0) => Piece::DeviceId,
        ("now_ms", 0) => Piece::NowMilliseconds,
        ("now_ns", 0) => Piece::NowNanoseconds,
        ("random" | "int" | "step" | "sine", _) => match (name, numbers()?.as_slice()) {
            ("random", &[low, high]) => Piece::Random { low, high },
            ("int", &[low, high]) => Piece::Whole { low, high },
            ("step", &[first, by]) => Piece::Step { first, by },
            ("sine", &[low, high, seconds]) if seconds > 0.0 => Piece::Sine { low, high, seconds },
            _ => return Err(format!("{{{inside}}}: {name} takes {}", arguments_of(name))),
        },
        _ => return Ok(None),
    };
    Ok(Some(piece))
}

fn arguments_of(name: &str) -> &'static str {
    match name {
        "step" => "FIRST:BY",
        "sine" => "LOW:HIGH:SECONDS, SECONDS above 0",
        _ => "LOW:HIGH",
    }
}

fn push_decimal_places(out: &mut Vec<u8>, value: f64) {
    number::push_hundredths(out, number::rounded(value * 100.0));
}

fn push_whole(out: &mut Vec<u8>, value: f64) {
    let value = number::rounded(value);
    if value < 0 {
        out.push(b'-');
    }
    number::push_decimal(out, value.unsigned_abs());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(text: &str, sequence: u64) -> String {
        let variables =
            Variables { device_id: "dev-7", device_number: 7, sequence, now_ns: 1_700_000_000_123_456_789, seed: 1 };
        let mut out = Vec::new();
        Template::parse(text).unwrap().write(&variables, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn variables_are_filled_in_and_other_braces_are_text() {
        assert_eq!(write(r#"{"seq":{seq},"id":"{id}"}"#, 12), r#"{"seq":12,"id":"dev-7"}"#);
        assert_eq!(write("{now_ms} {now_ns}", 0), "1700000000123 1700000000123456789");
        assert_eq!(write("{step:10:-2.5}", 3), "2.50");
        assert_eq!(write("{} {a} {", 0), "{} {a} {");
    }

    #[test]
    fn random_values_stay_in_range_and_come_again() {
        for sequence in 0..500 {
            let first = write("{random:15:30} {int:-2:2} {sine:0:10:60}", sequence);
            assert_eq!(first, write("{random:15:30} {int:-2:2} {sine:0:10:60}", sequence));
            let values: Vec<f64> = first.split(' ').map(|text| text.parse().unwrap()).collect();
            assert!((15.0..=30.0).contains(&values[0]), "{first}");
            assert!((-2.0..=2.0).contains(&values[1]), "{first}");
            assert!((0.0..=10.0).contains(&values[2]), "{first}");
        }
    }

    #[test]
    fn wrong_arguments_are_named() {
        for (text, part) in [("{random:1}", "LOW:HIGH"), ("{int:a:2}", "\"a\""), ("{sine:0:1:0}", "SECONDS above 0")] {
            assert!(Template::parse(text).unwrap_err().contains(part), "{text}");
        }
    }
}
