//! Slot: one thing that some provider says, under the provider's own meaning. The dialects turn slots into units.

macro_rules! slots {
    ($($(#[$doc:meta])* $slot:ident,)+) => {
        /// One number that providers say.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Slot { $($(#[$doc])* $slot),+ }

        impl Slot {
            /// Every slot.
            pub(crate) const ALL: [Slot; [$(Slot::$slot),+].len()] = [$(Slot::$slot),+];
            /// How many slots there are.
            pub(crate) const COUNT: usize = Self::ALL.len();
        }
    };
}

slots! {
    /// Input of OpenAI's chat shape.
    Prompt,
    /// Output of OpenAI's chat shape.
    Completion,
    /// The provider's own total, under any name.
    Total,
    /// Input of the responses shape, of Anthropic and Bedrock.
    Input,
    /// Output of the responses shape, of Anthropic and Bedrock.
    Output,
    /// Cached part of the input, beside it.
    Cached,
    /// The same as Mistral spells it.
    NumCached,
    /// The same as `DeepSeek` spells it.
    CacheHit,
    /// Uncached part of the input (`DeepSeek`).
    CacheMiss,
    /// Cached text of the input (xAI gRPC).
    CachedText,
    /// Cache reads beside the input (Anthropic, Bedrock).
    CacheRead,
    /// The same under Bedrock's other name.
    CacheReadAgain,
    /// Cache writes beside the input (Anthropic, Bedrock).
    CacheWrite,
    /// The same under Bedrock's other name.
    CacheWriteAgain,
    /// Cache writes for five minutes.
    Cache5m,
    /// Cache writes for one hour.
    Cache1h,
    /// Reasoning beside the output (Perplexity, xAI gRPC).
    Reasoning,
    /// Citations beside the input (Perplexity).
    Citation,
    /// What connectors fed into the model, beside the input (Mistral).
    Connector,
    /// Text of the input, beside it (xAI gRPC).
    PromptText,
    /// Images of the input, beside it (xAI gRPC).
    PromptImage,
    /// Audio of the input, beside it (Azure).
    PromptAudio,
    /// Searches on the web.
    WebSearches,
    /// Pages fetched from the web.
    WebFetches,
    /// Sources used (xAI).
    Sources,
    /// Pages of a document.
    Pages,
    /// Characters.
    Characters,
    /// Cost in units of 1e-10 dollars (xAI).
    Ticks,
    /// Images, beside the totals (`DashScope`).
    UsageImage,
    /// Audio, beside the totals (`DashScope`).
    UsageAudio,
    /// Video, beside the totals (`DashScope`).
    UsageVideo,
    /// Text, beside the total (Voyage).
    UsageText,
    /// Input of Gemini, cached included.
    GeminiPrompt,
    /// Visible output of Gemini.
    GeminiCandidates,
    /// The same in Gemini Live.
    GeminiResponse,
    /// Thoughts, beside the visible output.
    GeminiThoughts,
    /// Input of tools, beside the input.
    GeminiTools,
    /// Cached part of Gemini's input.
    GeminiCached,
    /// 0 where Gemini says anything: it leaves out what is 0.
    GeminiOmitted,
    /// Gemini's own total.
    GeminiTotal,
    /// Input of Gemini interactions.
    TotalInput,
    /// Visible output of Gemini interactions.
    TotalOutput,
    /// Thoughts of Gemini interactions.
    TotalThought,
    /// Cached input of Gemini interactions.
    TotalCached,
    /// Input of tools of Gemini interactions.
    TotalTools,
    /// Billed input (Cohere).
    BilledInput,
    /// Billed output (Cohere).
    BilledOutput,
    /// Billed images (Cohere).
    BilledImage,
    /// Search units (Cohere).
    SearchUnits,
    /// Classifications (Cohere).
    Classifications,
    /// What the model read (Cohere).
    TokensInput,
    /// What the model wrote (Cohere).
    TokensOutput,
    /// Cached part of the input.
    DetailCached,
    /// Cache writes in the input.
    DetailCacheWrite,
    /// The same under another name.
    DetailCacheCreation,
    /// The same under a third name (`DashScope`).
    DetailCacheCreationInput,
    /// Text in the input.
    InText,
    /// Audio in the input.
    InAudio,
    /// Images in the input.
    InImage,
    /// Video in the input.
    InVideo,
    /// Reasoning in the output.
    DetailReasoning,
    /// The same as Anthropic spells it.
    DetailThinking,
    /// Text in the output.
    OutText,
    /// Audio in the output.
    OutAudio,
    /// Images in the output.
    OutImage,
    /// Prediction kept.
    Accepted,
    /// Prediction thrown away.
    Rejected,
    /// Input (Ollama).
    PromptEval,
    /// Output (Ollama).
    Eval,
    /// Input (Titan).
    TitanInput,
    /// Output (Titan, at the end of a stream).
    TitanOutput,
    /// Input (Llama on Bedrock, TGI, llama.cpp).
    LlamaPrompt,
    /// Output (Llama on Bedrock, TGI, llama.cpp).
    LlamaGeneration,
    /// Total beside everything (some embeddings).
    BodyTotal,
    /// Input of all results.
    ResultInput,
    /// Output of all results.
    ResultOutput,
    /// Input of all models of an application.
    ModelInput,
    /// Output of all models of an application.
    ModelOutput,
    /// Input as Bedrock's or Replicate's metrics say.
    MetricsInput,
    /// Output as the metrics say.
    MetricsOutput,
    /// Cache reads as the metrics say.
    MetricsCacheRead,
    /// Cache writes as the metrics say.
    MetricsCacheWrite,
    /// Input as the headers say (Bedrock).
    HeaderInput,
    /// Output as the headers say.
    HeaderOutput,
    /// Cache reads as the headers say.
    HeaderCacheRead,
    /// Cache writes as the headers say.
    HeaderCacheWrite,
    /// Count of the item of a list that is being read.
    ItemCount,
    /// Input of that item.
    ItemInput,
    /// Output of that item.
    ItemOutput,
    /// Cache reads of that item.
    ItemCacheRead,
    /// Cache writes of that item.
    ItemCacheWrite,
}

const _: () = assert!(Slot::COUNT <= 128, "a set of slots is 128 bits");

/// One text (or exact decimal, or yes and no) that providers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Note {
    /// Model that answered.
    Model,
    /// Id of the answer.
    Id,
    /// Id of the request, where the answer has none.
    RequestId,
    /// Kind of event or body.
    Kind,
    /// How a choice ended.
    Finish,
    /// How the tokens are paid for (Gemini).
    Traffic,
    /// Vectors; the numbers in them count nothing, but who embeds has no output.
    Vectors,
    /// Service tier.
    Tier,
    /// Whether this is the last line (Ollama, Cohere).
    Done,
    /// Whether a turn is over (Gemini Live).
    TurnDone,
    /// Cost in dollars.
    Cost,
    /// What the upstream provider took (`OpenRouter`).
    UpstreamCost,
    /// Whether the user's own key paid the upstream provider (`OpenRouter`).
    Byok,
    /// Seconds of audio.
    Seconds,
    /// What an item of a list is about.
    Label,
    /// Model of an item of a list.
    ItemModel,
    /// A piece of another body, in base64.
    Wrapped,
    /// Text of the answer.
    Delivered,
    /// Arguments of a tool call.
    Arguments,
}

impl Note {
    /// Whether this is an exact decimal.
    #[cfg(feature = "python")]
    pub(crate) const fn is_decimal(self) -> bool {
        matches!(self, Self::Cost | Self::UpstreamCost | Self::Seconds)
    }

    /// Whether the text may be long and is handed on piece by piece.
    pub(crate) const fn flows(self) -> bool {
        matches!(self, Self::Wrapped | Self::Delivered | Self::Arguments)
    }
}

/// A set of slots, in halves: what is written in part cannot be read as a whole at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slots([u64; 2]);

#[allow(clippy::indexing_slicing)] // a half of two
impl Slots {
    /// No slot.
    pub(super) const NONE: Self = Self([0; 2]);
    /// Every slot.
    pub(super) const ALL: Self = Self([u64::MAX; 2]);

    /// These slots.
    pub(crate) const fn of(slots: &[Slot]) -> Self {
        let (mut set, mut rest) = (Self::NONE, slots);
        while let [slot, tail @ ..] = rest {
            set.add(*slot);
            rest = tail;
        }
        set
    }

    /// The half in which `slot` is, and its bit there.
    const fn bit(slot: Slot) -> (usize, u64) {
        let at = slot as usize;
        ((at / 64) & 1, 1 << (at % 64))
    }

    /// Puts `slot` in.
    #[inline]
    pub(super) const fn add(&mut self, slot: Slot) {
        let (half, bit) = Self::bit(slot);
        self.0[half] |= bit;
    }

    /// Takes `slot` out.
    #[inline]
    pub(super) const fn remove(&mut self, slot: Slot) {
        let (half, bit) = Self::bit(slot);
        self.0[half] &= !bit;
    }

    /// Whether `slot` is in the set.
    #[inline]
    pub(super) const fn has(self, slot: Slot) -> bool {
        let (half, bit) = Self::bit(slot);
        self.0[half] & bit != 0
    }

    /// Whether any slot is in both sets.
    #[inline]
    pub(super) const fn meets(self, other: Self) -> bool {
        (self.0[0] & other.0[0]) | (self.0[1] & other.0[1]) != 0
    }

    /// The slots that are in both sets.
    #[inline]
    pub(super) const fn and(self, other: Self) -> Self {
        Self([self.0[0] & other.0[0], self.0[1] & other.0[1]])
    }

    /// The slots that are in either set.
    #[inline]
    pub(super) const fn or(self, other: Self) -> Self {
        Self([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }

    /// The slots that are not in the other set.
    #[inline]
    pub(super) const fn without(self, other: Self) -> Self {
        Self([self.0[0] & !other.0[0], self.0[1] & !other.0[1]])
    }

    /// Hands each of the slots' numbers to `take`, in their order.
    #[inline]
    pub(super) fn each(self, mut take: impl FnMut(usize)) {
        for (first, mut left) in [0, 64].into_iter().zip(self.0) {
            while left != 0 {
                take(first + left.trailing_zeros() as usize);
                left &= left - 1;
            }
        }
    }
}
