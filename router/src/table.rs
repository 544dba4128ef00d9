//! All routes, compiled together, over a batch: which message goes to which endpoint.
//! - Source: Azure IoT Hub message routing: each endpoint gets a message once, however many routes name it; telemetry that no
//!   route took goes to the fallback; other events that no route took go nowhere.
//! - Invariants: pure and immutable. One walk over a message's bag and body serves all routes.
//! - Hot path: [`RouteTable::route`].

use std::sync::Arc;

use millrace_model::{Batch, Enrichment, MessageSource, Selection};

use crate::query::{Condition, Evaluation, Fields, Mask, NO_ROWS, Scratch, combine, compile, mask_is_empty, parse};
use crate::route::{EnrichmentSpec, FallbackSpec, RouteError, RouteSpec, check};

/// Compiled routes.
#[derive(Debug)]
pub struct RouteTable {
    endpoints: Vec<String>,
    enrichments: Vec<Arc<[Enrichment]>>,
    fields: Fields,
    routes: Vec<Route>,
    /// Numbers of the fallback's endpoints; empty when there is none.
    fallback: Vec<usize>,
}

#[derive(Debug)]
struct Route {
    name: String,
    source: MessageSource,
    condition: Condition,
    endpoints: Vec<usize>,
}

/// A batch, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routed {
    /// For each endpoint of the table, in its order, the messages that it gets.
    pub selections: Vec<Selection>,
    /// Messages whose body a route wanted to read and could not, each once.
    pub poison: Vec<Poison>,
    /// How many messages each enabled route took, in the order of the table.
    pub taken: Vec<u64>,
    /// How many messages the fallback took.
    pub fallen_back: u64,
    /// How many messages nobody took.
    pub unrouted: u64,
}

/// A message whose body broke its promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poison {
    /// Row in the batch.
    pub row: usize,
    /// First endpoint of the first route that asked for the body.
    pub endpoint: String,
    /// What is wrong with the body, and which route asked.
    pub reason: String,
}

