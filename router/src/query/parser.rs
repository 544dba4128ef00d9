//! Tokens -> tree, by precedence climbing.
//! - Shape: or = and (OR and)*; and = not (AND not)*; not = NOT not | comparison; comparison = sum (op sum | [N]IN list)*;
//!   sum = product ((+ - ||) product)*; product = unary ((* / %) unary)*; unary = - unary | NOT .. | primary.
//! - Limits: recursion and tree height are both bounded by [`CONDITION_DEPTH_MAX`]; an empty text is `true`.

use std::ops::Range;

use super::ast::{Kind, Node, PathStep};
use super::error::{Problem, QueryError};
use super::fields::SystemField;
use super::functions::Function;
use super::lexer::{Lexeme, Token, lex};
use super::value::{Arithmetic, Comparison, Value};
use crate::limits::{CONDITION_BYTES_MAX, CONDITION_DEPTH_MAX, LIST_LEN_MAX, PATH_STEPS_MAX};

type Parsed = Result<Node, QueryError>;

/// The tree of a condition.
pub(crate) fn parse(text: &str) -> Parsed {
    if text.len() > CONDITION_BYTES_MAX {
        return Err(QueryError::at(text, CONDITION_BYTES_MAX, Problem::TooLong));
    }
    let lexemes = lex(text)?;
    if lexemes.is_empty() {
        return Ok(Node::leaf(Kind::Literal(Value::Bool(true)), 0..text.len()));
    }
    let mut parser = Parser { text, lexemes: &lexemes, at: 0, depth: 0 };
    let node = parser.or()?;
    if parser.at < lexemes.len() {
        return Err(parser.expected("an operator or the end"));
    }
    Ok(node)
}

