//! Provider: what a provider says, turned into [`Usage`].
//!
//! JSON text ([`json`]) and Python objects (`py/payload.rs`) tell their members to [`Facts`], which keep the numbers;
//! [`words`] knows every name that means something; a [`rule::Dialect`], one small table a family of providers, says
//! how the numbers add up. To add a dialect: its names to `words.rs`, its table beside the others, the table to
//! [`DIALECTS`]; `docs/providers.md` walks through it.
//!
//! Not here: how a stream is cut into events (`stream/`).

mod anthropic;
mod cohere;
mod decimal;
mod facts;
mod fold;
mod gemini;
mod item;
pub(crate) mod json;
mod lookup;
mod number;
mod openai;
mod place;
mod plain;
mod rule;
mod slot;
mod text;
mod words;

pub(crate) use facts::Facts;
pub(crate) use fold::Fold;
pub(crate) use slot::Slot;
pub(crate) use text::Collector;
#[cfg(feature = "python")]
pub(crate) use {
    number::Number,
    place::{Means, Place},
    slot::Note,
    text::unwrap_base64,
};

#[cfg(not(feature = "python"))]
use number::Number;
use rule::Dialect;
use slot::Slots;

use crate::unit::Unit;
use crate::usage::{About, Counts, Flag, Flags, Origin, Usage};

/// Every dialect; the first whose marks were said applies. Bodies come before metrics, metrics before headers.
static DIALECTS: &[&Dialect] = &[
    &openai::CHAT,
    &anthropic::MESSAGES,
    &openai::RESPONSES,
    &gemini::GENERATE,
    &gemini::INTERACTIONS,
    &cohere::COHERE,
    &plain::OLLAMA,
    &plain::RESULTS,
    &plain::LLAMA,
    &plain::MODELS,
    &openai::TOTAL,
    &plain::METRICS,
    &plain::HEADERS,
];

/// What the caller knows about an answer. Everything may be missing; shape and arithmetic decide then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints<'a> {
    /// Provider, in any usual spelling.
    pub provider: Option<&'a str>,
    /// API of the provider: `chat`, `embeddings`, `rerank`, …
    pub api: Option<&'a str>,
    /// Whether the answer is a stream: if not, one JSON document is read and nothing else; if so, JSON may also stand
    /// on lines of its own between events and comments. Without it the first byte decides.
    pub stream: Option<bool>,
}

impl Hints<'_> {
    /// The chat shape as this provider means it.
    fn chat(&self, facts: &Facts) -> &'static Dialect {
        const PERPLEXITY: Slots = Slots::of(&[Slot::Citation]);
        const XAI: Slots = Slots::of(&[Slot::CachedText, Slot::PromptText]);
        match self.provider {
            Some("perplexity") => &openai::PERPLEXITY,
            Some("xai" | "x_ai" | "x-ai") => &openai::XAI,
            _ if facts.any(PERPLEXITY) => &openai::PERPLEXITY,
            _ if facts.any(XAI) => &openai::XAI,
            _ => &openai::CHAT,
        }
    }

    fn has_no_output(&self) -> bool {
        self.api.is_some_and(|api| api.starts_with("embed") || api.starts_with("rerank"))
    }

    /// The provider's name in OpenTelemetry, where it has one.
    fn provider_name(&self) -> Option<&str> {
        Some(match self.provider? {
            "google" | "gemini" => "gcp.gemini",
            "vertex" | "vertexai" | "vertex_ai" => "gcp.vertex_ai",
            "azure" => "azure.ai.openai",
            "bedrock" => "aws.bedrock",
            "mistral" => "mistral_ai",
            "xai" | "x-ai" => "x_ai",
            "moonshot" => "moonshot_ai",
            "watsonx" => "ibm.watsonx.ai",
            other => other,
        })
    }
}

/// Whether `facts` say anything that a dialect reads.
pub(crate) fn says_usage(facts: &Facts) -> bool {
    DIALECTS.iter().any(|dialect| facts.any(dialect.marks))
}

/// The usage that `facts` amount to; `None` if they say nothing of it.
pub(crate) fn usage(facts: &Facts, hints: &Hints<'_>) -> Option<Usage> {
    usage_of(&mut facts.clone(), hints)
}

/// The same, of facts that nobody needs afterwards.
#[inline]
pub(crate) fn usage_of(facts: &mut Facts, hints: &Hints<'_>) -> Option<Usage> {
    facts.complete();
    let mut others = Vec::new();
    let mut usage = counted(facts, hints, &mut others)?;
    usage.set_about(About {
        provider: hints.provider_name().map(Box::from),
        model: facts.model.take(),
        response_id: facts.id.take().or_else(|| facts.request_id.take()),
        service_tier: facts.tier.take(),
        cost: facts.cost().map(|cost| cost.to_string().into_boxed_str()),
        others,
    });
    Some(usage)
}

#[inline]
fn counted(facts: &Facts, hints: &Hints<'_>, others: &mut Vec<Usage>) -> Option<Usage> {
    let mut dialect = *DIALECTS.iter().find(|dialect| facts.any(dialect.marks))?;
    if dialect.marks == openai::CHAT.marks {
        dialect = hints.chat(facts);
    }
    let mut flags = Flags::default();
    let mut counts = dialect.counts(facts, &mut flags);
    anthropic::add_iterations(facts, &mut counts, others);
    settle_cache_writes(&mut counts);
    common_units(facts, &mut counts);
    if (facts.embeds || hints.has_no_output()) && counts.get(Unit::Output).is_none() {
        counts.set(Unit::Output, 0);
    }
    if facts.malformed {
        flags.set(Flag::Malformed);
    }
    if facts.truncated {
        flags.set(Flag::Truncated);
    }
    let mut usage = Usage::new(counts, Origin::Reported);
    usage.flags = usage.flags.union(flags);
    Some(usage)
}

/// Writes whose lifetime nobody states live five minutes, the default.
fn settle_cache_writes(counts: &mut Counts) {
    let lived = |unit| counts.get(unit).unwrap_or(0);
    let split = lived(Unit::CacheWrite5m).saturating_add(lived(Unit::CacheWrite1h));
    match counts.get(Unit::CacheWrite) {
        None if split > 0 => counts.set(Unit::CacheWrite, split),
        Some(total) if split > 0 && total > split => counts.add(Unit::CacheWrite5m, total - split),
        _ => {}
    }
}

/// Units that every provider calls the same.
fn common_units(facts: &Facts, counts: &mut Counts) {
    for (unit, slot) in [(Unit::Pages, Slot::Pages), (Unit::Characters, Slot::Characters)] {
        if let Some(count) = facts.get(slot) {
            counts.set(unit, count);
        }
    }
    if let Some(milliseconds) = facts.milliseconds() {
        counts.set(Unit::AudioMilliseconds, milliseconds);
    }
}

/// The count that a header of the answer states, and where it belongs (Bedrock).
pub(crate) fn header(name: &str, value: &str) -> Option<(Slot, u64)> {
    const NAMES: [(&str, Slot); 4] = [
        ("x-amzn-bedrock-input-token-count", Slot::HeaderInput),
        ("x-amzn-bedrock-output-token-count", Slot::HeaderOutput),
        ("x-amzn-bedrock-cache-read-input-token-count", Slot::HeaderCacheRead),
        ("x-amzn-bedrock-cache-write-input-token-count", Slot::HeaderCacheWrite),
    ];
    let (_, slot) = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    match Number::read(value.as_bytes()) {
        Number::Count(count) => Some((*slot, count)),
        Number::Null | Number::Bad => None,
    }
}
