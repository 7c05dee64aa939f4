//! Unit: one kind of thing that providers count. This is the one registry of them: name, parent, and the name at
//! every door. Whoever adds a kind adds one row here.
//!
//! Two units are totals, [`Unit::Input`] and [`Unit::Output`]; they are inclusive. A unit with a parent is a subset
//! of it and never exceeds it. Units without a parent beside those two are counted apart (billed units, searches,
//! seconds) and take part in no token total.
//!
//! Not here: how a provider spells them on the wire (`provider/`).

/// One row of the registry.
#[derive(Debug)]
pub struct Info {
    /// Our name; in Python the attribute of `Usage`.
    pub name: &'static str,
    /// The total that this is a subset of.
    pub parent: Option<Unit>,
    /// The key of LightRAG's and RAGFlow's metrics objects, where they have one.
    pub metrics: Option<&'static str>,
    /// Path below `usage` in OpenAI's chat shape, where it has one.
    pub openai: Option<&'static str>,
    /// Key of Langfuse's `usage_details` (disjoint buckets), where it has one.
    pub langfuse: Option<&'static str>,
    /// Attribute of OpenTelemetry GenAI, where it has one.
    pub otel: Option<&'static str>,
}

macro_rules! units {
    ($($(#[$doc:meta])* $variant:ident {
        $name:literal, parent: $parent:expr,
        metrics: $metrics:expr, openai: $openai:expr, langfuse: $langfuse:expr, otel: $otel:expr $(,)?
    })+) => {
        /// One kind of thing that providers count.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Unit { $($(#[$doc])* $variant),+ }

        impl Unit {
            /// Every unit; a parent stands before its subsets.
            pub const ALL: [Unit; [$(Unit::$variant),+].len()] = [$(Unit::$variant),+];

            /// How many units there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The unit's row of the registry.
            pub const fn info(self) -> &'static Info {
                match self { $(Unit::$variant => {
                    const ROW: Info = Info {
                        name: $name, parent: $parent,
                        metrics: $metrics, openai: $openai, langfuse: $langfuse, otel: $otel,
                    };
                    &ROW
                })+ }
            }
        }
    };
}

