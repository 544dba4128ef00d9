//! Conditions over a batch, a chunk of rows at a time.
//! - Shape: a chunk's rows are bits of a [`Mask`]; bag spans and body cells of a row are filled when the first condition asks, and
//!   serve all conditions of the table.
//! - Invariants: a bag is scanned at most once and a body parsed at most once for each message and evaluation.
//! - Limits: chunks of [`CHUNK_ROWS`]; texts of bodies are copied, so the arena is bounded by the bodies of a chunk.
//! - Errors: a body that broke its sender's promise of JSON is undefined for the condition and recorded as poison.
//! - Hot path: [`Evaluation::select`]. No allocation but for bodies; expressions that call functions allocate.

use std::ops::Range;

use millrace_model::{Batch, IdentityRef};

use super::body::{Cell, Unreadable, extract};
use super::columns::{Column, ColumnRows};
use super::compile::{Condition, Expression, Test};
use super::fields::Fields;
use super::properties::{Memory, Span, decode, scan};
use super::row::Row;
use crate::limits::CHUNK_ROWS;

pub(super) const WORDS: usize = CHUNK_ROWS / 64;

/// A bit for each row of a chunk.
pub(crate) type Mask = [u64; WORDS];

pub(crate) const NO_ROWS: Mask = [0; WORDS];

/// Memory that is used again from batch to batch.
#[derive(Debug, Default)]
pub struct Scratch {
    spans: Vec<Span>,
    memory: Memory,
    columns: Vec<ColumnRows>,
    cells: Vec<Cell>,
    arena: String,
    scanned: Mask,
    opened: Mask,
    broken: Mask,
    /// Rows of the chunk whose broken body a condition asked for since this was last cleared.
    missed: Mask,
    /// By identity leaf and identity of the batch.
    answers: Vec<Vec<Answer>>,
    poison: Vec<(usize, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Answer {
    #[default]
    Unknown,
    Known(Option<bool>),
}

impl Scratch {
    /// Rows of the last evaluated batch whose broken body was asked for, with the reason, each row once.
    #[must_use]
    pub fn poison(&self) -> &[(usize, String)] {
        &self.poison
    }
}

/// The evaluation of a batch.
pub(crate) struct Evaluation<'a> {
    fields: &'a Fields,
    batch: &'a Batch,
    scratch: &'a mut Scratch,
    identities: Vec<IdentityRef<'a>>,
    /// First row of the chunk.
    first: usize,
    rows: usize,
}

impl<'a> Evaluation<'a> {
    pub(crate) fn new(fields: &'a Fields, batch: &'a Batch, scratch: &'a mut Scratch) -> Self {
        let identities = if fields.reads_identity { batch.identities().collect() } else { Vec::new() };
        scratch.memory.clear();
        scratch.spans.resize(CHUNK_ROWS * fields.property_count(), Span::ABSENT);
        scratch.columns.resize_with(fields.columns.len(), ColumnRows::default);
        scratch.cells.resize(CHUNK_ROWS * fields.path_count(), Cell::Missing);
        scratch.answers.resize_with(fields.identity_leaves, Vec::new);
        for answers in &mut scratch.answers {
            answers.clear();
            answers.resize(identities.len(), Answer::Unknown);
        }
        scratch.poison.clear();
        Self { fields, batch, scratch, identities, first: 0, rows: 0 }
    }

    /// Goes on to the next rows; their first number, and all of them as a mask.
    pub(crate) fn next_chunk(&mut self) -> Option<(usize, Mask)> {
        self.first += self.rows;
        self.rows = self.batch.len().saturating_sub(self.first).min(CHUNK_ROWS);
        if self.rows == 0 {
            return None;
        }
        let scratch = &mut *self.scratch;
        (scratch.scanned, scratch.opened, scratch.broken, scratch.missed) = (NO_ROWS, NO_ROWS, NO_ROWS, NO_ROWS);
        for (rows, column) in scratch.columns.iter_mut().zip(&self.fields.columns) {
            rows.clear(column.set_count());
        }
        scratch.arena.clear();
        Some((self.first, mask_of(self.rows)))
    }

    /// Those of the rows `among` for which the condition is true.
    pub(crate) fn select(&mut self, condition: &Condition, among: Mask) -> Mask {
        match condition {
            Condition::Always => among,
            Condition::Never => NO_ROWS,
            Condition::All(operands) => {
                let mut left = among;
                for operand in operands {
                    if mask_is_empty(&left) {
                        break;
                    }
                    left = self.select(operand, left);
                }
                left
            }
            Condition::Any(operands) => {
                let mut found = NO_ROWS;
                for operand in operands {
                    let open = combine(among, found, |among, found| among & !found);
                    found = combine(found, self.select(operand, open), |found, more| found | more);
                }
                found
            }
            Condition::Leaf { test, wanted } => self.leaf(test, *wanted, among),
        }
    }

    /// Rows of the chunk whose broken body was asked for since the last call.
    pub(crate) fn take_missed(&mut self) -> Mask {
        std::mem::replace(&mut self.scratch.missed, NO_ROWS)
    }

