//! Text of a condition -> tokens with their byte ranges.
//! - Shape: names and keywords, `{any name}`, `$system.path[0]`, numbers (decimal, `0x` hexadecimal), 'texts' and "texts" with
//!   the escapes `\' \" \\ \uXXXX`, symbols.
//! - Errors: an unfinished text, brace or number, and a character that starts nothing. Never panics.

use std::ops::Range;

use winnow::Parser;
use winnow::ascii::{digit1, hex_digit1};
use winnow::combinator::{alt, delimited, opt, preceded, repeat};
use winnow::error::EmptyError;
use winnow::token::{any, none_of, one_of, take_till, take_while};

use super::error::{Problem, QueryError};
use super::value::{Value, number_of};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    /// A bare name or keyword.
    Name(&'a str),
    /// What stood between braces.
    Braced(&'a str),
    /// What followed a dollar sign.
    System(&'a str),
    Number(Value<'static>),
    Text(String),
    Symbol(&'static str),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lexeme<'a> {
    pub(super) token: Token<'a>,
    pub(super) span: Range<usize>,
}

/// Longer symbols stand before their beginnings.
const SYMBOLS: [&str; 17] = ["!=", "<>", "<=", ">=", "||", "=", "<", ">", "(", ")", "[", "]", ",", "+", "-", "*", "/"];

pub(super) fn lex(text: &str) -> Result<Vec<Lexeme<'_>>, QueryError> {
    let mut rest = text;
    let mut lexemes = Vec::new();
    loop {
        rest = rest.trim_start();
        let start = text.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            return Ok(lexemes);
        };
        let token = token(first, &mut rest).map_err(|expected| {
            let found = rest.chars().next().map_or_else(|| "the end".to_owned(), |found| format!("'{found}'"));
            QueryError::at(text, start, Problem::Expected { expected, found })
        })?;
        lexemes.push(Lexeme { token, span: start..text.len() - rest.len() });
    }
}

fn token<'a>(first: char, rest: &mut &'a str) -> Result<Token<'a>, &'static str> {
    match first {
        '\'' | '"' => text(first, rest).map(Token::Text).map_err(|_| "a text with a closing quote and known escapes"),
        '{' => delimited('{', take_till(1.., '}'), '}')
            .parse_next(rest)
            .map(Token::Braced)
            .map_err(|_: EmptyError| "a name and a closing brace"),
        '$' => preceded('$', system_name)
            .parse_next(rest)
            .map(Token::System)
            .map_err(|_: EmptyError| "the name of a system property"),
        '0'..='9' | '.' => number(rest).map(Token::Number).map_err(|_| "a number"),
        first if first.is_alphabetic() || first == '_' => {
            name.parse_next(rest).map(Token::Name).map_err(|_: EmptyError| "a name")
        }
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

fn number(input: &mut &str) -> Result<Value<'static>, EmptyError> {
    let hexadecimal = preceded(alt(("0x", "0X")), hex_digit1)
        .verify_map(|digits| i64::from_str_radix(digits, 16).ok())
        .map(Value::Integer);
    let exponent = (one_of(['e', 'E']), opt(one_of(['+', '-'])), digit1);
    let decimal = alt(((digit1, opt(('.', digit1)), opt(exponent)).take(), ('.', digit1).take())).verify_map(number_of);
    alt((hexadecimal, decimal)).parse_next(input)
}

fn name<'a>(input: &mut &'a str) -> Result<&'a str, EmptyError> {
    let end = name_end(input);
    let (name, rest) = input.split_at_checked(end).ok_or(EmptyError)?;
    *input = rest;
    Ok(name)
}

/// A name with `[0]` steps in it.
fn system_name<'a>(input: &mut &'a str) -> Result<&'a str, EmptyError> {
    let index = |input: &mut &'a str| delimited('[', digit1, ']').take().parse_next(input);
    let dotted = |input: &mut &'a str| ('.', name.verify(|name: &str| !name.is_empty())).take().parse_next(input);
    (name.verify(|name: &str| !name.is_empty()), repeat::<_, _, (), _, _>(0.., alt((index, dotted))))
        .take()
        .parse_next(input)
}

/// Where a name stops: `-` and `.` belong to it only between letters, digits and underscores.
fn name_end(input: &str) -> usize {
    let mut characters = input.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let joins =
            matches!(character, '-' | '.') && at > 0 && characters.peek().is_some_and(|&(_, next)| is_word(next));
        if !is_word(character) && !joins {
            return at;
        }
    }
    input.len()
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn symbol(input: &mut &str) -> Option<&'static str> {
    let found = SYMBOLS.into_iter().chain(["%"]).find(|symbol| input.starts_with(symbol))?;
    *input = input.get(found.len()..)?;
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[Token<'_>]) {
        let tokens: Vec<_> = lex(text).unwrap().into_iter().map(|lexeme| lexeme.token).collect();
        assert_eq!(tokens, expected, "{text}");
    }

    #[test]
    fn tokens_are_cut_where_the_language_says() {
        check("a-b", &[Token::Name("a-b")]);
        check("a - b", &[Token::Name("a"), Token::Symbol("-"), Token::Name("b")]);
        check(
            "$body.a.b[0].c-d<=0x1F",
            &[Token::System("body.a.b[0].c-d"), Token::Symbol("<="), Token::Number(Value::Integer(31))],
        );
        check("$body[2]", &[Token::System("body[2]")]);
        check(
            "{odd name}='it\\'s \\u00e9'",
            &[Token::Braced("odd name"), Token::Symbol("="), Token::Text("it's é".to_owned())],
        );
        check(
            "1.5e3 .5 7",
            &[Token::Number(Value::Float(1500.0)), Token::Number(Value::Float(0.5)), Token::Number(Value::Integer(7))],
        );
        check(
            "x IN[1,2]",
            &[
                Token::Name("x"),
                Token::Name("IN"),
                Token::Symbol("["),
                Token::Number(Value::Integer(1)),
                Token::Symbol(","),
                Token::Number(Value::Integer(2)),
                Token::Symbol("]"),
            ],
        );
    }

    #[test]
    fn unfinished_tokens_are_placed() {
        for (text, line, column) in
            [("a = 'x", 1, 5), ("a =\n  {b", 2, 3), ("a # b", 1, 3), ("$ = 1", 1, 1), ("'\\q'", 1, 1)]
        {
            let error = lex(text).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{text}: {error}");
        }
    }
}
