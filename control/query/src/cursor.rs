//! A place among the tokens of a query, for the parsers of expressions and of statements.

use crate::error::{Problem, QueryError};
use crate::lexer::{Lexeme, Token, lex};
use crate::limits::{EXPRESSION_DEPTH_MAX, QUERY_CHARACTERS_MAX};

pub(crate) struct Cursor<'a> {
    text: &'a str,
    lexemes: Vec<Lexeme<'a>>,
    at: usize,
    depth: usize,
}

impl<'a> Cursor<'a> {
    /// At the first token of a text that is not too long.
    pub(crate) fn new(text: &'a str) -> Result<Self, QueryError> {
        if let Some((position, _)) = text.char_indices().nth(QUERY_CHARACTERS_MAX) {
            return Err(QueryError::at(text, position, Problem::TooLong));
        }
        Ok(Self { text, lexemes: lex(text)?, at: 0, depth: 0 })
    }

    /// The token here.
    pub(crate) fn token(&self) -> Option<&Token<'a>> {
        self.lexemes.get(self.at).map(|lexeme| &lexeme.token)
    }

    pub(crate) fn advance(&mut self) {
        self.at += 1;
    }

    pub(crate) fn symbol(&self) -> Option<&'static str> {
        match self.token() {
            Some(&Token::Symbol(symbol)) => Some(symbol),
            _ => None,
        }
    }

    pub(crate) fn takes(&mut self, symbol: &str) -> bool {
        let found = self.symbol() == Some(symbol);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn is_keyword(&self, keyword: &str) -> bool {
        matches!(self.token(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword))
    }

    pub(crate) fn takes_keyword(&mut self, keyword: &str) -> bool {
        let found = self.is_keyword(keyword);
        self.at += usize::from(found);
        found
    }

    /// The token behind the one here.
    pub(crate) fn following(&self) -> Option<&Token<'a>> {
        self.lexemes.get(self.at + 1).map(|lexeme| &lexeme.token)
    }

    /// Where the token here starts.
    pub(crate) fn position(&self) -> usize {
        self.lexemes.get(self.at).map_or(self.text.len(), |lexeme| lexeme.span.start)
    }

    /// Fails unless all tokens are used up.
    pub(crate) fn end(&self, expected: &'static str) -> Result<(), QueryError> {
        if self.at < self.lexemes.len() { Err(self.expected(expected)) } else { Ok(()) }
    }

    /// The error that something else should stand here.
    pub(crate) fn expected(&self, expected: &'static str) -> QueryError {
        let found = self.lexemes.get(self.at).and_then(|lexeme| self.text.get(lexeme.span.clone()));
        let found = found.map_or_else(|| "the end".to_owned(), |found| format!("'{found}'"));
        self.problem(self.position(), Problem::Expected { expected, found })
    }

    pub(crate) fn problem(&self, position: usize, problem: Problem) -> QueryError {
        QueryError::at(self.text, position, problem)
    }

    /// Runs a parser one level deeper.
    pub(crate) fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        if self.depth >= EXPRESSION_DEPTH_MAX {
            return Err(self.problem(self.position(), Problem::TooDeep));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }
}
