//! Anthropic's messages and Bedrock Converse: cache reads and writes stand beside the input.
//!
//! Source: anthropic 2.12 `Usage`, `BetaIterationsUsage`; botocore `TokenUsage`; read 2026-11-22.

use super::facts::Facts;
use super::item::Label;
use super::rule::{Beside, Dialect, Side, unit};
use super::slot::{Slot, Slots};
use crate::name::Name;
use crate::unit::Unit;
use crate::usage::{About, Counts, Origin, Usage};

const READ: &[Slot] = &[Slot::CacheRead, Slot::CacheReadAgain];
const WRITE: &[Slot] = &[Slot::CacheWrite, Slot::CacheWriteAgain];

/// Messages and Converse.
pub(super) const MESSAGES: Dialect = Dialect {
    marks: Slots::of(&[Slot::CacheRead, Slot::CacheReadAgain, Slot::CacheWrite, Slot::CacheWriteAgain]),
    input: &[Slot::Input],
    output: &[Slot::Output],
    total: &[Slot::Total],
    rest_is_output: false,
    beside: &[
        Beside { side: Side::Input, slots: READ, added: true },
        Beside { side: Side::Input, slots: WRITE, added: true },
    ],
    units: &[
        unit(Unit::CacheRead, READ),
        unit(Unit::CacheWrite, WRITE),
        unit(Unit::CacheWrite5m, &[Slot::Cache5m]),
        unit(Unit::CacheWrite1h, &[Slot::Cache1h]),
        unit(Unit::Reasoning, &[Slot::DetailThinking, Slot::DetailReasoning]),
        unit(Unit::WebSearches, &[Slot::WebSearches]),
        unit(Unit::WebFetches, &[Slot::WebFetches]),
    ],
};

/// Adds what the totals leave out: compactions. A round of another model is a line of its own; where the answer fell
/// back to another model the totals are right as they are. A tool of OpenAI's that draws is another model, too.
pub(super) fn add_iterations(facts: &Facts, counts: &mut Counts, others: &mut Vec<Usage>) {
    if facts.iterations.iter().any(|round| round.label == Label::Fallback) {
        return;
    }
    for round in &facts.iterations {
        let (read, write) = (round.cache_read.unwrap_or(0), round.cache_write.unwrap_or(0));
        let input = round.input.unwrap_or(0).saturating_add(read).saturating_add(write);
        let lines = [
            (Unit::Input, input),
            (Unit::Output, round.output.unwrap_or(0)),
            (Unit::CacheRead, read),
            (Unit::CacheWrite, write),
        ];
        match round.label {
            Label::Compaction => {
                for (unit, count) in lines {
                    counts.add(unit, count);
                }
            }
            Label::Advisor | Label::Drawn => {
                let mut line = Counts::default();
                for (unit, count) in lines {
                    line.set(unit, count);
                }
                let about = About { model: Name::from(round.model.as_deref().unwrap_or_default()), ..About::default() };
                others.push(Usage::new(line, Origin::Reported).with_about(about));
            }
            _ => {}
        }
    }
}
