//! Where in a document something stands, for people: `properties.desired.a.b[3]`.
//! - Limits: a path is cut at [`PATH_CHARACTERS_MAX`] characters, because names come from outside.

use std::fmt;

/// Characters of a path that are told.
const PATH_CHARACTERS_MAX: usize = 200;

/// The way down to a value, as a chain on the stack: nothing is allocated unless there is something to say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<'a> {
    before: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Name(&'a str),
    Element(usize),
}

impl<'a> Path<'a> {
    pub(crate) const fn root(name: &'a str) -> Self {
        Self { before: None, step: Step::Name(name) }
    }

    pub(crate) const fn member(&'a self, name: &'a str) -> Self {
        Self { before: Some(self), step: Step::Name(name) }
    }

    pub(crate) const fn element(&'a self, index: usize) -> Self {
        Self { before: Some(self), step: Step::Element(index) }
    }

    /// As text, cut where it gets long.
    pub(crate) fn text(&self) -> String {
        cut(&self.to_string(), PATH_CHARACTERS_MAX)
    }
}

/// At most so many characters of a text that comes from outside, without those that could deceive a reader of a log.
pub(crate) fn cut(text: &str, characters: usize) -> String {
    let plain = |character: char| if character.is_control() { '?' } else { character };
    let mut cut: String = text.chars().take(characters).map(plain).collect();
    if text.chars().nth(characters).is_some() {
        cut.push_str("...");
    }
    cut
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(before) = self.before {
            before.fmt(f)?;
        }
        match self.step {
            Step::Name(name) if self.before.is_none_or(|before| before.is_empty()) => f.write_str(name),
            Step::Name(name) => write!(f, ".{name}"),
            Step::Element(index) => write!(f, "[{index}]"),
        }
    }
}

impl Path<'_> {
    /// Whether it has no text of its own: a root without a name.
    fn is_empty(&self) -> bool {
        self.before.is_none() && matches!(self.step, Step::Name(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_well_and_are_cut() {
        let root = Path::root("tags");
        let member = root.member("a");
        assert_eq!(member.element(3).text(), "tags.a[3]");
        assert_eq!(Path::root("").member("a").text(), "a");
        let long = "x".repeat(1000);
        assert_eq!(root.member(&long).text().len(), PATH_CHARACTERS_MAX + 3);
        assert_eq!(root.member("a\nb").text(), "tags.a?b");
    }
}