    fn leaf(&mut self, test: &Test, wanted: bool, among: Mask) -> Mask {
        match test {
            Test::Identity { number, expression } => {
                filter(among, |row| self.identity_answer(*number, expression, row) == Some(wanted))
            }
            Test::PropertyDefined { column } => {
                let rows = self.column(*column, among);
                combine(among, rows.defined, |among, defined| among & if wanted { defined } else { !defined })
            }
            Test::PropertyIn { column, set, negated } => {
                let wanted = wanted != *negated;
                let rows = self.column(*column, among);
                let found = rows.sets.get(*set).copied().unwrap_or(NO_ROWS);
                let valued = combine(among, rows.valued, |among, valued| among & valued);
                combine(valued, found, |valued, found| valued & if wanted { found } else { !found })
            }
            Test::Row(expression) => {
                self.scan(among);
                filter(among, |row| self.row_answer(expression, row) == Some(wanted))
            }
            Test::Body(expression) => {
                self.scan(among);
                filter(among, |row| {
                    self.open_body(row);
                    self.row_answer(expression, row) == Some(wanted)
                })
            }
        }
    }

    fn identity_answer(&mut self, number: usize, expression: &Expression, row: usize) -> Option<bool> {
        let identity = usize::try_from(*self.batch.columns().identity.get(self.first + row)?).ok()?;
        let answer = self.scratch.answers.get_mut(number)?.get_mut(identity)?;
        if let Answer::Known(answer) = *answer {
            return answer;
        }
        let value = expression.evaluate(&Row::of_identity(*self.identities.get(identity)?));
        let known = truth(&value);
        *answer = Answer::Known(known);
        known
    }

    /// The answers of a column, known for the rows `among` at least.
    fn column(&mut self, number: usize, among: Mask) -> &ColumnRows {
        const NOTHING: &ColumnRows =
            &ColumnRows { known: NO_ROWS, defined: NO_ROWS, valued: NO_ROWS, sets: Vec::new() };
        let fields = self.fields;
        let (Some(column), Some(rows)) = (fields.columns.get(number), self.scratch.columns.get_mut(number)) else {
            return NOTHING;
        };
        let new = combine(among, rows.known, |among, known| among & !known);
        if !mask_is_empty(&new) {
            // Taken out, so that the walk may use the rest of the memory.
            let mut rows = std::mem::take(rows);
            self.look(column, new, &mut rows);
            if let Some(place) = self.scratch.columns.get_mut(number) {
                *place = rows;
            }
        }
        self.scratch.columns.get(number).unwrap_or(NOTHING)
    }

    /// One look at each row's value answers all that is asked of it.
    fn look(&mut self, column: &Column, new: Mask, rows: &mut ColumnRows) {
        self.scan(new);
        let (bytes, spans) = (self.batch.columns().bytes.as_slice(), self.scratch.spans.as_slice());
        let (count, field) = (self.fields.property_count(), usize::from(column.field));
        let span = |row| spans.get(row * count + field).copied().unwrap_or(Span::ABSENT);
        let or = |known: &mut Mask, more| *known = combine(*known, more, |known, more| known | more);
        let [defined, valued] = match (column.only(), rows.sets.as_mut_slice()) {
            (Some(only), [found]) => {
                let [defined, valued, more] = filter_each(new, |row| {
                    let span = span(row);
                    let raw = span.raw(bytes);
                    [span != Span::ABSENT, raw.is_some(), raw.is_some_and(|raw| column.has_only(only, raw))]
                });
                or(found, more);
                [defined, valued]
            }
            (_, sets) => filter_each(new, |row| {
                let span = span(row);
                let raw = span.raw(bytes);
                for &set in raw.map_or(&[][..], |raw| column.sets_of(raw)) {
                    if let Some(found) = sets.get_mut(set) {
                        insert(found, row);
                    }
                }
                [span != Span::ABSENT, raw.is_some()]
            }),
        };
        or(&mut rows.known, new);
        or(&mut rows.defined, defined);
        or(&mut rows.valued, valued);
    }

    fn row_answer(&self, expression: &Expression, row: usize) -> Option<bool> {
        let columns = self.batch.columns();
        let (properties, paths) = (self.fields.property_count(), self.fields.path_count());
        let identity = columns.identity.get(self.first + row).and_then(|&number| usize::try_from(number).ok());
        let view = Row {
            identity: identity.and_then(|number| self.identities.get(number)).copied().unwrap_or_default(),
            enqueued_at: columns.enqueued_at.get(self.first + row).copied().unwrap_or_default(),
            source: columns.source.get(self.first + row).copied().unwrap_or_default(),
            bytes: &columns.bytes,
            spans: self.scratch.spans.get(row * properties..(row + 1) * properties).unwrap_or_default(),
            cells: self.scratch.cells.get(row * paths..(row + 1) * paths).unwrap_or_default(),
            arena: &self.scratch.arena,
        };
        truth(&expression.evaluate(&view))
    }

