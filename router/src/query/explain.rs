//! Why a condition holds for a message, or does not: every sub-expression with its value.

use std::fmt;

use millrace_model::Message;

use super::ast::{Kind, Node};
use super::body::{Cell, Unreadable, extract};
use super::compile::{compile, compile_expression};
use super::error::QueryError;
use super::fields::Fields;
use super::parser::parse;
use super::properties::{Memory, Span, decode, scan};
use super::row::Row;
use super::value::Value;

/// What a condition makes of one message.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Whether the message is selected.
    pub selected: bool,
    /// Every sub-expression, the whole condition first, each before its operands.
    pub steps: Vec<Step>,
}

/// One sub-expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// How deep it stands; 0 is the condition itself.
    pub depth: usize,
    /// Its text.
    pub text: String,
    /// Its value.
    pub value: Value<'static>,
    /// Why it is undefined, where that is not the fault of its operands.
    pub reason: Option<String>,
}

/// Evaluates a condition for one message, step by step.
///
/// # Errors
/// When the condition cannot be compiled.
pub fn explain(condition: &str, message: &Message<'_>) -> Result<Explanation, QueryError> {
    let tree = parse(condition)?;
    let mut fields = Fields::default();
    compile(condition, &tree, &mut fields)?;
    let mut spans = vec![Span::ABSENT; fields.property_count()];
    scan(&fields, message.bag, 0..message.bag.len(), &mut spans, &mut Memory::default());
    let content = [fields.content_type, fields.content_encoding]
        .map(|field| spans.get(usize::from(field?))?.raw(message.bag).map(decode));
    let (mut cells, mut arena) = (vec![Cell::Missing; fields.path_count()], String::new());
    let content = content.each_ref().map(|content| content.as_deref());
    let unreadable = extract(&fields.paths, content, message.body, &mut cells, &mut arena).err();
    let row = Row {
        identity: message.identity,
        enqueued_at: message.enqueued_at.0,
        source: message.source.code(),
        bytes: message.bag,
        spans: &spans,
        cells: &cells,
        arena: &arena,
    };
    let mut explainer = Explainer { condition, fields: fields.clone(), row, unreadable, steps: Vec::new() };
    explainer.explain(&tree, 0)?;
    let selected = explainer.steps.first().is_some_and(|step| step.value.is_true());
    Ok(Explanation { selected, steps: explainer.steps })
}

struct Explainer<'a> {
    condition: &'a str,
    fields: Fields,
    row: Row<'a>,
    unreadable: Option<Unreadable>,
    steps: Vec<Step>,
}

impl Explainer<'_> {
    fn explain(&mut self, node: &Node, depth: usize) -> Result<(), QueryError> {
        let expression = compile_expression(self.condition, node, &mut self.fields)?;
        let value = expression.evaluate(&self.row).into_owned();
        let children = node.children();
        let reason = (value == Value::Undefined).then(|| self.reason(node)).flatten();
        let text = self.condition.get(node.span.clone()).unwrap_or_default().trim().to_owned();
        self.steps.push(Step { depth, text: if text.is_empty() { "true".to_owned() } else { text }, value, reason });
        let first = self.steps.len();
        for child in children {
            self.explain(child, depth + 1)?;
        }
        let operands_defined = self.steps.get(first..).is_some_and(|operands| {
            operands.iter().all(|step| step.depth > depth + 1 || step.value != Value::Undefined)
        });
        if first < self.steps.len()
            && operands_defined
            && let Some(step) = self.steps.get_mut(first - 1)
            && step.value == Value::Undefined
        {
            step.reason = Some("the operands are of types (or values) that this cannot be applied to".to_owned());
        }
        Ok(())
    }

    fn reason(&self, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::Property(name) => Some(format!("the message has no application property '{name}'")),
            Kind::System(_) => Some("the message does not carry this system property".to_owned()),
            Kind::Twin => Some("twins are not looked up while routing".to_owned()),
            Kind::Body(_) => Some(match &self.unreadable {
                Some(unreadable) => unreadable.to_string(),
                None => "there is nothing at this path of the body".to_owned(),
            }),
            Kind::Literal(_) => Some("it is written so".to_owned()),
            _ => None,
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", if self.selected { "selected" } else { "not selected" })?;
        for step in &self.steps {
            write!(f, "{:indent$}{} is {}", "", step.text, step.value, indent = 2 + step.depth * 2)?;
            match &step.reason {
                Some(reason) => writeln!(f, ": {reason}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}
