//! Rows -> one row for each group, with what was counted, summed or compared in it.
//! - Shape: rows that lack a member of GROUP BY form a group of their own, whose row lacks the column. Without GROUP BY there is exactly
//!   one group, also of no rows.
//! - Units: sums of integers are exact; sums and averages leave out what is no number, `min` and `max` what cannot be compared,
//!   `count(member)` rows that lack it.
//! - Limits: [`GROUPS_MAX`] groups of [`GROUP_BYTES_MAX`] bytes together.
//! - Errors: [`GroupsFull`]; the answer is given up then, because counts of only some groups would look complete.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Map, Number, Value};

use crate::datum::{Datum, float_of, integer_of};
use crate::error::GroupsFull;
use crate::limits::{GROUP_BYTES_MAX, GROUPS_MAX};
use crate::path::Path;
use crate::query::Query;
use crate::statement::{Aggregate, Column, Item};

/// Groups of rows while they are gathered.
#[derive(Debug, Clone)]
pub struct Aggregation<'a> {
    items: &'a [Item],
    by: &'a [Path],
    groups: BTreeMap<Vec<Option<String>>, Group>,
    bytes: usize,
}

#[derive(Debug, Clone)]
struct Group {
    /// Values of the members that it is grouped by.
    members: Vec<Option<Value>>,
    /// One for each item.
    states: Vec<State>,
}

/// What is known of an item so far.
#[derive(Debug, Clone, Default)]
struct State {
    /// Rows, or numbers of a sum or average.
    count: u64,
    /// Exact part of a sum: as many integers as can be counted fit.
    integers: i128,
    floats: f64,
    best: Option<Value>,
}

impl<'a> Aggregation<'a> {
    /// No rows yet.
    #[must_use]
    pub fn new(query: &'a Query) -> Self {
        let (items, by) = (query.statement.items.as_slice(), query.statement.groups.as_slice());
        let mut groups = BTreeMap::new();
        if by.is_empty() {
            groups.insert(Vec::new(), Group::new(Vec::new(), items.len()));
        }
        Self { items, by, groups, bytes: 0 }
    }

    /// Takes a row that matches.
    ///
    /// # Errors
    /// [`GroupsFull`] when it belongs to a group for which there is no room.
    pub fn add(&mut self, row: &Value) -> Result<(), GroupsFull> {
        let members: Vec<_> = self.by.iter().map(|path| path.find(row)).collect();
        let key: Vec<_> = members.iter().map(|member| member.map(key_of)).collect();
        let bytes = self.bytes + self.group_bytes(&key);
        let has_room = self.groups.len() < GROUPS_MAX && bytes <= GROUP_BYTES_MAX;
        let group = match self.groups.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if !has_room => return Err(GroupsFull),
            Entry::Vacant(entry) => {
                self.bytes = bytes;
                entry.insert(Group::new(members.into_iter().map(|member| member.cloned()).collect(), self.items.len()))
            }
        };
        for (state, item) in group.states.iter_mut().zip(self.items) {
            if let Column::Aggregate(aggregate, path) = &item.column {
                self.bytes -= state.text_bytes();
                state.add(*aggregate, path.as_ref().map(|path| path.find(row)));
                self.bytes += state.text_bytes();
            }
        }
        if self.bytes <= GROUP_BYTES_MAX { Ok(()) } else { Err(GroupsFull) }
    }

    /// Bytes of a new group; its members are kept twice, as a key and as values.
    fn group_bytes(&self, key: &[Option<String>]) -> usize {
        let key_bytes: usize = key.iter().flatten().map(String::len).sum();
        size_of::<Group>() + 2 * (key_bytes + size_of_val(key)) + self.items.len() * size_of::<State>()
    }

    /// The rows of the answer, always in the same order.
    #[must_use]
    pub fn finish(self) -> Vec<Value> {
        let (items, by) = (self.items, self.by);
        let row = |group: Group| {
            let columns = items.iter().zip(&group.states).filter_map(|(item, state)| {
                let value = match &item.column {
                    Column::Member(path) => {
                        let position = by.iter().position(|by| by == path)?;
                        group.members.get(position)?.clone()
                    }
                    Column::Aggregate(aggregate, _) => state.result(*aggregate),
                };
                Some((String::from(&*item.name), value?))
            });
            Value::Object(columns.collect::<Map<_, _>>())
        };
        self.groups.into_values().map(row).collect()
    }
}

impl Group {
    fn new(members: Vec<Option<Value>>, items: usize) -> Self {
        Self { members, states: vec![State::default(); items] }
    }
}

impl State {
    /// Takes a member of a row (`Some(None)` when the row lacks it), or a whole row.
    fn add(&mut self, aggregate: Aggregate, member: Option<Option<&Value>>) {
        let Some(member) = member else {
            self.count += 1;
            return;
        };
        let Some(value) = member else { return };
        match (aggregate, Datum::of(Some(value))) {
            (Aggregate::Count, _) => self.count += 1,
            (Aggregate::Average | Aggregate::Sum, Datum::Integer(number)) => {
                self.count += 1;
                self.integers = self.integers.saturating_add(i128::from(number));
            }
            (Aggregate::Average | Aggregate::Sum, Datum::Float(number)) => {
                self.count += 1;
                self.floats += number;
            }
            (Aggregate::Maximum | Aggregate::Minimum, datum) if datum.is_primitive() => {
                let is_better = self.best.as_ref().is_none_or(|best| {
                    let ordering = datum.total_order(&Datum::of(Some(best)));
                    if aggregate == Aggregate::Maximum { ordering.is_gt() } else { ordering.is_lt() }
                });
                if is_better {
                    self.best = Some(value.clone());
                }
            }
            _ => {}
        }
    }

    /// Bytes of the text that is the least or greatest so far.
    fn text_bytes(&self) -> usize {
        self.best.as_ref().and_then(Value::as_str).map_or(0, str::len)
    }

    /// `None` when there is nothing to tell.
    fn result(&self, aggregate: Aggregate) -> Option<Value> {
        match aggregate {
            Aggregate::Count => Some(self.count.into()),
            Aggregate::Sum => match i64::try_from(self.integers) {
                Ok(sum) if self.floats == 0.0 => Some(sum.into()),
                _ => number(self.sum()),
            },
            Aggregate::Average if self.count == 0 => None,
            Aggregate::Average => number(self.sum() / i64::try_from(self.count).map_or(f64::INFINITY, float_of)),
            Aggregate::Maximum | Aggregate::Minimum => self.best.clone(),
        }
    }

    #[expect(clippy::as_conversions, reason = "rounds to the nearest double, which is wanted")]
    fn sum(&self) -> f64 {
        self.integers as f64 + self.floats
    }
}

fn number(number: f64) -> Option<Value> {
    integer_of(number).map(Value::from).or_else(|| Number::from_f64(number).map(Value::Number))
}

/// The same text for the same value: 1 and 1.0 are the same.
fn key_of(value: &Value) -> String {
    match value {
        Value::Number(number) if !number.is_i64() => {
            number.as_f64().and_then(integer_of).map_or_else(|| value.to_string(), |integer| integer.to_string())
        }
        _ => value.to_string(),
    }
}