    /// Makes the spans of these rows' bags known.
    fn scan(&mut self, among: Mask) {
        let new = combine(among, self.scratch.scanned, |among, scanned| among & !scanned);
        if mask_is_empty(&new) {
            return;
        }
        let (fields, bytes) = (self.fields, self.batch.columns().bytes.as_slice());
        let count = fields.property_count();
        let mut spans = std::mem::take(&mut self.scratch.spans);
        let mut memory = std::mem::take(&mut self.scratch.memory);
        filter(new, |row| {
            if let Some(spans) = spans.get_mut(row * count..(row + 1) * count) {
                scan(fields, bytes, self.parts(row).0, spans, &mut memory);
            }
            true
        });
        let scratch = &mut *self.scratch;
        (scratch.spans, scratch.memory) = (spans, memory);
        scratch.scanned = combine(scratch.scanned, new, |scanned, new| scanned | new);
    }

    /// Makes the cells of a row's body known.
    fn open_body(&mut self, row: usize) {
        if !has(&self.scratch.opened, row) {
            insert(&mut self.scratch.opened, row);
            if let Err(unreadable) = self.extract(row)
                && unreadable.is_poison()
            {
                insert(&mut self.scratch.broken, row);
                self.scratch.poison.push((self.first + row, unreadable.to_string()));
            }
        }
        if has(&self.scratch.broken, row) {
            insert(&mut self.scratch.missed, row);
        }
    }

    fn extract(&mut self, row: usize) -> Result<(), Unreadable> {
        let bytes = self.batch.columns().bytes.as_slice();
        let body = bytes.get(self.parts(row).1).unwrap_or_default();
        let (properties, paths) = (self.fields.property_count(), self.fields.path_count());
        let scratch = &mut *self.scratch;
        let spans = scratch.spans.get(row * properties..(row + 1) * properties).unwrap_or_default();
        let content = [self.fields.content_type, self.fields.content_encoding]
            .map(|field| spans.get(usize::from(field?))?.raw(bytes).map(decode));
        let cells = scratch.cells.get_mut(row * paths..(row + 1) * paths).unwrap_or_default();
        extract(
            &self.fields.paths,
            content.each_ref().map(|content| content.as_deref()),
            body,
            cells,
            &mut scratch.arena,
        )
    }

    /// Where bag and body of a row of the chunk stand.
    #[inline]
    fn parts(&self, row: usize) -> (Range<usize>, Range<usize>) {
        let columns = self.batch.columns();
        let row = self.first + row;
        let end =
            |ends: &[u32], row: usize| ends.get(row).and_then(|&end| usize::try_from(end).ok()).unwrap_or_default();
        let start = if row == 0 { 0 } else { end(&columns.body_end, row - 1) };
        let (bag_end, body_end) = (end(&columns.bag_end, row), end(&columns.body_end, row));
        (start..bag_end, bag_end..body_end)
    }
}

fn truth(value: &super::Value<'_>) -> Option<bool> {
    match value {
        super::Value::Bool(truth) => Some(*truth),
        _ => None,
    }
}

/// The first `rows` rows.
fn mask_of(rows: usize) -> Mask {
    std::array::from_fn(|word| match rows.saturating_sub(word * 64) {
        0 => 0,
        left @ 1..64 => u64::MAX >> (64 - left),
        _ => u64::MAX,
    })
}

pub(crate) fn mask_is_empty(mask: &Mask) -> bool {
    mask.iter().all(|&word| word == 0)
}

pub(crate) fn combine(left: Mask, right: Mask, operation: impl Fn(u64, u64) -> u64) -> Mask {
    std::array::from_fn(|word| operation(left[word], right[word]))
}

#[inline]
fn has(mask: &Mask, row: usize) -> bool {
    mask.get(row / 64).is_some_and(|word| word & (1 << (row % 64)) != 0)
}

#[inline]
fn insert(mask: &mut Mask, row: usize) {
    if let Some(word) = mask.get_mut(row / 64) {
        *word |= 1 << (row % 64);
    }
}

/// Those of the rows that pass.
#[inline]
fn filter(among: Mask, mut passes: impl FnMut(usize) -> bool) -> Mask {
    let [found] = filter_each(among, |row| [passes(row)]);
    found
}

/// For several questions at once, those of the rows that pass each.
#[inline]
fn filter_each<const N: usize>(among: Mask, mut passes: impl FnMut(usize) -> [bool; N]) -> [Mask; N] {
    let mut found = [NO_ROWS; N];
    for (number, &word) in among.iter().enumerate() {
        let (mut left, mut words) = (word, [0; N]);
        while left != 0 {
            let bit = left.trailing_zeros();
            left &= left - 1;
            let row = number * 64 + usize::try_from(bit).unwrap_or_default();
            for (word, passed) in words.iter_mut().zip(passes(row)) {
                *word |= u64::from(passed) << bit;
            }
        }
        for (mask, word) in found.iter_mut().zip(words) {
            mask[number] = word;
        }
    }
    found
}
