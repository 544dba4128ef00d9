//! A query over rows that come one after the other, a page at a time.
//! - Shape: whoever reads rows asks [`Run::after`] where to begin, offers each row with its key while [`Run::wants_more`], and gives the
//!   [`Answer`] to the client. It may stop early ([`End::More`]): the answer then goes on from the last row that was offered.
//! - Invariants: rows come in the order of their keys. A page is followed by a continuation only if another row matches, or may match.
//!   Pages of an aggregating query are cut from the whole answer, made anew for each: rows that change in between may move.
//! - Limits: at most [`PAGE_ROWS_MAX`] rows; groups as [`Aggregation`] says.

use serde_json::Value;

use crate::aggregation::Aggregation;
use crate::continuation::Continuation;
use crate::error::{ContinuationError, GroupsFull};
use crate::limits::PAGE_ROWS_MAX;
use crate::query::Query;
use crate::source::ItemType;

/// A page in the making.
#[derive(Debug, Clone)]
pub struct Run<'a> {
    query: &'a Query,
    page_rows: usize,
    /// Rows of earlier pages.
    taken: u64,
    /// Where this page begins.
    start: Vec<Box<str>>,
    /// Key of the last row that needs no second look.
    seen: Vec<Box<str>>,
    rows: Vec<Value>,
    /// A row beyond this page matches.
    has_more: bool,
    groups: Option<Aggregation<'a>>,
}

/// Why no more rows are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// There are no more.
    Exhausted,
    /// There may be more; they are for another page. Means nothing to an aggregating query, which must see all rows.
    More,
}

/// A page.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Its rows.
    pub rows: Vec<Value>,
    /// What they are.
    pub item_type: ItemType,
    /// How to ask for the next page, if there is one.
    pub continuation: Option<String>,
}

impl<'a> Run<'a> {
    /// Begins a page of at most `page_rows` rows (at least 1, at most [`PAGE_ROWS_MAX`]).
    ///
    /// # Errors
    /// When the continuation is not one of this query.
    pub fn new(query: &'a Query, continuation: Option<&str>, page_rows: usize) -> Result<Self, ContinuationError> {
        let (mut taken, mut start) = (0, Vec::new());
        if let Some(text) = continuation {
            let continuation = Continuation::decode(text)?;
            if continuation.query != query.fingerprint() {
                return Err(ContinuationError::OtherQuery);
            }
            (taken, start) = (continuation.taken, continuation.after);
        }
        Ok(Self {
            query,
            page_rows: page_rows.clamp(1, PAGE_ROWS_MAX),
            taken,
            seen: start.clone(),
            start,
            rows: Vec::new(),
            has_more: false,
            groups: query.is_aggregate().then(|| Aggregation::new(query)),
        })
    }

    /// Key of the row behind which the page begins; empty at the start of the collection. It comes from the client: a place to begin in
    /// what the client may read, and no right to read anything.
    #[must_use]
    pub fn after(&self) -> &[Box<str>] {
        &self.start
    }

    /// Whether another row would change the answer.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        if self.groups.is_some() { self.query.top() != Some(0) } else { !self.has_more && self.room() > 0 }
    }

    /// Rows that TOP still allows, this page's among them; never less than there are.
    fn room(&self) -> u64 {
        let given = self.taken.saturating_add(u64::try_from(self.rows.len()).unwrap_or(u64::MAX));
        self.query.top().map_or(u64::MAX, |top| top.saturating_sub(given))
    }

    /// Takes the next row, if it matches.
    ///
    /// # Errors
    /// [`GroupsFull`] when the answer has too many groups.
    pub fn offer(&mut self, key: &[&str], row: Value) -> Result<(), GroupsFull> {
        if !self.wants_more() {
            return Ok(());
        }
        let matches = self.query.matches(&row);
        if let Some(groups) = &mut self.groups {
            return if matches { groups.add(&row) } else { Ok(()) };
        }
        if matches && self.rows.len() == self.page_rows {
            self.has_more = true;
            return Ok(());
        }
        if matches {
            self.rows.push(self.query.project(row));
        }
        self.seen = key.iter().map(|&part| part.into()).collect();
        Ok(())
    }

    /// The page.
    #[must_use]
    pub fn finish(mut self, end: End) -> Answer {
        let mut goes_on = self.has_more || (end == End::More && self.room() > 0);
        if let Some(groups) = self.groups.take() {
            let skipped = usize::try_from(self.taken).unwrap_or(usize::MAX);
            let top = self.query.top().and_then(|top| usize::try_from(top).ok()).unwrap_or(usize::MAX);
            let mut rest = groups.finish().into_iter().take(top).skip(skipped);
            self.rows = rest.by_ref().take(self.page_rows).collect();
            goes_on = rest.next().is_some();
        }
        let taken = self.taken.saturating_add(u64::try_from(self.rows.len()).unwrap_or(u64::MAX));
        let continuation = Continuation { query: self.query.fingerprint(), taken, after: self.seen };
        Answer {
            rows: self.rows,
            item_type: self.query.item_type(),
            continuation: goes_on.then(|| continuation.encode()),
        }
    }
}
