//! The condition language of routes: Azure IoT Hub's message-routing query.
//! - Source: Azure IoT Hub message routing query syntax; where it is silent, the open Edge hub shows the semantics.
//! - Shape: text -> `lexer` -> `parser` (`ast`) -> `compile` (folded, negation at the leaves) -> `evaluate` over a whole batch.
//! - Types: integer, float, text, boolean, null, undefined, array, object. A property has no type on the wire: it is text that takes
//!   the type of what it is compared or calculated with, when it reads as one (`temperature > 30` holds for `31`).
//! - Null and undefined: a comparison with undefined, or of null with anything but null, is undefined. `NOT undefined` is undefined;
//!   `AND` and `OR` are three-valued. Only true selects a message.
//! - Precedence, high to low: `-`; `* / %`; `+ -` and `||`; comparisons, `IN`, `NIN`; `NOT`; `AND`; `OR`. (The hub lists `NOT` highest;
//!   on booleans both readings agree, and on anything else the hub's reading is undefined.)
//! - Names: property names without regard to ASCII case, paths into the body with regard to it. A `-` or `.` between two
//!   letters or digits belongs to the name; a subtraction of names needs spaces.
//! - Limits: see `limits`. Errors: [`QueryError`], with line and column. Never panics.
//! - Not here: a twin look-up. `$twin.` paths are accepted and undefined for every message.

mod ast;
mod body;
mod columns;
mod compile;
mod error;
mod evaluate;
mod explain;
mod fields;
mod functions;
mod lexer;
mod parser;
mod program;
mod properties;
mod row;
mod value;

pub use error::{Problem, QueryError};
pub use evaluate::Scratch;
pub use explain::{Explanation, Step, explain};
pub use program::Program;
pub use value::Value;

pub(crate) use compile::{Condition, compile};
pub(crate) use evaluate::{Evaluation, Mask, NO_ROWS, combine, mask_is_empty};
pub(crate) use fields::Fields;
pub(crate) use parser::parse;