units! {
    /// Everything that went in, cached or not, text or not.
    Input { "input_tokens", parent: None,
        metrics: Some("prompt_tokens"), openai: Some("prompt_tokens"),
        langfuse: Some("input"), otel: Some("gen_ai.usage.input_tokens") }
    /// Everything that came out, reasoning included.
    Output { "output_tokens", parent: None,
        metrics: Some("completion_tokens"), openai: Some("completion_tokens"),
        langfuse: Some("output"), otel: Some("gen_ai.usage.output_tokens") }
    /// Input served from the provider's prompt cache.
    CacheRead { "cache_read_tokens", parent: Some(Unit::Input),
        metrics: Some("input_cached_tokens"), openai: Some("prompt_tokens_details.cached_tokens"),
        langfuse: Some("input_cached_tokens"), otel: Some("gen_ai.usage.cache_read.input_tokens") }
    /// Input written to the provider's prompt cache.
    CacheWrite { "cache_write_tokens", parent: Some(Unit::Input),
        metrics: None, openai: Some("prompt_tokens_details.cache_write_tokens"),
        langfuse: Some("input_cache_creation"), otel: Some("gen_ai.usage.cache_write.input_tokens") }
    /// Cache writes kept for five minutes.
    CacheWrite5m { "cache_write_5m_tokens", parent: Some(Unit::CacheWrite),
        metrics: None, openai: None, langfuse: Some("input_cache_creation_5m"), otel: None }
    /// Cache writes kept for one hour.
    CacheWrite1h { "cache_write_1h_tokens", parent: Some(Unit::CacheWrite),
        metrics: None, openai: None, langfuse: Some("input_cache_creation_1h"), otel: None }
    /// Text in the input, where the provider says so.
    InputText { "input_text_tokens", parent: Some(Unit::Input),
        metrics: None, openai: Some("prompt_tokens_details.text_tokens"),
        langfuse: None, otel: Some("gen_ai.usage.text.input_tokens") }
    /// Audio in the input.
    InputAudio { "input_audio_tokens", parent: Some(Unit::Input),
        metrics: Some("input_audio_tokens"), openai: Some("prompt_tokens_details.audio_tokens"),
        langfuse: Some("input_audio_tokens"), otel: Some("gen_ai.usage.audio.input_tokens") }
    /// Images (and pages shown as images) in the input.
    InputImage { "input_image_tokens", parent: Some(Unit::Input),
        metrics: None, openai: Some("prompt_tokens_details.image_tokens"),
        langfuse: Some("input_image_tokens"), otel: Some("gen_ai.usage.image.input_tokens") }
    /// Video in the input.
    InputVideo { "input_video_tokens", parent: Some(Unit::Input),
        metrics: None, openai: Some("prompt_tokens_details.video_tokens"),
        langfuse: Some("input_video_tokens"), otel: Some("gen_ai.usage.video.input_tokens") }
    /// Input that the provider's own tools added (Gemini's tool-use prompt).
    ToolPrompt { "tool_prompt_tokens", parent: Some(Unit::Input),
        metrics: None, openai: None, langfuse: Some("input_tool_use"), otel: None }
    /// Text of cited sources that the provider read (Perplexity).
    Citation { "citation_tokens", parent: Some(Unit::Input),
        metrics: None, openai: None, langfuse: Some("input_citation_tokens"), otel: None }
    /// Output that the model thought and did not show.
    Reasoning { "reasoning_tokens", parent: Some(Unit::Output),
        metrics: Some("output_reasoning_tokens"), openai: Some("completion_tokens_details.reasoning_tokens"),
        langfuse: Some("output_reasoning_tokens"), otel: Some("gen_ai.usage.reasoning.output_tokens") }
    /// Text in the output, where the provider says so.
    OutputText { "output_text_tokens", parent: Some(Unit::Output),
        metrics: None, openai: Some("completion_tokens_details.text_tokens"),
        langfuse: None, otel: Some("gen_ai.usage.text.output_tokens") }
    /// Audio in the output.
    OutputAudio { "output_audio_tokens", parent: Some(Unit::Output),
        metrics: Some("output_audio_tokens"), openai: Some("completion_tokens_details.audio_tokens"),
        langfuse: Some("output_audio_tokens"), otel: Some("gen_ai.usage.audio.output_tokens") }
    /// Images in the output.
    OutputImage { "output_image_tokens", parent: Some(Unit::Output),
        metrics: None, openai: Some("completion_tokens_details.image_tokens"),
        langfuse: Some("output_image_tokens"), otel: Some("gen_ai.usage.image.output_tokens") }
    /// Tokens of a predicted output that the model kept.
    AcceptedPrediction { "accepted_prediction_tokens", parent: Some(Unit::Output),
        metrics: Some("output_accepted_prediction_tokens"),
        openai: Some("completion_tokens_details.accepted_prediction_tokens"),
        langfuse: Some("output_accepted_prediction_tokens"), otel: None }
    /// Tokens of a predicted output that the model did not keep; billed all the same.
    RejectedPrediction { "rejected_prediction_tokens", parent: Some(Unit::Output),
        metrics: Some("output_rejected_prediction_tokens"),
        openai: Some("completion_tokens_details.rejected_prediction_tokens"),
        langfuse: Some("output_rejected_prediction_tokens"), otel: None }
    /// Input as the provider bills it, where that differs from what the model read (Cohere).
    BillableInput { "billable_input_tokens", parent: None,
        metrics: None, openai: None, langfuse: None, otel: None }
    /// Output as the provider bills it, where that differs from what the model wrote (Cohere).
    BillableOutput { "billable_output_tokens", parent: None,
        metrics: None, openai: None, langfuse: None, otel: None }
    /// Search units of a rerank (Cohere).
    SearchUnits { "search_units", parent: None, metrics: None, openai: None, langfuse: None, otel: None }
    /// Web searches made by the provider's own tool.
    WebSearches { "web_searches", parent: None, metrics: None, openai: None, langfuse: None, otel: None }
    /// Web pages fetched by the provider's own tool.
    WebFetches { "web_fetches", parent: None, metrics: None, openai: None, langfuse: None, otel: None }
    /// Inputs classified (Cohere).
    Classifications { "classifications", parent: None,
        metrics: None, openai: None, langfuse: None, otel: None }
    /// Audio heard or spoken.
    AudioMilliseconds { "audio_milliseconds", parent: None,
        metrics: None, openai: None, langfuse: None, otel: None }
    /// Pages read by optical character recognition.
    Pages { "pages", parent: None, metrics: None, openai: None, langfuse: None, otel: None }
    /// Characters spoken or embedded, where the provider bills characters.
    Characters { "characters", parent: None, metrics: None, openai: None, langfuse: None, otel: None }
    /// Calls that a cache of the host's own spared. No provider counts them; the ledger keeps them beside the rest.
    CacheHits { "cache_hits", parent: None, metrics: None, openai: None, langfuse: None, otel: None }
    /// Tokens that those calls would have cost, in and out; part of no total.
    SavedTokens { "saved_tokens", parent: None, metrics: None, openai: None, langfuse: None, otel: None }
}

impl Unit {
    /// Our name of the unit.
    pub const fn name(self) -> &'static str {
        self.info().name
    }

    /// The total that this unit is a subset of.
    pub const fn parent(self) -> Option<Unit> {
        self.info().parent
    }

    /// The unit of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Unit> {
        Self::ALL.into_iter().find(|unit| unit.name() == name)
    }

    /// Position in tables of [`Unit::COUNT`] entries.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_stands_before_its_subsets() {
        for unit in Unit::ALL {
            if let Some(parent) = unit.parent() {
                assert!(parent.index() < unit.index(), "{} before {}", parent.name(), unit.name());
            }
        }
    }

    #[test]
    fn names_are_unique_and_lead_back() {
        for unit in Unit::ALL {
            assert_eq!(Unit::from_name(unit.name()), Some(unit));
        }
    }
}
