//! Tokens -> tree of a condition, by precedence climbing.
//! - Shape: or = and (OR and)*; and = not (AND not)*; not = NOT not | comparison; comparison = sum [op sum | [N]IN list];
//!   sum = product ((+ -) product)*; product = unary ((* / %) unary)*; unary = - unary | NOT .. | primary;
//!   list = '[' [constant (, constant)*] ']'.
//! - Limits: recursion and tree height are both bounded by [`EXPRESSION_DEPTH_MAX`].

use crate::cursor::Cursor;
use crate::datum::{Arithmetic, Comparison, Datum};
use crate::error::{Problem, QueryError};
use crate::expression::{Expression, List};
use crate::functions::Function;
use crate::lexer::Token;
use crate::limits::{ARGUMENTS_MAX, EXPRESSION_DEPTH_MAX};
use crate::path::{Path, Step, is_reserved};

/// A tree with its height (1 for a leaf) and where it starts.
struct Tall {
    expression: Expression,
    height: usize,
    start: usize,
}

type Parsed = Result<Tall, QueryError>;

impl Cursor<'_> {
    /// A condition.
    pub(crate) fn condition(&mut self) -> Result<Expression, QueryError> {
        let condition = self.or()?;
        self.checked(&condition)?;
        Ok(condition.expression)
    }

    /// A path.
    pub(crate) fn path(&mut self, expected: &'static str) -> Result<Path, QueryError> {
        let path = match self.token() {
            Some(Token::Word(word)) if !is_reserved(word) => Path(vec![Step::Key((*word).into())]),
            Some(Token::Path(steps)) => Path(steps.clone()),
            _ => return Err(self.expected(expected)),
        };
        self.advance();
        Ok(path)
    }

    fn or(&mut self) -> Parsed {
        self.chain("OR", Self::and, Expression::Any)
    }

    fn and(&mut self) -> Parsed {
        self.chain("AND", Self::not, Expression::All)
    }

    /// `operand (keyword operand)*` as one node.
    fn chain(
        &mut self,
        keyword: &str,
        operand: fn(&mut Self) -> Parsed,
        kind: fn(Vec<Expression>) -> Expression,
    ) -> Parsed {
        let first = operand(self)?;
        if !self.is_keyword(keyword) {
            return Ok(first);
        }
        self.checked(&first)?;
        let (start, mut height) = (first.start, first.height);
        let mut operands = vec![first.expression];
        while self.takes_keyword(keyword) {
            let next = operand(self)?;
            self.checked(&next)?;
            height = height.max(next.height);
            operands.push(next.expression);
        }
        self.tall(kind(operands), height, start)
    }

    fn not(&mut self) -> Parsed {
        let start = self.position();
        if !self.takes_keyword("NOT") {
            return self.comparison();
        }
        let operand = self.nested(Self::not)?;
        self.checked(&operand)?;
        self.tall(Expression::Not(Box::new(operand.expression)), operand.height, start)
    }

    fn comparison(&mut self) -> Parsed {
        let left = self.sum()?;
        let negated = self.takes_keyword("NIN");
        if negated || self.takes_keyword("IN") {
            let list = self.constants()?;
            let needle = Box::new(left.expression);
            return self.tall(Expression::In { negated, needle, list }, left.height, left.start);
        }
        let Some(comparison) = self.symbol().and_then(comparison_of) else {
            return Ok(left);
        };
        self.advance();
        let right = self.sum()?;
        let height = left.height.max(right.height);
        let compared = Expression::Compare(comparison, Box::new(left.expression), Box::new(right.expression));
        self.tall(compared, height, left.start)
    }

    fn sum(&mut self) -> Parsed {
        self.calculation(Self::product, |symbol| match symbol {
            "+" => Some(Arithmetic::Add),
            "-" => Some(Arithmetic::Subtract),
            _ => None,
        })
    }

    fn product(&mut self) -> Parsed {
        self.calculation(Self::unary, |symbol| match symbol {
            "*" => Some(Arithmetic::Multiply),
            "/" => Some(Arithmetic::Divide),
            "%" => Some(Arithmetic::Remainder),
            _ => None,
        })
    }

    fn calculation(&mut self, operand: fn(&mut Self) -> Parsed, operation: fn(&str) -> Option<Arithmetic>) -> Parsed {
        let mut left = operand(self)?;
        while let Some(operation) = self.symbol().and_then(operation) {
            self.advance();
            let right = operand(self)?;
            let height = left.height.max(right.height);
            let both = Expression::Arithmetic(operation, Box::new(left.expression), Box::new(right.expression));
            left = self.tall(both, height, left.start)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed {
        let start = self.position();
        if self.is_keyword("NOT") {
            return self.nested(Self::not);
        }
        if !self.takes("-") {
            return self.primary();
        }
        let operand = self.nested(Self::unary)?;
        match operand.expression {
            Expression::Constant(number @ (Datum::Integer(_) | Datum::Float(_))) => {
                Ok(Tall { expression: Expression::Constant(number.negate()), height: 1, start })
            }
            other => self.tall(Expression::Negate(Box::new(other)), operand.height, start),
        }
    }

    fn primary(&mut self) -> Parsed {
        let start = self.position();
        if let Some(constant) = self.constant() {
            return Ok(Tall { expression: Expression::Constant(constant), height: 1, start });
        }
        if self.takes("(") {
            let mut inner = self.nested(Self::or)?;
            if !self.takes(")") {
                return Err(self.expected("an operator or ')'"));
            }
            inner.start = start;
            return Ok(inner);
        }
        if let (Some(&Token::Word(name)), Some(Token::Symbol("("))) = (self.token(), self.following()) {
            return self.call(name, start);
        }
        let path = self.path("a value, member, function or '('")?;
        Ok(Tall { expression: Expression::Member(path), height: 1, start })
    }

    fn call(&mut self, name: &str, start: usize) -> Parsed {
        let Some(function) = Function::from_name(name) else {
            return Err(self.problem(start, Problem::UnknownFunction(name.to_owned())));
        };
        self.advance();
        self.advance();
        let (mut arguments, mut height) = (Vec::new(), 0);
        while !self.takes(")") {
            if !arguments.is_empty() && !self.takes(",") {
                return Err(self.expected("',' or ')'"));
            }
            if arguments.len() == ARGUMENTS_MAX {
                return Err(self.problem(self.position(), Problem::TooMany(ARGUMENTS_MAX)));
            }
            let argument = self.nested(Self::or)?;
            height = height.max(argument.height);
            arguments.push(argument.expression);
        }
        let (least, most) = function.arity();
        if !(least..=most).contains(&arguments.len()) {
            let expected = if least == most { least.to_string() } else { format!("{least} to {most}") };
            let (function, found) = (function.name(), arguments.len());
            return Err(self.problem(start, Problem::Arguments { function, expected, found }));
        }
        self.tall(Expression::Call(function, arguments), height, start)
    }

    /// The list of an `IN`; as long as the text allows.
    fn constants(&mut self) -> Result<List, QueryError> {
        if !self.takes("[") {
            return Err(self.expected("'['"));
        }
        let mut constants = Vec::new();
        while !self.takes("]") {
            if !constants.is_empty() && !self.takes(",") {
                return Err(self.expected("',' or ']'"));
            }
            let is_negative = self.takes("-");
            let constant = self.constant().ok_or_else(|| self.expected("a text, number, true, false or null"))?;
            constants.push(if is_negative { constant.negate() } else { constant });
        }
        Ok(List::new(constants))
    }

    /// Takes a literal, if there is one here.
    fn constant(&mut self) -> Option<Datum<'static>> {
        let constant = match self.token()? {
            Token::Number(number) => number.clone(),
            Token::Text(text) => Datum::Text(text.clone().into()),
            Token::Word(word) => literal_of(word)?,
            Token::Path(_) | Token::Symbol(_) => return None,
        };
        self.advance();
        Some(constant)
    }

    /// A node above operands of which the highest has `height`.
    fn tall(&self, expression: Expression, height: usize, start: usize) -> Parsed {
        if height >= EXPRESSION_DEPTH_MAX {
            return Err(self.problem(start, Problem::TooDeep));
        }
        Ok(Tall { expression, height: height + 1, start })
    }

    /// Refuses what can never be true or false where a condition belongs.
    fn checked(&self, condition: &Tall) -> Result<(), QueryError> {
        match condition.expression.never_boolean() {
            Some(what) => Err(self.problem(condition.start, Problem::NotBoolean(what))),
            None => Ok(()),
        }
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

fn literal_of(word: &str) -> Option<Datum<'static>> {
    let literals = [
        ("true", Datum::Bool(true)),
        ("false", Datum::Bool(false)),
        ("null", Datum::Null),
        ("undefined", Datum::Undefined),
    ];
    literals.into_iter().find(|(literal, _)| literal.eq_ignore_ascii_case(word)).map(|(_, value)| value)
}
