//! Words: every name that providers give to their counts, and where it stands. One row a spelling.
//!
//! A [`Place`] is one kind of JSON object, a [`Row`] says what a member of it means: a count goes to a [`Slot`],
//! a text to a [`Note`], an object or the objects of an array are another place. What stands in no row is skipped.
//! The rows become one hash table when the crate is compiled.
//!
//! Not here: which slots add up to what (the dialects).

use super::slot::{Note, Slot};
use Place::{
    BedrockMetrics, Billed, Body, CacheCreation, CacheDetail, CachedDetails, Candidate, Choice, CostDetails, Delta,
    InputDetails, InputModality, Iteration, Message, Meta, Metrics, Model, OutputDetails, OutputModality, Prediction,
    Said, ServerTools, Tokens, ToolCall, ToolModality, Turn, Usage, Wrapped, XGroq,
};

/// A kind of object that usage stands in, or on the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Place {
    /// The body, or an object that repeats the body's shape one level down.
    Body,
    /// The usage itself, under any of its names.
    Usage,
    /// What the input was made of.
    InputDetails,
    /// What the output was made of.
    OutputDetails,
    /// What the cached input was made of (OpenAI realtime).
    CachedDetails,
    /// Cache writes by lifetime (Anthropic).
    CacheCreation,
    /// Cache writes by lifetime, an item of a list (Bedrock).
    CacheDetail,
    /// Calls of the provider's own tools.
    ServerTools,
    /// One round inside an answer (Anthropic).
    Iteration,
    /// What is billed (Cohere).
    Billed,
    /// What the model read and wrote (Cohere).
    Tokens,
    /// Meta data around usage (Cohere v1).
    Meta,
    /// One modality of the input (Gemini).
    InputModality,
    /// One modality of the output (Gemini).
    OutputModality,
    /// One modality of the tool-use prompt (Gemini).
    ToolModality,
    /// One result (watsonx, Titan).
    Result,
    /// One prediction (Vertex AI).
    Prediction,
    /// One model of an application (DashScope).
    Model,
    /// One choice.
    Choice,
    /// What a chunk adds.
    Delta,
    /// A part of a turn (Gemini Live).
    Turn,
    /// A candidate (Gemini).
    Candidate,
    /// A message.
    Message,
    /// A part of a message; nothing but text is in it.
    Said,
    /// A tool call or its function.
    ToolCall,
    /// Counts that Bedrock adds to a stream.
    BedrockMetrics,
    /// Counts of a prediction (Replicate).
    Metrics,
    /// Cost, item by item.
    CostDetails,
    /// A piece of another body, in base64 (Bedrock).
    Wrapped,
    /// Groq's own corner; the last place.
    XGroq,
}

/// What a member means, by the type of its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means {
    /// Where a number or a numeric text goes.
    pub count: Option<Slot>,
    /// Where a text goes.
    pub note: Option<Note>,
    /// What an object is.
    pub object: Option<Place>,
    /// What the objects in an array are.
    pub items: Option<Place>,
    /// Number of this row among those that lead to a place, for finding members that stand twice.
    pub(super) door: u8,
}

impl Means {
    pub(super) const NOTHING: Self = Self { count: None, note: None, object: None, items: None, door: 0 };

    /// The choices of an answer.
    #[cfg(feature = "python")]
    pub(crate) const CHOICES: Self = items(Choice);

    const fn or_object(self, place: Place) -> Self {
        Self { object: Some(place), ..self }
    }

    const fn or_items(self, place: Place) -> Self {
        Self { items: Some(place), ..self }
    }

    const fn or_text(self, note: Note) -> Self {
        Self { note: Some(note), ..self }
    }
}

const fn count(slot: Slot) -> Means {
    Means { count: Some(slot), ..Means::NOTHING }
}

const fn text(note: Note) -> Means {
    Means { note: Some(note), ..Means::NOTHING }
}

const fn object(place: Place) -> Means {
    Means::NOTHING.or_object(place)
}

