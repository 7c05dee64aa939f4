//! Words: every name that providers give to their counts, and where it stands. One row a spelling.
//!
//! A [`Place`] is one kind of JSON object, a [`Row`] says what a member of it means: a count goes to a [`Slot`],
//! a text to a [`Note`], an object or the objects of an array are another place. What stands in no row is skipped.
//! The rows become one hash table when the crate is compiled.
//!
//! Not here: which slots add up to what (the dialects).

use super::place::{Means, Place, count, items, object, text};
use super::slot::{Note, Slot};
use Place::{
    BedrockMetrics, Billed, Body, BotoMeta, CacheCreation, CacheDetail, CachedDetails, Candidate, Choice, CostDetails,
    Delta, Drawn, Generated, Headers, InputDetails, InputModality, Iteration, Message, Meta, Metrics, Model,
    OutputDetails, OutputModality, Prediction, Said, ServerTools, Spoken, Statistics, Tokens, ToolCall, ToolModality,
    ToolUsage, Turn, Usage, Wrapped, XGroq,
};

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
    (Body, "token_count", object(Tokens)),                  // Cohere v1, in its first year
    (Body, "tokens", object(Tokens)),                       // SiliconFlow, what ranks
    (Body, "metrics", object(Metrics)),
    (Body, "stats", object(Usage)),                         // LM Studio
    (Body, "tool_usage", object(ToolUsage)),                // OpenAI
    (Body, "cost", object(CostDetails)),                    // Venice
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
    (Body, "chatResponse", object(Body)),                   // Oracle
    (Body, "chat_response", object(Body)),
    (Body, "modelOutput", object(Body)),                    // Bedrock, a line of a batch
    (Body, "event", object(Body)),                          // Nova Sonic
    (Body, "usageEvent", object(Usage)),
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
    (Body, "embeddings", text(Note::Vectors).or_items(Prediction)),
    (Body, "prompt_eval_count", count(Slot::PromptEval)),
    (Body, "eval_count", count(Slot::Eval)),
    (Body, "inputTextTokenCount", count(Slot::TitanInput)),
    (Body, "totalOutputTextTokenCount", count(Slot::TitanOutput)),
    (Body, "predictions", items(Prediction)),               // Vertex AI
    (Prediction, "embeddings", object(Prediction)),
    (Prediction, "statistics", object(Statistics)),
    (Statistics, "token_count", count(Slot::ItemInput)),
    (Statistics, "tokenCount", count(Slot::ItemInput)),
    (Meta, "billableCharacterCount", count(Slot::Characters)),
    (Meta, "billable_character_count", count(Slot::Characters)),
    (Body, "prompt_token_count", count(Slot::LlamaPrompt)),
    (Body, "generation_token_count", count(Slot::LlamaGeneration)),
    (Body, "total_tokens", count(Slot::BodyTotal)),
    (Body, "input_token_count", count(Slot::ResultInput)),  // watsonx, what embeds or ranks
    (Place::Result, "embedding", text(Note::Vectors)),
    (Body, "details", object(Generated)),                   // TGI
    (Generated, "input_length", count(Slot::LlamaPrompt)),
    (Generated, "generated_tokens", count(Slot::LlamaGeneration)),
    (Body, "tokens_evaluated", count(Slot::LlamaPrompt)),   // llama.cpp
    (Body, "tokens_predicted", count(Slot::LlamaGeneration)),
    (Body, "meta_info", object(Usage)),                     // SGLang
    (Body, "ResponseMetadata", object(BotoMeta)),
    (BotoMeta, "RequestId", text(Note::RequestId)),
    (BotoMeta, "HTTPHeaders", object(Headers)),
    (Headers, "x-amzn-bedrock-input-token-count", count(Slot::HeaderInput)),
    (Headers, "x-amzn-bedrock-output-token-count", count(Slot::HeaderOutput)),
    (Headers, "x-amzn-bedrock-cache-read-input-token-count", count(Slot::HeaderCacheRead)),
    (Headers, "x-amzn-bedrock-cache-write-input-token-count", count(Slot::HeaderCacheWrite)),

    // Usage, OpenAI's chat shape and its relatives.
    (Usage, "prompt_tokens", count(Slot::Prompt)),
    (Usage, "inputTextTokens", count(Slot::Prompt)),        // Yandex
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
    (Usage, "completionTokensDetails", object(OutputDetails)),
    (Usage, "cached_tokens", count(Slot::Cached)),          // Moonshot, Together, HuggingFace, Cohere
    (Usage, "num_cached_tokens", count(Slot::NumCached)),   // Mistral
    (Usage, "prompt_cache_hit_tokens", count(Slot::CacheHit)),
    (Usage, "prompt_cache_miss_tokens", count(Slot::CacheMiss)),
    (Usage, "reasoning_tokens", count(Slot::Reasoning)),    // Perplexity, xAI gRPC
    (Usage, "reasoning_output_tokens", count(Slot::Reasoning)), // LM Studio
    (Usage, "citation_tokens", count(Slot::Citation)),
    (Usage, "connector_tokens", count(Slot::Connector)),    // Mistral
    (Usage, "cached_prompt_text_tokens", count(Slot::CachedText)),
    (Usage, "prompt_text_tokens", count(Slot::PromptText)),
    (Usage, "prompt_image_tokens", count(Slot::PromptImage)),
    (Usage, "audio_prompt_tokens", count(Slot::PromptAudio)),
    (Usage, "num_search_queries", count(Slot::WebSearches)),
    (Usage, "num_sources_used", count(Slot::Sources)),
    (Usage, "prompt_audio_seconds", text(Note::Seconds)),
    (Usage, "seconds", text(Note::Seconds)),
    (Usage, "pages_processed", count(Slot::Pages)),
    (Usage, "pages", count(Slot::Pages)),                   // Upstage
    (Usage, "characters", count(Slot::Characters)),
    (Usage, "cost", text(Note::Cost).or_object(CostDetails)),
    (Usage, "cost_details", object(CostDetails)),
    (Usage, "estimated_cost", text(Note::Cost)),            // DeepInfra
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

    (Meta, "total_usage", object(Usage)),                   // of any event of a stream

    // Usage, Nova Sonic.
    (Usage, "totalInputTokens", count(Slot::TotalInput)),
    (Usage, "totalOutputTokens", count(Slot::TotalOutput)),
    (Usage, "details", object(Spoken)),
    (Spoken, "total", object(Spoken)),
    (Spoken, "input", object(InputDetails)),
    (Spoken, "output", object(OutputDetails)),
    (InputDetails, "speechTokens", count(Slot::InAudio)),
    (InputDetails, "textTokens", count(Slot::InText)),
    (OutputDetails, "speechTokens", count(Slot::OutAudio)),
    (OutputDetails, "textTokens", count(Slot::OutText)),

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
    (Tokens, "reasoning_tokens", count(Slot::DetailReasoning)),
    (Tokens, "prompt_tokens", count(Slot::TokensInput)),
    (Tokens, "response_tokens", count(Slot::TokensOutput)),

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
    (ServerTools, "num_requests", count(Slot::WebSearches)),
    (ToolUsage, "web_search", object(ServerTools)),
    (ToolUsage, "image_gen", object(Drawn)),
    (CostDetails, "usd", text(Note::Cost)),                 // Venice
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
    (Drawn, "input_tokens", count(Slot::ItemInput)),
    (Drawn, "output_tokens", count(Slot::ItemOutput)),
    (Drawn, "cached_tokens", count(Slot::ItemCacheRead)),
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
