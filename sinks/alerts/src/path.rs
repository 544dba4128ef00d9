//! JSON paths and the scanner that reads the numbers at all paths of all rules in one pass over a body.
//! - Shape: `$` then steps: `.name`, `["any name"]`, `[index]`. All paths form one tree; each leaf has a slot of the answer.
//! - Invariants: the first of repeated keys counts; only numbers count (not `true`, not `"12"`), and only finite ones.
//! - Limits: [`PATH_STEPS_MAX`] steps; parts nobody asks for are skipped, at most 200 levels deep.
//! - Errors: what cannot be read stays missing; a broken body keeps what was read before the break. Never panics.
//! - Hot path: [`PathTree::scan`]: no allocation, and it stops as soon as every slot is filled.

use jiter::{Jiter, JiterResult, Peek};

use crate::limits::PATH_STEPS_MAX;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Index(usize),
    Name(String),
}

/// A parsed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path(Vec<Step>);

impl Path {
    /// Reads a path such as `$.engine["oil temp"][0]`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.strip_prefix('$').ok_or("a path starts with $")?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest).ok_or_else(|| format!("cannot read \"{rest}\""))?;
            steps.push(step);
            rest = after;
        }
        if steps.len() > PATH_STEPS_MAX {
            return Err(format!("more than {PATH_STEPS_MAX} steps"));
        }
        Ok(Self(steps))
    }
}

fn step(text: &str) -> Option<(Step, &str)> {
    if let Some(name) = text.strip_prefix('.') {
        let (name, rest) = name.split_at(name.find(['.', '[', ']', '"']).unwrap_or(name.len()));
        return (!name.is_empty()).then(|| (Step::Name(name.to_owned()), rest));
    }
    let inner = text.strip_prefix('[')?;
    if let Some(quoted) = inner.strip_prefix('"') {
        let (name, rest) = quoted.split_once("\"]")?;
        return Some((Step::Name(name.to_owned()), rest));
    }
    let (index, rest) = inner.split_once(']')?;
    Some((Step::Index(index.parse().ok()?), rest))
}

#[derive(Debug, Default)]
struct Node {
    slot: Option<usize>,
    names: Vec<(String, usize)>,
    indices: Vec<(usize, usize)>,
}

/// All paths of a sink.
#[derive(Debug)]
pub(crate) struct PathTree {
    nodes: Vec<Node>,
    slots: usize,
    /// Scratch space for keys with escapes, kept between scans.
    tape: Vec<u8>,
}

impl PathTree {
    pub(crate) fn new() -> Self {
        Self { nodes: vec![Node::default()], slots: 0, tape: Vec::new() }
    }

    /// Adds a path and answers its slot; equal paths share one.
    pub(crate) fn add(&mut self, path: &Path) -> usize {
        let mut at = 0;
        for step in &path.0 {
            at = self.child(at, step);
        }
        let next = self.slots;
        let Some(node) = self.nodes.get_mut(at) else { return next };
        if let Some(slot) = node.slot {
            return slot;
        }
        node.slot = Some(next);
        self.slots += 1;
        next
    }

    /// How many slots there are.
    pub(crate) const fn slots(&self) -> usize {
        self.slots
    }

    fn child(&mut self, at: usize, step: &Step) -> usize {
        let fresh = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return 0 };
        let known = match step {
            Step::Index(wanted) => node.indices.iter().find(|(index, _)| index == wanted).map(|&(_, child)| child),
            Step::Name(wanted) => node.names.iter().find(|(name, _)| name == wanted).map(|&(_, child)| child),
        };
        if let Some(child) = known {
            return child;
        }
        match step {
            Step::Index(index) => node.indices.push((*index, fresh)),
            Step::Name(name) => node.names.push((name.clone(), fresh)),
        }
        self.nodes.push(Node::default());
        fresh
    }

    /// Fills `values` (one per slot; NaN = missing) from a body. Answers false when the body is not readable JSON up to
    /// where reading stopped.
    pub(crate) fn scan(&mut self, body: &[u8], values: &mut [f64]) -> bool {
        values.fill(f64::NAN);
        if self.slots == 0 {
            return true;
        }
        let mut scan = Scan {
            nodes: &self.nodes,
            json: Jiter::with_tape(body, std::mem::take(&mut self.tape)),
            values,
            missing: self.slots,
        };
        let outcome = scan.json.peek().and_then(|peek| scan.value(0, peek));
        self.tape = scan.json.into_tape();
        outcome.is_ok()
    }
}

struct Scan<'t, 'b> {
    nodes: &'t [Node],
    json: Jiter<'b>,
    values: &'t mut [f64],
    missing: usize,
}

