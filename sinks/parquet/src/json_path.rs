//! JSON paths of typed columns, and the one pass over a body that finds all of them.
//! - Shape: `$.a.b[0]`, `a.b[0]`, `$['odd name'].x`. No wildcards, no filters.
//! - Limits: [`PATH_STEPS_MAX`] steps; values outside the paths are skipped, not built (`jiter` itself refuses a nesting
//!   deeper than 200).
//! - Errors: a body that is not JSON has what stood before the error.
//! - Hot path: [`PathTree::find`] allocates only what it finds.

use jiter::{Jiter, Peek};

use crate::limits::PATH_STEPS_MAX;

/// A parsed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Element(usize),
    Key(String),
}

/// A value that is neither an object nor an array.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar<'a> {
    Boolean(bool),
    Double(f64),
    Long(i64),
    Null,
    Text(&'a str),
}

/// Several paths, merged so that one pass over a body finds all of them.
#[derive(Debug, Default)]
pub(crate) struct PathTree {
    /// Numbers of the paths that end here.
    found: Vec<usize>,
    children: Vec<(Step, PathTree)>,
}

impl JsonPath {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let rooted = text.strip_prefix('$');
        let mut rest = rooted.unwrap_or(text);
        let mut steps = Vec::new();
        // Without `$`, the first key needs no dot before it.
        let mut bare = rooted.is_none();
        while bare || !rest.is_empty() {
            let (step, after) = if rest.starts_with('[') { bracket(rest)? } else { key(rest, bare)? };
            steps.push(step);
            rest = after;
            bare = false;
        }
        if steps.len() > PATH_STEPS_MAX {
            return Err("more than 16 steps");
        }
        Ok(Self(steps))
    }
}

fn key(rest: &str, bare: bool) -> Result<(Step, &str), &'static str> {
    let rest = if bare { rest } else { rest.strip_prefix('.').ok_or("expected `.` or `[`")? };
    let (name, after) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
    if name.is_empty() { Err("a key is empty") } else { Ok((Step::Key(name.to_owned()), after)) }
}

fn bracket(rest: &str) -> Result<(Step, &str), &'static str> {
    for (open, close) in [("['", "']"), ("[\"", "\"]")] {
        if let Some(quoted) = rest.strip_prefix(open) {
            let (name, after) = quoted.split_once(close).ok_or("a quoted key does not end")?;
            return Ok((Step::Key(name.to_owned()), after));
        }
    }
    let (number, after) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).ok_or("`[` without `]`")?;
    let number = number.parse().map_err(|_| "expected a number or a quoted key between `[` and `]`")?;
    Ok((Step::Element(number), after))
}

impl PathTree {
    /// Merges paths; they are numbered in their order.
    pub(crate) fn new(paths: &[JsonPath]) -> Self {
        let mut tree = Self::default();
        for (number, path) in paths.iter().enumerate() {
            tree.insert(&path.0, number);
        }
        tree
    }

    /// Calls `found` with the number of each path that ends at a string, number, boolean or null, and with that value. Of a key
    /// that repeats, each occurrence is reported.
    pub(crate) fn find(&self, body: &[u8], found: &mut impl FnMut(usize, Scalar<'_>)) {
        let mut json = Jiter::new(body);
        if let Ok(peek) = json.peek() {
            // What stood before an error in the text counts; `None` only ends the walk.
            let _end = self.walk(&mut json, peek, found);
        }
    }

    fn insert(&mut self, steps: &[Step], number: usize) {
        let Some((first, rest)) = steps.split_first() else {
            self.found.push(number);
            return;
        };
        let known = self.children.iter().position(|(step, _)| step == first);
        let index = known.unwrap_or_else(|| {
            self.children.push((first.clone(), Self::default()));
            self.children.len() - 1
        });
        if let Some((_, child)) = self.children.get_mut(index) {
            child.insert(rest, number);
        }
    }

    fn walk(&self, json: &mut Jiter<'_>, peek: Peek, found: &mut impl FnMut(usize, Scalar<'_>)) -> Option<()> {
        match peek {
            Peek::Object => self.walk_object(json, found),
            Peek::Array => self.walk_array(json, found),
            _ if self.found.is_empty() => json.known_skip(peek).ok(),
            _ => {
                let value = scalar(json, peek)?;
                self.found.iter().for_each(|&number| found(number, value));
                Some(())
            }
        }
    }

