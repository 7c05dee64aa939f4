//! Door: a Usage under the names, and by the arithmetic, of those who receive it.
//!
//! Not here: the names themselves, but for a few that no unit has (`unit.rs`).

use crate::unit::Unit;
use crate::usage::Usage;

/// What LightRAG's and RAGFlow's metrics objects hold: counts as the provider gives them, then the fields that
/// Langfuse derives. A count that nobody knows is 0 here, as these objects have it.
pub fn metrics(usage: &Usage) -> impl Iterator<Item = (&'static str, u64)> + '_ {
    let get = |unit| usage.get(unit).unwrap_or(0);
    let (input, output, cached) = (get(Unit::Input), get(Unit::Output), get(Unit::CacheRead));
    let total = input.saturating_add(output);
    let given = Unit::ALL.into_iter().filter_map(move |unit| Some((unit.info().metrics?, get(unit))));
    given.chain([
        ("cached_tokens", cached),
        ("total_tokens", total),
        ("input_usage", input),
        ("input", input.saturating_sub(cached)),
        ("output_usage", output),
        ("output", output.saturating_sub(get(Unit::Reasoning))),
        ("total_usage", total),
    ])
}

/// The known counts under OpenAI's chat names; a name with a dot stands in an object of that name.
pub fn openai(usage: &Usage) -> impl Iterator<Item = (&'static str, u64)> + '_ {
    let counts = usage.counts().iter().filter_map(|(unit, count)| Some((unit.info().openai?, count)));
    counts.chain(usage.total().map(|total| ("total_tokens", total)))
}

/// Langfuse's `usage_details`: buckets that do not overlap and their total.
///
/// All buckets of the input add up to the input, those of the output to the output, so that Langfuse computes our
/// numbers. Where the provider's own subsets overlap, the one that stands first in the registry keeps its count.
/// Source: Langfuse server, ingestion of `usageDetails`, 2026-08-22.
pub fn langfuse(usage: &Usage) -> Vec<(&'static str, u64)> {
    let mut buckets = Vec::new();
    let mut total = None;
    for side in [Unit::Input, Unit::Output] {
        if let Some(count) = usage.get(side) {
            split(usage, side, count, &mut buckets);
            total = Some(count.saturating_add(total.unwrap_or(0)));
        }
    }
    buckets.extend(total.map(|total| ("total", total)));
    buckets
}

/// Splits `count` of `unit` into the buckets of its subsets and its own, which takes what is left.
fn split(usage: &Usage, unit: Unit, count: u64, buckets: &mut Vec<(&'static str, u64)>) {
    let Some(own) = unit.info().langfuse else { return };
    let at = buckets.len();
    let mut left = count;
    for subset in Unit::ALL.into_iter().filter(|subset| subset.parent() == Some(unit)) {
        let part = usage.get(subset).unwrap_or(0).min(left);
        if part > 0 && subset.info().langfuse.is_some() {
            split(usage, subset, part, buckets);
            left -= part;
        }
    }
    if left > 0 || unit.parent().is_none() {
        buckets.insert(at, (own, left));
    }
}

/// The name that `gen_ai.usage.cache_write.input_tokens` had before August 2026, and that receivers still expect.
const CACHE_WRITE_BEFORE: &str = "gen_ai.usage.cache_creation.input_tokens";

/// Attributes of OpenTelemetry's GenAI conventions.
///
/// `latest` takes the names of the newest conventions and adds the modalities. Receivers that do not know these yet
/// count them twice (Langfuse does), so without it the established names are used, and never both.
/// Source: open-telemetry/semantic-conventions-genai, #440, read 2026-11-22.
pub fn otel(usage: &Usage, latest: bool) -> impl Iterator<Item = (&'static str, u64)> + '_ {
    usage.counts().iter().filter_map(move |(unit, count)| {
        let name = unit.info().otel?;
        match unit {
            _ if latest => Some((name, count)),
            Unit::CacheWrite => Some((CACHE_WRITE_BEFORE, count)),
            Unit::Input | Unit::Output | Unit::CacheRead | Unit::Reasoning => Some((name, count)),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{Counts, Origin};
    use proptest::prelude::*;

    fn usage(counts: &[(Unit, u64)]) -> Usage {
        let mut known = Counts::default();
        for (unit, count) in counts {
            known.set(*unit, *count);
        }
        Usage::new(known, Origin::Reported)
    }

    #[test]
    fn langfuse_gets_buckets_that_do_not_overlap() {
        let usage = usage(&[
            (Unit::Input, 7648),
            (Unit::CacheRead, 5632),
            (Unit::CacheWrite, 900),
            (Unit::CacheWrite1h, 500),
            (Unit::Output, 7831),
            (Unit::Reasoning, 6528),
        ]);
        let expected = [
            ("input", 1116),
            ("input_cached_tokens", 5632),
            ("input_cache_creation", 400),
            ("input_cache_creation_1h", 500),
            ("output", 1303),
            ("output_reasoning_tokens", 6528),
            ("total", 15479),
        ];
        assert_eq!(langfuse(&usage), expected);
    }

    #[test]
    fn otel_says_a_cache_write_once() {
        let usage = usage(&[(Unit::Input, 10), (Unit::CacheWrite, 4), (Unit::InputAudio, 2)]);
        let names = |latest| otel(&usage, latest).map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(false), ["gen_ai.usage.input_tokens", CACHE_WRITE_BEFORE]);
        assert_eq!(
            names(true),
            ["gen_ai.usage.input_tokens", "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.audio.input_tokens"]
        );
    }

    proptest! {
        #[test]
        fn what_langfuse_adds_up_is_what_we_count(counts in proptest::collection::vec(0..1000_u64, Unit::COUNT)) {
            let counts: Vec<_> = Unit::ALL.into_iter().zip(counts).collect();
            let usage = usage(&counts);
            let sum = |side: &str| langfuse(&usage).iter().filter(|(k, _)| k.starts_with(side)).map(|(_, n)| n).sum();
            prop_assert_eq!(usage.get(Unit::Input), Some(sum("input")));
            prop_assert_eq!(usage.get(Unit::Output), Some(sum("output")));
            prop_assert_eq!(usage.total(), Some(sum("total")));
        }
    }
}