impl RouteTable {
    /// Compiles a table for the endpoints of these names.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn compile(
        routes: &[RouteSpec],
        enrichments: &[EnrichmentSpec],
        fallback: &FallbackSpec,
        endpoints: &[String],
        hub_name: &str,
    ) -> Result<Self, Vec<RouteError>> {
        let mut errors = check(routes, enrichments, fallback, endpoints);
        let mut fields = Fields::default();
        let mut compiled = Vec::new();
        for spec in routes {
            // What is switched off is checked, but takes no place among the fields.
            let mut unused = Fields::default();
            let into = if spec.enabled { &mut fields } else { &mut unused };
            match parse(&spec.condition).and_then(|tree| compile(&spec.condition, &tree, into)) {
                Err(problem) => errors.push(RouteError::Condition { route: spec.name.clone(), problem }),
                Ok(condition) if spec.enabled => compiled.push(Route {
                    name: spec.name.clone(),
                    source: spec.source.message_source(),
                    condition,
                    endpoints: numbers(&spec.endpoints, endpoints),
                }),
                Ok(_) => {}
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let enrichments = endpoints.iter().map(|endpoint| enrichments_of(endpoint, enrichments, hub_name)).collect();
        let fallback = if fallback.enabled { numbers(&fallback.endpoints, endpoints) } else { Vec::new() };
        Ok(Self { endpoints: endpoints.to_vec(), enrichments, fields, routes: compiled, fallback })
    }

    /// The number of an endpoint.
    #[must_use]
    pub fn endpoint(&self, name: &str) -> Option<usize> {
        self.endpoints.iter().position(|known| known == name)
    }

    /// What is added to each message for an endpoint.
    #[must_use]
    pub fn enrichments(&self, endpoint: usize) -> Arc<[Enrichment]> {
        self.enrichments.get(endpoint).cloned().unwrap_or_default()
    }

    /// Names of the enabled routes, in order.
    pub fn route_names(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().map(|route| route.name.as_str())
    }

    /// Sorts the messages of a batch.
    #[must_use]
    pub fn route(&self, batch: &Batch, scratch: &mut Scratch) -> Routed {
        let mut routed = Routed {
            selections: vec![Selection::none(batch.len()); self.endpoints.len()],
            poison: Vec::new(),
            taken: vec![0; self.routes.len()],
            fallen_back: 0,
            unrouted: 0,
        };
        let mut askers = Vec::new();
        let mut evaluation = Evaluation::new(&self.fields, batch, scratch);
        while let Some((first, rows)) = evaluation.next_chunk() {
            let sources = batch.columns().source.get(first..).unwrap_or_default();
            self.route_chunk(&mut evaluation, first, rows, sources, &mut routed, &mut askers);
        }
        routed.poison = self.poison(scratch, &askers);
        routed
    }

    fn route_chunk(
        &self,
        evaluation: &mut Evaluation<'_>,
        first: usize,
        rows: Mask,
        sources: &[u8],
        routed: &mut Routed,
        askers: &mut Vec<(usize, usize)>,
    ) {
        let mut by_source = BySource { rows, sources, known: [None; SOURCES] };
        let (mut taken, mut asked) = (NO_ROWS, NO_ROWS);
        for (number, route) in self.routes.iter().enumerate() {
            let among = by_source.rows(route.source);
            let found = evaluation.select(&route.condition, among);
            let missed = evaluation.take_missed();
            if !mask_is_empty(&missed) {
                let new = combine(missed, asked, |missed, asked| missed & !asked);
                asked = combine(asked, missed, |asked, missed| asked | missed);
                askers.extend(rows_of(new).map(|row| (first + row, number)));
            }
            taken = combine(taken, found, |taken, found| taken | found);
            if let Some(count) = routed.taken.get_mut(number) {
                *count += count_of(&found);
            }
            routed.add(&route.endpoints, first, found);
        }
        let left = combine(rows, taken, |rows, taken| rows & !taken);
        if mask_is_empty(&left) {
            return;
        }
        let telemetry = combine(left, by_source.rows(MessageSource::Telemetry), |left, telemetry| left & telemetry);
        let fallen = if self.fallback.is_empty() { NO_ROWS } else { telemetry };
        routed.add(&self.fallback, first, fallen);
        routed.fallen_back += count_of(&fallen);
        routed.unrouted += count_of(&left).saturating_sub(count_of(&fallen));
    }

    fn poison(&self, scratch: &Scratch, askers: &[(usize, usize)]) -> Vec<Poison> {
        let of_row = |&(row, ref problem): &(usize, String)| {
            let asker =
                askers.iter().find(|(asked, _)| *asked == row).and_then(|&(_, route)| self.routes.get(route))?;
            let endpoint = asker.endpoints.first().and_then(|&endpoint| self.endpoints.get(endpoint));
            let reason = format!("route '{}' reads the body: {problem}", asker.name);
            Some(Poison { row, endpoint: endpoint.cloned().unwrap_or_default(), reason })
        };
        let mut poison: Vec<_> = scratch.poison().iter().filter_map(of_row).collect();
        poison.sort_by_key(|poison| poison.row);
        poison
    }
}

impl Routed {
    fn add(&mut self, endpoints: &[usize], first: usize, rows: Mask) {
        if mask_is_empty(&rows) {
            return;
        }
        for &endpoint in endpoints {
            if let Some(selection) = self.selections.get_mut(endpoint) {
                for (number, word) in rows.into_iter().enumerate() {
                    selection.insert_word(first / 64 + number, word);
                }
            }
        }
    }
}

const SOURCES: usize = 6;

/// The rows of a chunk by their source, each worked out when the first route asks.
struct BySource<'a> {
    rows: Mask,
    sources: &'a [u8],
    known: [Option<Mask>; SOURCES],
}

impl BySource<'_> {
    fn rows(&mut self, source: MessageSource) -> Mask {
        let code = source.code();
        let Some(known) = self.known.get_mut(usize::from(code)) else {
            return NO_ROWS;
        };
        *known.get_or_insert_with(|| {
            let mut mask = NO_ROWS;
            for (word, sources) in mask.iter_mut().zip(self.sources.chunks(64)) {
                for (bit, &found) in sources.iter().enumerate() {
                    *word |= u64::from(found == code) << bit;
                }
            }
            combine(mask, self.rows, |mask, rows| mask & rows)
        })
    }
}

fn numbers(names: &[String], endpoints: &[String]) -> Vec<usize> {
    let mut numbers: Vec<_> =
        names.iter().filter_map(|name| endpoints.iter().position(|endpoint| endpoint == name)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn enrichments_of(endpoint: &str, specs: &[EnrichmentSpec], hub_name: &str) -> Arc<[Enrichment]> {
    let applies = |spec: &&EnrichmentSpec| spec.endpoints.iter().any(|named| named == endpoint);
    let value = |spec: &EnrichmentSpec| {
        if spec.value.eq_ignore_ascii_case("$iothubname") { hub_name.to_owned() } else { spec.value.clone() }
    };
    specs.iter().filter(applies).map(|spec| Enrichment { key: spec.key.clone(), value: value(spec) }).collect()
}

fn count_of(mask: &Mask) -> u64 {
    mask.iter().map(|word| u64::from(word.count_ones())).sum()
}

fn rows_of(mask: Mask) -> impl Iterator<Item = usize> {
    (0..mask.len() * 64).filter(move |row| mask[row / 64] & (1 << (row % 64)) != 0)
}