impl Scan<'_, '_> {
    /// Reads one value below `node`. The depth of this recursion is that of the tree, so at most [`PATH_STEPS_MAX`].
    fn value(&mut self, node: usize, peek: Peek) -> JiterResult<()> {
        let Some(wanted) = self.nodes.get(node) else { return self.json.known_skip(peek) };
        match peek {
            Peek::Object if !wanted.names.is_empty() => self.object(wanted),
            Peek::Array if !wanted.indices.is_empty() => self.array(wanted),
            _ if peek.is_num() && wanted.slot.is_some() => {
                let number = self.json.known_float(peek)?;
                self.found(wanted.slot, number);
                Ok(())
            }
            _ => self.json.known_skip(peek),
        }
    }

    fn found(&mut self, slot: Option<usize>, number: f64) {
        let Some(place) = slot.and_then(|slot| self.values.get_mut(slot)) else { return };
        if place.is_nan() && number.is_finite() {
            *place = number;
            self.missing -= 1;
        }
    }

    fn object(&mut self, wanted: &Node) -> JiterResult<()> {
        let mut key = self.json.known_object()?;
        while let Some(name) = key {
            let child = wanted.names.iter().find(|(known, _)| known == name).map(|&(_, child)| child);
            match child {
                Some(child) => {
                    let peek = self.json.peek()?;
                    self.value(child, peek)?;
                }
                None => self.json.next_skip()?,
            }
            if self.missing == 0 {
                return Ok(());
            }
            key = self.json.next_key()?;
        }
        Ok(())
    }

    fn array(&mut self, wanted: &Node) -> JiterResult<()> {
        let mut item = self.json.known_array()?;
        let mut index = 0;
        while let Some(peek) = item {
            match wanted.indices.iter().find(|(known, _)| *known == index).map(|&(_, child)| child) {
                Some(child) => self.value(child, peek)?,
                None => self.json.known_skip(peek)?,
            }
            if self.missing == 0 {
                return Ok(());
            }
            index += 1;
            item = self.json.array_step()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(paths: &[&str], body: &str, expected: &[Option<f64>], readable: bool) {
        let mut tree = PathTree::new();
        let slots: Vec<usize> = paths.iter().map(|path| tree.add(&Path::parse(path).unwrap())).collect();
        let mut values = vec![0.0; tree.slots()];
        assert_eq!(tree.scan(body.as_bytes(), &mut values), readable, "{body:.100}");
        let found: Vec<Option<f64>> =
            slots.iter().map(|&slot| Some(values[slot]).filter(|value| !value.is_nan())).collect();
        assert_eq!(found, expected, "{body:.100}");
    }

    #[test]
    fn reads_all_paths_in_one_pass() {
        let body = r#"{"skip":{"t":1},"t":21.5,"a":{"b c":[1,{"x":-2e3}]},"n":7,"t":99}"#;
        check(&["$.t"], body, &[Some(21.5)], true);
        check(
            &["$.n", "$.t", "$.a[\"b c\"][1].x", "$.t"],
            body,
            &[Some(7.0), Some(21.5), Some(-2000.0), Some(21.5)],
            true,
        );
        check(&["$.none", "$.a", "$.skip.t.u"], body, &[None, None, None], true);
        check(&["$"], "17", &[Some(17.0)], true);
        check(&["$[1]"], "[1,2,3]", &[Some(2.0)], true);
        check(&["$.k\u{e9}"], r#"{"k\u00e9":3}"#, &[Some(3.0)], true);
    }

    #[test]
    fn what_is_no_number_is_missing() {
        for value in ["true", "null", "\"12\"", "{}", "[]", "1e999"] {
            check(&["$.t"], &format!("{{\"t\":{value}}}"), &[None], true);
        }
        for body in ["", "x", "{", "{\"t\"", "{\"t\":", "{\"t\":}", "{\"t\":NaN}", "\u{0}", "{\"t\":01}"] {
            check(&["$.t"], body, &[None], false);
        }
        check(&["$.t", "$.u"], "{\"t\":1,", &[Some(1.0), None], false);
    }

    #[test]
    fn a_bomb_is_refused_where_it_gets_too_deep() {
        let deep = "[".repeat(200_000);
        check(&["$.t"], &deep, &[None], false);
        check(&["$.t"], &format!("{{\"x\":{deep}"), &[None], false);
        check(&["$[0][0][0]"], &deep, &[None], false);
        // More digits than any number needs are refused too, not converted.
        let long = format!("{{\"x\":{}1,\"t\":2}}", "9".repeat(200_000));
        check(&["$.t"], &long, &[None], false);
    }

    #[test]
    fn bad_paths_are_refused() {
        for bad in ["", "t", "$t", "$.", "$..a", "$[", "$[x]", "$[\"a]", "$[-1]", "$.a]"] {
            assert!(Path::parse(bad).is_err(), "{bad}");
        }
        assert!(Path::parse(&"$".chars().chain(".a".repeat(17).chars()).collect::<String>()).is_err());
    }
}
