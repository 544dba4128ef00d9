//! One condition by itself: compiled once, run over whole batches.
//! - Not here: many conditions over one batch, which share the walk over bags and bodies (`table`).

use millrace_model::{Batch, Selection};

use super::compile::{Condition, compile};
use super::error::QueryError;
use super::evaluate::{Evaluation, Scratch};
use super::fields::Fields;
use super::parser::parse;

/// A compiled condition.
#[derive(Debug, Clone)]
pub struct Program {
    fields: Fields,
    condition: Condition,
}

impl Program {
    /// Compiles a condition; an empty one is `true`.
    ///
    /// # Errors
    /// Says what is wrong with it, and where.
    pub fn compile(text: &str) -> Result<Self, QueryError> {
        let mut fields = Fields::default();
        let condition = compile(text, &parse(text)?, &mut fields)?;
        Ok(Self { fields, condition })
    }

    /// Adds the messages for which the condition is true to `into`. Bodies that broke their promise are in
    /// [`Scratch::poison`] afterwards.
    pub fn evaluate(&self, batch: &Batch, scratch: &mut Scratch, into: &mut Selection) {
        let mut evaluation = Evaluation::new(&self.fields, batch, scratch);
        while let Some((first, rows)) = evaluation.next_chunk() {
            for (number, word) in evaluation.select(&self.condition, rows).into_iter().enumerate() {
                into.insert_word(first / 64 + number, word);
            }
        }
    }
}