struct Parser<'a> {
    text: &'a str,
    lexemes: &'a [Lexeme<'a>],
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn or(&mut self) -> Parsed {
        self.chain("OR", Self::and, Kind::Any)
    }

    fn and(&mut self) -> Parsed {
        self.chain("AND", Self::not, Kind::All)
    }

    /// `operand (keyword operand)*` as one node.
    fn chain(&mut self, keyword: &str, operand: fn(&mut Self) -> Parsed, kind: fn(Vec<Node>) -> Kind) -> Parsed {
        let first = operand(self)?;
        let mut operands = vec![first];
        while self.takes_keyword(keyword) {
            operands.push(operand(self)?);
        }
        match <[Node; 1]>::try_from(operands) {
            Ok([single]) => Ok(single),
            Err(operands) => self.node(kind(operands)),
        }
    }

    fn not(&mut self) -> Parsed {
        let start = self.position();
        if !self.takes_keyword("NOT") {
            return self.comparison();
        }
        let operand = self.nested(Self::not)?;
        let span = start..operand.span.end;
        self.spanned(Kind::Not(Box::new(operand)), span)
    }

    fn comparison(&mut self) -> Parsed {
        let mut left = self.sum()?;
        loop {
            let negated = self.takes_keyword("NIN");
            if negated || self.takes_keyword("IN") {
                let list = self.list("[", "]", LIST_LEN_MAX)?;
                let span = left.span.start..self.consumed();
                left = self.spanned(Kind::In { negated, needle: Box::new(left), list }, span)?;
                continue;
            }
            let Some(comparison) = self.symbol().and_then(comparison_of) else {
                return Ok(left);
            };
            self.at += 1;
            let right = self.sum()?;
            left = self.node(Kind::Compare(comparison, Box::new(left), Box::new(right)))?;
        }
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        loop {
            let operation = match self.symbol() {
                Some("+") => Arithmetic::Add,
                Some("-") => Arithmetic::Subtract,
                Some("||") => {
                    left = self.concatenation(left)?;
                    continue;
                }
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.product()?;
            left = self.node(Kind::Arithmetic(operation, Box::new(left), Box::new(right)))?;
        }
    }

    /// `left || b || c`: one call however long.
    fn concatenation(&mut self, left: Node) -> Parsed {
        let mut texts = vec![left];
        while self.takes("||") {
            texts.push(self.product()?);
        }
        self.node(Kind::Call(Function::Concat, texts))
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.unary()?;
        loop {
            let operation = match self.symbol() {
                Some("*") => Arithmetic::Multiply,
                Some("/") => Arithmetic::Divide,
                Some("%") => Arithmetic::Remainder,
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.unary()?;
            left = self.node(Kind::Arithmetic(operation, Box::new(left), Box::new(right)))?;
        }
    }

    fn unary(&mut self) -> Parsed {
        let start = self.position();
        if self.takes("-") {
            let operand = self.nested(Self::unary)?;
            let span = start..operand.span.end;
            return self.spanned(Kind::Negate(Box::new(operand)), span);
        }
        if self.is_keyword("NOT") {
            return self.nested(Self::not);
        }
        self.primary()
    }

    fn primary(&mut self) -> Parsed {
        let expected = "a value, property, function or '('";
        let Some(lexeme) = self.lexemes.get(self.at) else {
            return Err(self.expected(expected));
        };
        let span = lexeme.span.clone();
        let kind = match &lexeme.token {
            Token::Symbol("(") => return self.parenthesised(),
            Token::Symbol(_) => return Err(self.expected(expected)),
            Token::Name(name) if self.followed_by("(") => return self.call(name, span),
            Token::Name(name) if ["AND", "OR", "IN", "NIN"].iter().any(|word| word.eq_ignore_ascii_case(name)) => {
                return Err(self.expected(expected));
            }
            Token::Name(name) => literal_of(name).map_or_else(|| Kind::Property((*name).to_owned()), Kind::Literal),
            Token::Braced(name) => match name.strip_prefix('$') {
                Some(name) => self.system(name, span.start)?,
                None => Kind::Property((*name).to_owned()),
            },
            Token::System(name) => self.system(name, span.start)?,
            Token::Number(number) => Kind::Literal(number.clone()),
            Token::Text(text) => Kind::Literal(Value::Text(text.clone().into())),
        };
        self.at += 1;
        Ok(Node::leaf(kind, span))
    }

    fn parenthesised(&mut self) -> Parsed {
        let start = self.position();
        self.at += 1;
        let mut node = self.nested(Self::or)?;
        if !self.takes(")") {
            return Err(self.expected("an operator or ')'"));
        }
        node.span = start..self.consumed();
        Ok(node)
    }

    fn call(&mut self, name: &str, span: Range<usize>) -> Parsed {
        let Some(function) = Function::from_name(name) else {
            return Err(self.problem(span.start, Problem::UnknownFunction(name.to_owned())));
        };
        self.at += 1;
        let (least, most) = function.arity();
        let arguments = self.list("(", ")", LIST_LEN_MAX)?;
        if !(least..=most).contains(&arguments.len()) {
            let expected = if least == most { least.to_string() } else { format!("{least} to {most}") };
            let found = arguments.len();
            return Err(self.problem(span.start, Problem::Arguments { function: function.name(), expected, found }));
        }
        let span = span.start..self.consumed();
        self.spanned(Kind::Call(function, arguments), span)
    }

    /// `open (condition (, condition)*)? close`
    fn list(&mut self, open: &'static str, close: &'static str, most: usize) -> Result<Vec<Node>, QueryError> {
        if !self.takes(open) {
            return Err(self.expected("'['"));
        }
        let mut entries = Vec::new();
        if self.takes(close) {
            return Ok(entries);
        }
        loop {
            if entries.len() == most {
                return Err(self.problem(self.position(), Problem::TooMany(most)));
            }
            entries.push(self.nested(Self::or)?);
            if self.takes(close) {
                return Ok(entries);
            }
            if !self.takes(",") {
                return Err(self.expected(if close == "]" { "',' or ']'" } else { "',' or ')'" }));
            }
        }
    }

    /// What follows a dollar sign.
    fn system(&self, name: &str, position: usize) -> Result<Kind, QueryError> {
        let stop = name.find(['.', '[']).unwrap_or(name.len());
        let (first, rest) = name.split_at_checked(stop).unwrap_or((name, ""));
        if first.eq_ignore_ascii_case("body") {
            return self.path(rest, position).map(Kind::Body);
        }
        if first.eq_ignore_ascii_case("twin") {
            return self.path(rest, position).map(|_| Kind::Twin);
        }
        SystemField::from_name(name)
            .map(Kind::System)
            .ok_or_else(|| self.problem(position, Problem::UnknownSystemProperty(name.to_owned())))
    }

    /// `.a.b[0].c`
    fn path(&self, text: &str, position: usize) -> Result<Vec<PathStep>, QueryError> {
        let mut steps = Vec::new();
        for part in
            text.split('.').enumerate().filter_map(|(number, part)| (number > 0 || !part.is_empty()).then_some(part))
        {
            let mut pieces = part.split('[');
            let key = pieces.next().unwrap_or_default();
            if !key.is_empty() {
                steps.push(PathStep::Key(key.to_owned()));
            }
            let mut any = !key.is_empty();
            for piece in pieces {
                let index = piece.strip_suffix(']').and_then(|digits| digits.parse().ok());
                let index = index.ok_or_else(|| self.path_problem(position, piece))?;
                steps.push(PathStep::Index(index));
                any = true;
            }
            if !any {
                return Err(self.path_problem(position, text));
            }
        }
        if steps.len() > PATH_STEPS_MAX {
            return Err(self.problem(position, Problem::TooMany(PATH_STEPS_MAX)));
        }
        Ok(steps)
    }

    fn path_problem(&self, position: usize, found: &str) -> QueryError {
        let expected = "a path such as $body.a.b[0].c";
        self.problem(position, Problem::Expected { expected, found: format!("'{found}'") })
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Parsed) -> Parsed {
        if self.depth >= CONDITION_DEPTH_MAX {
            return Err(self.problem(self.position(), Problem::TooDeep));
        }
        self.depth += 1;
        let node = inner(self);
        self.depth -= 1;
        node
    }

    /// A node that spans its children.
    fn node(&self, kind: Kind) -> Parsed {
        let mut node = Node::leaf(kind, 0..0);
        let children = node.children();
        let start = children.first().map_or(0, |child| child.span.start);
        node.span = start..children.last().map_or(start, |child| child.span.end);
        let span = node.span.clone();
        self.spanned(node.kind, span)
    }

    fn spanned(&self, kind: Kind, span: Range<usize>) -> Parsed {
        let mut node = Node::leaf(kind, span);
        node.height += node.children().iter().map(|child| child.height).max().unwrap_or(0);
        if node.height > CONDITION_DEPTH_MAX {
            return Err(self.problem(node.span.start, Problem::TooDeep));
        }
        Ok(node)
    }

    fn symbol(&self) -> Option<&'static str> {
        match self.lexemes.get(self.at)?.token {
            Token::Symbol(symbol) => Some(symbol),
            _ => None,
        }
    }

    fn takes(&mut self, symbol: &str) -> bool {
        let found = self.symbol() == Some(symbol);
        self.at += usize::from(found);
        found
    }

    fn followed_by(&self, symbol: &str) -> bool {
        matches!(self.lexemes.get(self.at + 1), Some(Lexeme { token: Token::Symbol(found), .. }) if *found == symbol)
    }

    fn is_keyword(&self, keyword: &str) -> bool {
        matches!(self.lexemes.get(self.at), Some(Lexeme { token: Token::Name(name), .. }) if name.eq_ignore_ascii_case(keyword))
    }

    fn takes_keyword(&mut self, keyword: &str) -> bool {
        let found = self.is_keyword(keyword);
        self.at += usize::from(found);
        found
    }

    /// Where the next token starts.
    fn position(&self) -> usize {
        self.lexemes.get(self.at).map_or(self.text.len(), |lexeme| lexeme.span.start)
    }

    /// Where the last token stopped.
    fn consumed(&self) -> usize {
        self.at.checked_sub(1).and_then(|before| self.lexemes.get(before)).map_or(0, |lexeme| lexeme.span.end)
    }

    fn expected(&self, expected: &'static str) -> QueryError {
        let found = self.lexemes.get(self.at).and_then(|lexeme| self.text.get(lexeme.span.clone()));
        let found = found.map_or_else(|| "the end".to_owned(), |found| format!("'{found}'"));
        self.problem(self.position(), Problem::Expected { expected, found })
    }

    fn problem(&self, position: usize, problem: Problem) -> QueryError {
        QueryError::at(self.text, position, problem)
    }
}

fn comparison_of(symbol: &str) -> Option<Comparison> {
    Some(match symbol {
        "=" => Comparison::Equal,
        "!=" | "<>" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn literal_of(name: &str) -> Option<Value<'static>> {
    let literals = [
        ("true", Value::Bool(true)),
        ("false", Value::Bool(false)),
        ("null", Value::Null),
        ("undefined", Value::Undefined),
    ];
    literals.into_iter().find(|(word, _)| word.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
