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
use {number::Number, place::Place};

use rule::Ready;
use slot::Slots;

use crate::unit::Unit;
use crate::usage::{About, Counts, Flag, Flags, Usage};

/// Every dialect; the first whose marks were said applies. Bodies come before metrics, metrics before headers.
static DIALECTS: &[Ready] = &[
    Ready::new(openai::CHAT),
    Ready::new(anthropic::MESSAGES),
    Ready::new(openai::RESPONSES),
    Ready::new(gemini::GENERATE),
    Ready::new(gemini::INTERACTIONS),
    Ready::new(cohere::COHERE),
    Ready::new(plain::OLLAMA),
    Ready::new(plain::RESULTS),
    Ready::new(plain::LLAMA),
    Ready::new(plain::MODELS),
    Ready::new(openai::TOTAL),
    Ready::new(plain::METRICS),
    Ready::new(plain::HEADERS),
];
/// The chat shape as these providers mean it; the marks are the same.
static XAI: Ready = Ready::new(openai::XAI);
static PERPLEXITY: Ready = Ready::new(openai::PERPLEXITY);

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
    /// The dialect in which `facts` are said.
    fn dialect(&self, facts: &Facts) -> Option<&'static Ready> {
        let dialect = DIALECTS.iter().find(|dialect| dialect.applies(facts));
        if facts.any(openai::CHAT.marks) { self.chat(facts).or(dialect) } else { dialect }
    }

    /// The chat shape as this provider means it, if it means it otherwise than OpenAI.
    fn chat(&self, facts: &Facts) -> Option<&'static Ready> {
        const CITATION: Slots = Slots::of(&[Slot::Citation]);
        const GRPC: Slots = Slots::of(&[Slot::CachedText, Slot::PromptText]);
        match self.provider {
            Some("perplexity") => Some(&PERPLEXITY),
            Some("xai" | "x_ai" | "x-ai") => Some(&XAI),
            _ if facts.any(CITATION) => Some(&PERPLEXITY),
            _ if facts.any(GRPC) => Some(&XAI),
            _ => None,
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

/// Whether `facts` say anything that a dialect reads, or that is paid for without tokens.
pub(crate) fn says_usage(facts: &Facts) -> bool {
    DIALECTS.iter().any(|dialect| dialect.applies(facts)) || facts.says_other()
}

/// The usage that `facts` amount to; `None` if they say nothing of it.
pub(crate) fn usage(facts: &Facts, hints: &Hints<'_>) -> Option<Usage> {
    usage_of(&mut facts.clone(), hints)
}

/// The same, of facts that nobody needs afterwards.
#[inline]
pub(crate) fn usage_of(facts: &mut Facts, hints: &Hints<'_>) -> Option<Usage> {
    facts.complete();
    let dialect = hints.dialect(facts);
    if dialect.is_none() && !facts.says_other() {
        return None;
    }
    let mut others = Vec::new();
    let mut usage = Usage::default();
    usage.report(|counts| count(facts, hints, dialect, counts, &mut others));
    let (provider, cost, request) = (hints.provider_name(), facts.cost(), facts.request_id.as_deref());
    let mut about = facts.about.take();
    if provider.is_some() || cost.is_some() || request.is_some() || !others.is_empty() {
        let about: &mut About = about.get_or_insert_default();
        about.others = others;
        about.provider.set(provider.unwrap_or_default());
        if let Some(cost) = cost {
            about.cost.set(&cost.to_string());
        }
        if let (None, Some(id)) = (about.response_id.get(), request) {
            about.response_id.set(id);
        }
    }
    usage.set_about(about);
    Some(usage)
}

/// Fills in what `facts` amount to in that dialect.
#[inline]
fn count(
    facts: &Facts,
    hints: &Hints<'_>,
    dialect: Option<&Ready>,
    counts: &mut Counts,
    others: &mut Vec<Usage>,
) -> Flags {
    let mut flags = Flags::default();
    if let Some(dialect) = dialect {
        dialect.count(facts, counts, &mut flags);
    }
    anthropic::add_iterations(facts, counts, others);
    settle_cache_writes(counts);
    common_units(facts, counts);
    if (facts.embeds || hints.has_no_output()) && counts.get(Unit::Output).is_none() {
        counts.set(Unit::Output, 0);
    }
    if facts.malformed {
        flags.set(Flag::Malformed);
    }
    if facts.truncated {
        flags.set(Flag::Truncated);
    }
    flags
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
    let slot = Place::Headers.member(name.to_ascii_lowercase().as_bytes())?.count?;
    match Number::read(value.as_bytes()) {
        Number::Count(count) => Some((slot, count)),
        Number::Null | Number::Bad => None,
    }
}
