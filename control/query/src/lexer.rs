//! Text of a query -> tokens with their byte ranges.
//! - Shape: words and keywords, paths (`a.b[0].[[any name]]`), numbers (decimal, `0x` hexadecimal), 'texts' and "texts" with the
//!   escapes `\' \" \\ \uXXXX`, symbols. A minus sign never belongs to a name: `[[my-tag]]`.
//! - Errors: an unfinished text, escape or number, and a character that starts nothing. Never panics.

use std::ops::Range;

use winnow::Parser;
use winnow::ascii::{digit1, hex_digit1};
use winnow::combinator::{alt, delimited, opt, preceded, repeat};
use winnow::error::EmptyError;
use winnow::token::{any, none_of, one_of, take_until, take_while};

use crate::datum::{Datum, number_of};
use crate::error::{Problem, QueryError};
use crate::path::{Step, is_reserved, is_word};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token<'a> {
    /// A bare name or keyword.
    Word(&'a str),
    /// A path of several steps, or one with an escaped name.
    Path(Vec<Step>),
    Number(Datum<'static>),
    Text(String),
    Symbol(&'static str),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lexeme<'a> {
    pub(crate) token: Token<'a>,
    pub(crate) span: Range<usize>,
}

/// Longer symbols stand before their beginnings.
const SYMBOLS: [&str; 17] = ["!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", "[", "]", ",", "+", "-", "*", "/", "%"];

pub(crate) fn lex(text: &str) -> Result<Vec<Lexeme<'_>>, QueryError> {
    let mut rest = text;
    let mut lexemes = Vec::new();
    loop {
        rest = rest.trim_start();
        let start = text.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            return Ok(lexemes);
        };
        let token = token(first, &mut rest).map_err(|expected| {
            let found = text.get(start..).and_then(|rest| rest.chars().next());
            let found = found.map_or_else(|| "the end".to_owned(), |found| format!("'{found}'"));
            QueryError::at(text, start, Problem::Expected { expected, found })
        })?;
        lexemes.push(Lexeme { token, span: start..text.len() - rest.len() });
    }
}

fn token<'a>(first: char, rest: &mut &'a str) -> Result<Token<'a>, &'static str> {
    match first {
        '\'' | '"' => text(first, rest).map(Token::Text).map_err(|_| "a text with a closing quote and known escapes"),
        '0'..='9' | '.' => number(rest).map(Token::Number).map_err(|_| "a number"),
        '[' if rest.starts_with("[[") => path(rest).map_err(|_| "a name and ']]'"),
        first if is_word(first) => path(rest).map_err(|_| "a name"),
        _ => symbol(rest).map(Token::Symbol).ok_or("a value, name or operator"),
    }
}

fn text(quote: char, input: &mut &str) -> Result<String, EmptyError> {
    let escape = alt((
        one_of(['\'', '"', '\\']),
        preceded(one_of(['u', 'U']), take_while(4..=4, |digit: char| digit.is_ascii_hexdigit()))
            .verify_map(|digits: &str| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)),
    ));
    delimited(
        quote,
        repeat(0.., alt((none_of([quote, '\\']), preceded('\\', escape)))).fold(String::new, |mut text, piece| {
            text.push(piece);
            text
        }),
        any.verify(move |&last| last == quote),
    )
    .parse_next(input)
}

fn number(input: &mut &str) -> Result<Datum<'static>, EmptyError> {
    let hexadecimal = preceded(alt(("0x", "0X")), hex_digit1)
        .verify_map(|digits| i64::from_str_radix(digits, 16).ok())
        .map(Datum::Integer);
    let exponent = (one_of(['e', 'E']), opt(one_of(['+', '-'])), digit1);
    let decimal = alt(((digit1, opt(('.', digit1)), opt(exponent)).take(), ('.', digit1).take())).verify_map(number_of);
    alt((hexadecimal, decimal)).parse_next(input)
}

/// A name with what follows it; a reserved word is never followed by steps, so that `IN[1]` is a list.
fn path<'a>(input: &mut &'a str) -> Result<Token<'a>, EmptyError> {
    if !input.starts_with("[[") {
        let word = name.parse_next(input)?;
        let goes_on = input.starts_with('.') || input.starts_with('[');
        if !goes_on || is_reserved(word) {
            return Ok(Token::Word(word));
        }
        return steps(Step::Key(word.into()), input).map(Token::Path);
    }
    let first = escaped.parse_next(input)?;
    steps(first, input).map(Token::Path)
}

fn steps(first: Step, input: &mut &str) -> Result<Vec<Step>, EmptyError> {
    let mut steps = vec![first];
    loop {
        let step = if input.starts_with('.') {
            preceded('.', alt((escaped, name.map(|name: &str| Step::Key(name.into()))))).parse_next(input)?
        } else if input.starts_with('[') && !input.starts_with("[[") {
            delimited('[', digit1, ']')
                .verify_map(|digits: &str| digits.parse().ok().map(Step::Index))
                .parse_next(input)?
        } else {
            return Ok(steps);
        };
        steps.push(step);
    }
}

fn escaped(input: &mut &str) -> Result<Step, EmptyError> {
    delimited("[[", take_until(1.., "]]"), "]]").map(|name: &str| Step::Key(name.into())).parse_next(input)
}

fn name<'a>(input: &mut &'a str) -> Result<&'a str, EmptyError> {
    take_while(1.., is_word).parse_next(input)
}

fn symbol(input: &mut &str) -> Option<&'static str> {
    let found = SYMBOLS.into_iter().find(|symbol| input.starts_with(symbol))?;
    *input = input.get(found.len()..)?;
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Step {
        Step::Key(name.into())
    }

    fn check(text: &str, expected: &[Token<'_>]) {
        let tokens: Vec<_> = lex(text).unwrap().into_iter().map(|lexeme| lexeme.token).collect();
        assert_eq!(tokens, expected, "{text}");
    }

    #[test]
    fn tokens_are_cut_where_the_language_says() {
        check("a-b", &[Token::Word("a"), Token::Symbol("-"), Token::Word("b")]);
        check("tags.1st[2].$x", &[Token::Path(vec![key("tags"), key("1st"), Step::Index(2), key("$x")])]);
        check("c.[[a.b c]].s", &[Token::Path(vec![key("c"), key("a.b c"), key("s")])]);
        check("[[from]]", &[Token::Path(vec![key("from")])]);
        check("in[1]", &[Token::Word("in"), Token::Symbol("["), Token::Number(Datum::Integer(1)), Token::Symbol("]")]);
        check("'it\\'s \\u00e9'\"'\"", &[Token::Text("it's é".to_owned()), Token::Text("'".to_owned())]);
        check(
            "0x1F .5 1.5e3",
            &[Token::Number(Datum::Integer(31)), Token::Number(Datum::Float(0.5)), Token::Number(Datum::Float(1500.0))],
        );
    }

    #[test]
    fn unfinished_tokens_are_placed() {
        for (text, line, column) in
            [("a = 'x", 1, 5), ("a =\n  [[b", 2, 3), ("a # b", 1, 3), ("tags.", 1, 1), ("'\\q'", 1, 1), ("[[]]", 1, 1)]
        {
            let error = lex(text).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{text}: {error}");
        }
    }
}