    fn walk_object(&self, json: &mut Jiter<'_>, found: &mut impl FnMut(usize, Scalar<'_>)) -> Option<()> {
        let mut key = json.known_object().ok()?;
        while let Some(name) = key {
            let child = self.children.iter().find(|(step, _)| matches!(step, Step::Key(key) if key == name));
            match child {
                Some((_, child)) => {
                    let peek = json.peek().ok()?;
                    child.walk(json, peek, found)?;
                }
                None => json.next_skip().ok()?,
            }
            key = json.next_key().ok()?;
        }
        Some(())
    }

    fn walk_array(&self, json: &mut Jiter<'_>, found: &mut impl FnMut(usize, Scalar<'_>)) -> Option<()> {
        let mut element = json.known_array().ok()?;
        let mut number = 0;
        while let Some(peek) = element {
            let child = self.children.iter().find(|(step, _)| *step == Step::Element(number));
            match child {
                Some((_, child)) => child.walk(json, peek, found)?,
                None => json.known_skip(peek).ok()?,
            }
            number += 1;
            element = json.array_step().ok()?;
        }
        Some(())
    }
}

fn scalar<'a>(json: &'a mut Jiter<'_>, peek: Peek) -> Option<Scalar<'a>> {
    match peek {
        Peek::Null => json.known_null().ok().map(|()| Scalar::Null),
        Peek::True | Peek::False => json.known_bool(peek).ok().map(Scalar::Boolean),
        Peek::String => json.known_str().ok().map(Scalar::Text),
        _ => {
            let text = std::str::from_utf8(json.known_number_bytes(peek).ok()?).ok()?;
            // A number that no 64-bit type holds is no reason to give up on the rest of the body.
            let double = || text.parse().ok().filter(|double: &f64| double.is_finite()).map(Scalar::Double);
            let value = text.parse().ok().map(Scalar::Long).or_else(double);
            Some(value.unwrap_or(Scalar::Null))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(paths: &[&str], body: &str, expected: &[(usize, &str)]) {
        let paths: Vec<_> = paths.iter().map(|path| JsonPath::parse(path).unwrap()).collect();
        let mut found = Vec::new();
        PathTree::new(&paths).find(body.as_bytes(), &mut |number, value| found.push((number, format!("{value:?}"))));
        let expected: Vec<_> = expected.iter().map(|&(number, value)| (number, value.to_owned())).collect();
        assert_eq!(found, expected, "{body}");
    }

    #[test]
    fn paths_are_found_in_one_pass() {
        let paths = ["$.a", "b.c[1]", "$['d e']", "b[\"c\"][0].x", "$.b"];
        check(&paths[..1], r#"{"z":[{"a":9}],"a":1.5}"#, &[(0, "Double(1.5)")]);
        check(&paths[1..3], r#"{"b":{"c":[0,true]},"d e":null}"#, &[(0, "Boolean(true)"), (1, "Null")]);
        check(&paths[1..4], r#"{"b":{"c":[{"x":7},8]}}"#, &[(2, "Long(7)"), (0, "Long(8)")]);
        check(&["$", "$.a"], r#"{"a":2}"#, &[(1, "Long(2)")]);
        check(&["$"], "3", &[(0, "Long(3)")]);
        check(&["a", "a.b"], r#"{"a":{"b":4},"a":5}"#, &[(1, "Long(4)"), (0, "Long(5)")]);
        check(&["[0]"], "[4]", &[(0, "Long(4)")]);
    }

    #[test]
    fn what_is_not_json_finds_nothing() {
        for body in ["", "{", "\u{0}", "{\"b\":", "[[[[", "12", "\"a\""] {
            check(&["a", "b.c"], body, &[]);
        }
        let deep = "[".repeat(100_000);
        check(&["a", "[0][0].x"], &deep, &[]);
        check(&["$"], &deep, &[]);
        check(&["a"], r#"{"a":1,"b":"#, &[(0, "Long(1)")]);
    }

    #[test]
    fn bad_paths_are_refused() {
        for bad in ["", "$.", ".a", "a..b", "a[", "a[x]", "a['x", "$a", &"a.".repeat(17)] {
            assert!(JsonPath::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(JsonPath::parse("$"), Ok(JsonPath(Vec::new())));
    }
}