const fn items(place: Place) -> Means {
    Means::NOTHING.or_items(place)
}

/// One name in one place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The kind of object the name stands in.
    #[cfg_attr(not(feature = "python"), allow(dead_code))]
    pub place: Place,
    /// The name.
    pub name: &'static str,
    /// What it means there.
    pub means: Means,
}

/// Every name. The same name may mean different things in different places.
#[rustfmt::skip]
pub(super) const LISTED: &[(Place, &str, Means)] = &[
    // The body and what repeats its shape.
    (Body, "usage", object(Usage)),
    (Body, "Usage", object(Usage)),
    (Body, "usageMetadata", object(Usage)),
    (Body, "usage_metadata", object(Usage)),
    (Body, "usage_info", object(Usage)),                    // Mistral OCR
    (Body, "meta", object(Meta)),
    (Body, "metadata", object(Meta)),                       // Bedrock Converse, the last event
    (Body, "metrics", object(Metrics)),
    (Body, "amazon-bedrock-invocationMetrics", object(BedrockMetrics)),
    (Body, "model", text(Note::Model)),
    (Body, "modelVersion", text(Note::Model)),
    (Body, "model_version", text(Note::Model)),
    (Body, "model_id", text(Note::Model)),
    (Body, "id", text(Note::Id)),
    (Body, "responseId", text(Note::Id)),
    (Body, "response_id", text(Note::Id)),
    (Body, "generation_id", text(Note::Id)),
    (Body, "request_id", text(Note::RequestId)),
    (Body, "RequestId", text(Note::RequestId)),
    (Body, "Id", text(Note::Id)),
    (Body, "type", text(Note::Kind)),
    (Body, "event_type", text(Note::Kind)),
    (Body, "service_tier", text(Note::Tier)),
    (Body, "done", text(Note::Done)),
    (Body, "is_finished", text(Note::Done)),
    (Body, "choices", items(Choice)),
    (Body, "Choices", items(Choice)),
    (Body, "candidates", items(Candidate)),
    (Body, "x_groq", object(XGroq)),
    (Body, "message", object(Message)),
    (Body, "response", object(Body).or_text(Note::Delivered)),
    (Body, "Response", object(Body)),
    (Body, "interaction", object(Body)),
    (Body, "result", object(Body)),
    (Body, "data", object(Body)),
    (Body, "body", object(Body)),
    (Body, "output", object(Body).or_items(Said)),
    (Body, "delta", object(Delta).or_text(Note::Delivered)),
    (Body, "text", text(Note::Delivered)),
    (Body, "content", items(Said)),                         // Anthropic, an answer in one piece
    (Body, "contentBlockDelta", object(Body)),              // Bedrock Converse, an event as the SDK hands it out
    (Body, "results", items(Place::Result)),
    (Body, "serverContent", object(Turn)),                  // Gemini Live
    (Body, "server_content", object(Turn)),
    (Turn, "turnComplete", text(Note::TurnDone)),
    (Turn, "turn_complete", text(Note::TurnDone)),
    (Body, "chunk", object(Wrapped)),
    (Body, "bytes", text(Note::Wrapped)),
    (Body, "embedding", text(Note::Vectors)),
    (Body, "embeddings", text(Note::Vectors)),
    (Body, "prompt_eval_count", count(Slot::PromptEval)),
    (Body, "eval_count", count(Slot::Eval)),
    (Body, "inputTextTokenCount", count(Slot::TitanInput)),
    (Body, "totalOutputTextTokenCount", count(Slot::TitanOutput)),
    (Body, "predictions", items(Prediction)),               // Vertex AI
    (Prediction, "embeddings", object(Prediction)),
    (Prediction, "statistics", object(Place::Result)),
    (Place::Result, "token_count", count(Slot::ItemInput)),
    (Meta, "billableCharacterCount", count(Slot::Characters)),
    (Body, "prompt_token_count", count(Slot::LlamaPrompt)),
    (Body, "generation_token_count", count(Slot::LlamaGeneration)),
    (Body, "total_tokens", count(Slot::BodyTotal)),

    // Usage, OpenAI's chat shape and its relatives.
    (Usage, "prompt_tokens", count(Slot::Prompt)),
    (Usage, "promptTokens", count(Slot::Prompt)),
    (Usage, "PromptTokens", count(Slot::Prompt)),
    (Usage, "completion_tokens", count(Slot::Completion)),
    (Usage, "completionTokens", count(Slot::Completion)),
    (Usage, "CompletionTokens", count(Slot::Completion)),
    (Usage, "total_tokens", count(Slot::Total)),
    (Usage, "totalTokens", count(Slot::Total)),
    (Usage, "TotalTokens", count(Slot::Total)),
    (Usage, "totalTokenCount", count(Slot::GeminiTotal)),
    (Usage, "total_token_count", count(Slot::GeminiTotal)),
    (Usage, "prompt_tokens_details", object(InputDetails).or_items(InputModality)), // a list in google-genai
    (Usage, "prompt_token_details", object(InputDetails)),
    (Usage, "promptTokensDetails", object(InputDetails).or_items(InputModality)),
    (Usage, "promptTokenDetails", items(InputModality)),    // Gemini embeddings
    (Usage, "PromptTokensDetails", object(InputDetails)),
    (Usage, "completion_tokens_details", object(OutputDetails)),
    (Usage, "completion_token_details", object(OutputDetails)),
    (Usage, "CompletionTokensDetails", object(OutputDetails)),
    (Usage, "cached_tokens", count(Slot::Cached)),          // Moonshot, Together, HuggingFace, Cohere
    (Usage, "num_cached_tokens", count(Slot::NumCached)),   // Mistral
    (Usage, "prompt_cache_hit_tokens", count(Slot::CacheHit)),
    (Usage, "prompt_cache_miss_tokens", count(Slot::CacheMiss)),
    (Usage, "reasoning_tokens", count(Slot::Reasoning)),    // Perplexity, xAI gRPC
    (Usage, "citation_tokens", count(Slot::Citation)),
    (Usage, "cached_prompt_text_tokens", count(Slot::CachedText)),
    (Usage, "prompt_text_tokens", count(Slot::PromptText)),
    (Usage, "prompt_image_tokens", count(Slot::PromptImage)),
    (Usage, "audio_prompt_tokens", count(Slot::PromptAudio)),
    (Usage, "num_search_queries", count(Slot::WebSearches)),
    (Usage, "num_sources_used", count(Slot::Sources)),
    (Usage, "prompt_audio_seconds", text(Note::Seconds)),
    (Usage, "seconds", text(Note::Seconds)),
    (Usage, "pages_processed", count(Slot::Pages)),
    (Usage, "characters", count(Slot::Characters)),
    (Usage, "cost", text(Note::Cost).or_object(CostDetails)),
    (Usage, "cost_details", object(CostDetails)),
    (Usage, "is_byok", text(Note::Byok)),
    (Usage, "cost_in_usd_ticks", count(Slot::Ticks)),
    (Usage, "server_tool_use_details", object(ServerTools)),

    // Usage, OpenAI's responses shape and Anthropic's.
    (Usage, "input_tokens", count(Slot::Input)),
    (Usage, "inputTokens", count(Slot::Input)),
    (Usage, "output_tokens", count(Slot::Output)),
    (Usage, "outputTokens", count(Slot::Output)),
    (Usage, "input_tokens_details", object(InputDetails)),
    (Usage, "input_token_details", object(InputDetails)),
    (Usage, "output_tokens_details", object(OutputDetails)),
    (Usage, "output_token_details", object(OutputDetails)),
    (Usage, "cache_read_input_tokens", count(Slot::CacheRead)),
    (Usage, "cache_creation_input_tokens", count(Slot::CacheWrite)),
    (Usage, "cache_creation", object(CacheCreation)),
    (Usage, "server_tool_use", object(ServerTools)),
    (Usage, "service_tier", text(Note::Tier)),
    (Usage, "serviceTier", text(Note::Tier)),
    (Usage, "iterations", items(Iteration)),
    (Usage, "image_tokens", count(Slot::UsageImage)),       // DashScope
    (Usage, "audio_tokens", count(Slot::UsageAudio)),
    (Usage, "video_tokens", count(Slot::UsageVideo)),
    (Usage, "text_tokens", count(Slot::UsageText)),         // Voyage
    (Usage, "models", items(Model)),                        // DashScope applications

    // Usage, Bedrock.
    (Usage, "cacheReadInputTokens", count(Slot::CacheRead)),
    (Usage, "cacheReadInputTokenCount", count(Slot::CacheReadAgain)),
    (Usage, "cacheWriteInputTokens", count(Slot::CacheWrite)),
    (Usage, "cacheWriteInputTokenCount", count(Slot::CacheWriteAgain)),
    (Usage, "cacheDetails", items(CacheDetail)),

    // Usage, Gemini.
    (Usage, "promptTokenCount", count(Slot::GeminiPrompt)),
    (Usage, "prompt_token_count", count(Slot::GeminiPrompt)),
    (Usage, "candidatesTokenCount", count(Slot::GeminiCandidates)),
    (Usage, "candidates_token_count", count(Slot::GeminiCandidates)),
    (Usage, "responseTokenCount", count(Slot::GeminiResponse)),
    (Usage, "response_token_count", count(Slot::GeminiResponse)),
    (Usage, "thoughtsTokenCount", count(Slot::GeminiThoughts)),
    (Usage, "thoughts_token_count", count(Slot::GeminiThoughts)),
    (Usage, "toolUsePromptTokenCount", count(Slot::GeminiTools)),
    (Usage, "tool_use_prompt_token_count", count(Slot::GeminiTools)),
    (Usage, "cachedContentTokenCount", count(Slot::GeminiCached)),
    (Usage, "cached_content_token_count", count(Slot::GeminiCached)),
    (Usage, "candidatesTokensDetails", items(OutputModality)),
    (Usage, "candidates_tokens_details", items(OutputModality)),
    (Usage, "responseTokensDetails", items(OutputModality)),
    (Usage, "response_tokens_details", items(OutputModality)),
    (Usage, "trafficType", text(Note::Traffic)),
    (Usage, "traffic_type", text(Note::Traffic)),
    (Usage, "toolUsePromptTokensDetails", items(ToolModality)),
    (Usage, "tool_use_prompt_tokens_details", items(ToolModality)),

    // Usage, Gemini interactions.
    (Usage, "total_input_tokens", count(Slot::TotalInput)),
    (Usage, "total_output_tokens", count(Slot::TotalOutput)),
    (Usage, "total_thought_tokens", count(Slot::TotalThought)),
    (Usage, "total_cached_tokens", count(Slot::TotalCached)),
    (Usage, "total_tool_use_tokens", count(Slot::TotalTools)),
    (Usage, "input_tokens_by_modality", items(InputModality)),
    (Usage, "output_tokens_by_modality", items(OutputModality)),
    (Usage, "tool_use_tokens_by_modality", items(ToolModality)),

    // Usage, Cohere.
    (Usage, "billed_units", object(Billed)),
    (Usage, "tokens", object(Tokens)),
    (Meta, "billed_units", object(Billed)),
    (Meta, "tokens", object(Tokens)),
    (Meta, "cached_tokens", count(Slot::Cached)),
    (Meta, "usage", object(Usage)),
    (Billed, "input_tokens", count(Slot::BilledInput)),
    (Billed, "output_tokens", count(Slot::BilledOutput)),
    (Billed, "image_tokens", count(Slot::BilledImage)),
    (Billed, "search_units", count(Slot::SearchUnits)),
    (Billed, "classifications", count(Slot::Classifications)),
    (Tokens, "input_tokens", count(Slot::TokensInput)),
    (Tokens, "output_tokens", count(Slot::TokensOutput)),

    // Details.
    (InputDetails, "cached_tokens", count(Slot::DetailCached)),
    (InputDetails, "CachedTokens", count(Slot::DetailCached)),
    (InputDetails, "cachedTokens", count(Slot::DetailCached)),
    (InputDetails, "cache_write_tokens", count(Slot::DetailCacheWrite)),
    (InputDetails, "cache_creation_tokens", count(Slot::DetailCacheCreation)),
    (InputDetails, "cache_creation_input_tokens", count(Slot::DetailCacheCreationInput)),
    (InputDetails, "text_tokens", count(Slot::InText)),
    (InputDetails, "audio_tokens", count(Slot::InAudio)),
    (InputDetails, "image_tokens", count(Slot::InImage)),
    (InputDetails, "video_tokens", count(Slot::InVideo)),
    (InputDetails, "cached_tokens_details", object(CachedDetails)),
    (InputDetails, "cache_creation", object(CacheCreation)),
    (OutputDetails, "reasoning_tokens", count(Slot::DetailReasoning)),
    (OutputDetails, "ReasoningTokens", count(Slot::DetailReasoning)),
    (OutputDetails, "reasoningTokens", count(Slot::DetailReasoning)),
    (OutputDetails, "thinking_tokens", count(Slot::DetailThinking)),
    (OutputDetails, "text_tokens", count(Slot::OutText)),
    (OutputDetails, "audio_tokens", count(Slot::OutAudio)),
    (OutputDetails, "image_tokens", count(Slot::OutImage)),
    (OutputDetails, "accepted_prediction_tokens", count(Slot::Accepted)),
    (OutputDetails, "rejected_prediction_tokens", count(Slot::Rejected)),
    (CacheCreation, "ephemeral_5m_input_tokens", count(Slot::Cache5m)),
    (CacheCreation, "ephemeral_1h_input_tokens", count(Slot::Cache1h)),
    (CacheDetail, "ttl", text(Note::Label)),
    (CacheDetail, "inputTokens", count(Slot::ItemCount)),
    (ServerTools, "web_search_requests", count(Slot::WebSearches)),
    (ServerTools, "web_fetch_requests", count(Slot::WebFetches)),
    (CostDetails, "upstream_inference_cost", text(Note::UpstreamCost)),
    (CostDetails, "total_cost", text(Note::Cost)),          // Perplexity

    // Items of lists.
    (InputModality, "modality", text(Note::Label)),
    (InputModality, "tokenCount", count(Slot::ItemCount)),
    (InputModality, "token_count", count(Slot::ItemCount)),
    (InputModality, "tokens", count(Slot::ItemCount)),
    (OutputModality, "modality", text(Note::Label)),
    (OutputModality, "tokenCount", count(Slot::ItemCount)),
    (OutputModality, "token_count", count(Slot::ItemCount)),
    (OutputModality, "tokens", count(Slot::ItemCount)),
    (ToolModality, "modality", text(Note::Label)),
    (ToolModality, "tokenCount", count(Slot::ItemCount)),
    (ToolModality, "token_count", count(Slot::ItemCount)),
    (ToolModality, "tokens", count(Slot::ItemCount)),
    (Iteration, "type", text(Note::Label)),
    (Iteration, "model", text(Note::ItemModel)),
    (Iteration, "input_tokens", count(Slot::ItemInput)),
    (Iteration, "output_tokens", count(Slot::ItemOutput)),
    (Iteration, "cache_read_input_tokens", count(Slot::ItemCacheRead)),
    (Iteration, "cache_creation_input_tokens", count(Slot::ItemCacheWrite)),
    (Place::Result, "input_token_count", count(Slot::ItemInput)),
    (Place::Result, "generated_token_count", count(Slot::ItemOutput)),
    (Place::Result, "tokenCount", count(Slot::ItemOutput)),
    (Place::Result, "generated_text", text(Note::Delivered)),
    (Place::Result, "outputText", text(Note::Delivered)),
    (Model, "model_id", text(Note::ItemModel)),
    (Model, "input_tokens", count(Slot::ItemInput)),
    (Model, "output_tokens", count(Slot::ItemOutput)),

    // Bedrock, Replicate.
    (BedrockMetrics, "inputTokenCount", count(Slot::MetricsInput)),
    (BedrockMetrics, "outputTokenCount", count(Slot::MetricsOutput)),
    (BedrockMetrics, "cacheReadInputTokenCount", count(Slot::MetricsCacheRead)),
    (BedrockMetrics, "cacheWriteInputTokenCount", count(Slot::MetricsCacheWrite)),
    (Metrics, "input_token_count", count(Slot::MetricsInput)),
    (Metrics, "output_token_count", count(Slot::MetricsOutput)),
    (Wrapped, "bytes", text(Note::Wrapped)),

    // Chunks and messages: usage in odd corners, and the text that was delivered.
    (XGroq, "usage", object(Usage)),
    (Choice, "usage", object(Usage)),
    (Choice, "delta", object(Said)),
    (Choice, "Delta", object(Said)),
    (Choice, "message", object(Said)),
    (Choice, "text", text(Note::Delivered)),
    (Candidate, "content", object(Said)),
    (Candidate, "finishReason", text(Note::Finish)),
    (Candidate, "finish_reason", text(Note::Finish)),
    (Delta, "usage", object(Usage)),
    (Delta, "text", text(Note::Delivered)),
    (Delta, "thinking", text(Note::Delivered)),
    (Delta, "partial_json", text(Note::Arguments)),
    (Delta, "message", object(Said)),
    (Delta, "reasoningContent", object(Said)),
    (Message, "usage", object(Usage)),
    (Message, "id", text(Note::Id)),
    (Message, "model", text(Note::Model)),
    (Message, "content", text(Note::Delivered).or_items(Said)),
    (Message, "thinking", text(Note::Delivered)),
    (Message, "tool_calls", items(ToolCall)),
    (Said, "content", text(Note::Delivered).or_object(Said).or_items(Said)),
    (Said, "Content", text(Note::Delivered)),
    (Said, "reasoning_content", text(Note::Delivered)),
    (Said, "reasoning", text(Note::Delivered)),
    (Said, "refusal", text(Note::Delivered)),
    (Said, "thinking", text(Note::Delivered)),
    (Said, "text", text(Note::Delivered)),
    (Said, "parts", items(Said)),                           // Gemini
    (Said, "tool_calls", items(ToolCall).or_object(ToolCall)),
    (ToolCall, "function", object(ToolCall)),
    (ToolCall, "arguments", text(Note::Arguments)),
];

impl Place {
    /// Whether nothing but delivered text can stand here.
    pub(crate) const fn is_text(self) -> bool {
        matches!(self, Said | ToolCall)
    }

    /// Whether this is an item of a list, to be summed up when it is complete.
    pub(crate) const fn is_item(self) -> bool {
        matches!(self, InputModality | OutputModality | ToolModality | CacheDetail | Iteration | Self::Result | Model)
    }

    /// Slots that the items of a list of this place end in when they are complete.
    pub(super) const fn sums(self) -> &'static [Slot] {
        match self {
            InputModality | ToolModality => &[Slot::InText, Slot::InAudio, Slot::InImage, Slot::InVideo],
            OutputModality => &[Slot::OutText, Slot::OutAudio, Slot::OutImage],
            CacheDetail => &[Slot::Cache5m, Slot::Cache1h],
            Self::Result => &[Slot::ResultInput, Slot::ResultOutput],
            Model => &[Slot::ModelInput, Slot::ModelOutput],
            _ => &[],
        }
    }
}
