//! Answers of providers, written by hand from their documentation.

#![allow(dead_code)] // not every test uses all of them

pub(crate) mod check;

/// Bodies, one a dialect, with input, output, cache reads, cache writes and reasoning (-1 where unknown).
pub(crate) const BODIES: &[(&str, [i64; 5])] = &[
    // OpenAI chat, embeddings, responses, images, transcription, assistants.
    (
        r#"{"id":"a","model":"gpt-5","choices":[{"index":0,"message":{"content":"hi"}}],"usage":{"prompt_tokens":120,"completion_tokens":40,"total_tokens":160,"prompt_tokens_details":{"cached_tokens":100,"cache_write_tokens":8,"audio_tokens":2},"completion_tokens_details":{"reasoning_tokens":30,"audio_tokens":0}}}"#,
        [120, 40, 100, 8, 30],
    ),
    (
        r#"{"object":"list","data":[{"embedding":[0.1,0.2]}],"model":"e","usage":{"prompt_tokens":7,"total_tokens":7}}"#,
        [7, 0, -1, -1, -1],
    ),
    (
        r#"{"id":"resp_1","object":"response","usage":{"input_tokens":50,"input_tokens_details":{"cached_tokens":20},"output_tokens":9,"output_tokens_details":{"reasoning_tokens":4},"total_tokens":59}}"#,
        [50, 9, 20, -1, 4],
    ),
    (
        r#"{"created":1,"data":[{"b64_json":"AAAA"}],"usage":{"total_tokens":100,"input_tokens":50,"output_tokens":50,"input_tokens_details":{"text_tokens":10,"image_tokens":40}}}"#,
        [50, 50, -1, -1, -1],
    ),
    (
        r#"{"text":"hello","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":0,"audio_tokens":14},"output_tokens":5,"total_tokens":19}}"#,
        [14, 5, -1, -1, -1],
    ),
    (
        r#"{"id":"run_1","object":"thread.run","usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12,"prompt_token_details":{"cached_tokens":4}}}"#,
        [10, 2, 4, -1, -1],
    ),
    // Anthropic, with a compaction and an advisor.
    (
        r#"{"id":"msg_1","type":"message","model":"claude","usage":{"input_tokens":3,"cache_creation_input_tokens":200,"cache_read_input_tokens":1000,"cache_creation":{"ephemeral_5m_input_tokens":150,"ephemeral_1h_input_tokens":50},"output_tokens":60,"output_tokens_details":{"thinking_tokens":10},"service_tier":"standard"}}"#,
        [1203, 60, 1000, 200, 10],
    ),
    (
        r#"{"usage":{"input_tokens":10,"output_tokens":5,"cache_read_input_tokens":0,"cache_creation_input_tokens":0,"iterations":[{"type":"compaction","input_tokens":900,"output_tokens":70,"cache_read_input_tokens":30,"cache_creation_input_tokens":0},{"type":"message","input_tokens":10,"output_tokens":5},{"type":"advisor_message","model":"big","input_tokens":400,"output_tokens":20}]}}"#,
        [940, 75, 30, 0, -1],
    ),
    (
        r#"{"usage":{"input_tokens":10,"output_tokens":5,"cache_read_input_tokens":0,"iterations":[{"type":"compaction","input_tokens":900,"output_tokens":70},{"type":"fallback_message","input_tokens":10,"output_tokens":5}]}}"#,
        [10, 5, 0, -1, -1],
    ),
    // Gemini.
    (
        r#"{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":100,"candidatesTokenCount":10,"thoughtsTokenCount":40,"toolUsePromptTokenCount":25,"cachedContentTokenCount":60,"totalTokenCount":175,"promptTokensDetails":[{"modality":"TEXT","tokenCount":90},{"modality":"DOCUMENT","tokenCount":10}]}}"#,
        [125, 50, 60, -1, 40],
    ),
    (r#"{"usageMetadata":{"promptTokenCount":8,"totalTokenCount":8,"trafficType":"ON_DEMAND"}}"#, [8, 0, -1, -1, -1]),
    (
        r#"{"id":"v1","object":"interaction","usage":{"total_tokens":142,"total_input_tokens":9,"total_cached_tokens":3,"total_output_tokens":13,"total_tool_use_tokens":20,"total_thought_tokens":100}}"#,
        [29, 113, 3, -1, 100],
    ),
    (
        r#"{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":35,"completion_tokens":12,"total_tokens":109}}"#,
        [35, 74, -1, -1, -1],
    ),
    // Bedrock.
    (
        r#"{"output":{"message":{}},"usage":{"inputTokens":5,"outputTokens":7,"totalTokens":112,"cacheReadInputTokens":80,"cacheWriteInputTokens":20,"cacheReadInputTokenCount":80,"cacheWriteInputTokenCount":20,"cacheDetails":[{"ttl":"1h","inputTokens":20}]},"metrics":{"latencyMs":5},"trace":{"guardrail":{"usage":{"topicPolicyUnits":1}}}}"#,
        [105, 7, 80, 20, -1],
    ),
    (r#"{"inputTextTokenCount":9,"results":[{"tokenCount":17,"outputText":"x"}]}"#, [9, 17, -1, -1, -1]),
    (
        r#"{"generation":"x","prompt_token_count":11,"generation_token_count":4,"stop_reason":"stop"}"#,
        [11, 4, -1, -1, -1],
    ),
    (r#"{"embedding":[0.5],"inputTextTokenCount":5}"#, [5, 0, -1, -1, -1]),
    (
        r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":9,"outputTokenCount":3,"cacheReadInputTokenCount":4,"cacheWriteInputTokenCount":0}}"#,
        [13, 3, 4, 0, -1],
    ),
    // Cohere.
    (
        r#"{"id":"c","usage":{"billed_units":{"input_tokens":25.0,"output_tokens":4},"tokens":{"input_tokens":91,"output_tokens":5},"cached_tokens":16}}"#,
        [91, 5, 16, -1, -1],
    ),
    (
        r#"{"generation_id":"g","meta":{"billed_units":{"input_tokens":7,"output_tokens":9},"tokens":{"input_tokens":60,"output_tokens":10}}}"#,
        [60, 10, -1, -1, -1],
    ),
    (r#"{"results":[{"index":0}],"meta":{"billed_units":{"search_units":1}}}"#, [-1, -1, -1, -1, -1]),
    // Ollama, watsonx, Mistral, Groq, DeepSeek.
    (
        r#"{"model":"llama3","message":{"role":"assistant","content":"x"},"done":true,"prompt_eval_count":26,"eval_count":298}"#,
        [26, 298, -1, -1, -1],
    ),
    (
        r#"{"model_id":"granite","results":[{"generated_text":"2","generated_token_count":2,"input_token_count":7}]}"#,
        [7, 2, -1, -1, -1],
    ),
    (
        r#"{"usage":{"prompt_tokens":50,"completion_tokens":6,"total_tokens":56,"num_cached_tokens":32,"prompt_audio_seconds":1.5}}"#,
        [50, 6, 32, -1, -1],
    ),
    (
        r#"{"usage":{"queue_time":0.02,"prompt_tokens":5,"prompt_time":0.1,"completion_tokens":6,"completion_time":0.2,"total_tokens":11,"total_time":0.3},"x_groq":{"id":"req"}}"#,
        [5, 6, -1, -1, -1],
    ),
    (
        r#"{"usage":{"prompt_tokens":9,"completion_tokens":6,"total_tokens":15,"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":5,"prompt_tokens_details":{"cached_tokens":4}}}"#,
        [9, 6, 4, -1, -1],
    ),
    // xAI, OpenRouter, Perplexity, Moonshot.
    (
        r#"{"usage":{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,"completion_tokens_details":{"reasoning_tokens":94},"cost_in_usd_ticks":12345}}"#,
        [32, 103, -1, -1, 94],
    ),
    (
        r#"{"outputs":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"reasoning_tokens":20,"total_tokens":35,"cached_prompt_text_tokens":8}}"#,
        [10, 25, 8, -1, 20],
    ),
    (
        r#"{"usage":{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,"cost":0.00014,"is_byok":true,"cost_details":{"upstream_inference_cost":0.002},"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":3}}}"#,
        [8, 2, 0, 3, -1],
    ),
    (
        r#"{"usage":{"prompt_tokens":7,"completion_tokens":38,"total_tokens":45,"citation_tokens":70,"num_search_queries":18,"reasoning_tokens":193}}"#,
        [77, 231, -1, -1, 193],
    ),
    (
        r#"{"choices":[{"index":0,"usage":{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,"cached_tokens":6}}]}"#,
        [8, 2, 6, -1, -1],
    ),
    (
        r#"{"predictions":[{"embeddings":{"statistics":{"truncated":false,"token_count":6},"values":[0.1]}},{"embeddings":{"statistics":{"token_count":4}}}],"metadata":{"billableCharacterCount":11}}"#,
        [10, -1, -1, -1, -1],
    ),
    (r#"{"outputText":"x","index":0,"totalOutputTextTokenCount":10,"inputTextTokenCount":5}"#, [5, 10, -1, -1, -1]),
    // Qwen, DashScope, Hunyuan, Voyage, Jina, Replicate.
    (
        r#"{"usage":{"prompt_tokens":30,"completion_tokens":2,"total_tokens":32,"prompt_tokens_details":{"cached_tokens":10,"cache_creation_input_tokens":12,"cache_type":"ephemeral"}}}"#,
        [30, 2, 10, 12, -1],
    ),
    (
        r#"{"output":{"text":"x"},"usage":{"input_tokens":12,"output_tokens":3,"total_tokens":15},"request_id":"r"}"#,
        [12, 3, -1, -1, -1],
    ),
    (
        r#"{"output":{},"usage":{"models":[{"model_id":"qwen","input_tokens":4,"output_tokens":5},{"model_id":"qwen","input_tokens":6,"output_tokens":7}]}}"#,
        [10, 12, -1, -1, -1],
    ),
    (
        r#"{"Response":{"Id":"h","Choices":[],"Usage":{"PromptTokens":3,"CompletionTokens":4,"TotalTokens":7,"PromptTokensDetails":{"CachedTokens":2}}}}"#,
        [3, 4, 2, -1, -1],
    ),
    (r#"{"object":"list","data":[],"usage":{"total_tokens":57}}"#, [57, 0, -1, -1, -1]),
    (r#"{"data":[],"usage":{"total_tokens":9,"prompt_tokens":7}}"#, [9, 0, -1, -1, -1]),
    (
        r#"{"id":"p","status":"succeeded","output":["x"],"metrics":{"input_token_count":14,"output_token_count":5,"predict_time":0.3}}"#,
        [14, 5, -1, -1, -1],
    ),
    // Something long that is skipped: brackets, quotes and backslashes in texts, runs of either length.
    (
        r#"{"choices":[{"index":0,"logprobs":{"content":[{"token":"]","bytes":[93],"top_logprobs":[]},{"token":"\\","top_logprobs":[{"token":"\\\""},{"token":"}]"}]},{"token":"a text of more than sixty-four bytes, so that a block has no quote in it at all, then \\","top_logprobs":[[[]],[{}]]}]},"message":{"content":"[\"[\\\"]\\\\\"{"}}],"x":{"deep":{"er":[{"[":"{"},"\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\""]}},"usage":{"prompt_tokens":5,"completion_tokens":6,"total_tokens":11}}"#,
        [5, 6, -1, -1, -1],
    ),
    // Mistral: what connectors brought, what was heard (the total alone has it), pages.
    (
        r#"{"object":"conversation.response","usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":4150,"connector_tokens":4000,"connectors":{"web_search":1}}}"#,
        [4100, 50, -1, -1, -1],
    ),
    (
        r#"{"model":"voxtral","text":"x","usage":{"prompt_audio_seconds":61,"prompt_tokens":4,"completion_tokens":30,"total_tokens":1159}}"#,
        [1129, 30, -1, -1, -1],
    ),
    (r#"{"pages":[{"index":0,"markdown":"x"}],"usage_info":{"pages_processed":3,"doc_size_bytes":1234}}"#, [-1; 5]),
    (r#"{"text":"hello","usage":{"type":"duration","seconds":9}}"#, [-1; 5]),
    (r#"{"output":{"audio":{}},"usage":{"characters":12},"request_id":"r"}"#, [-1; 5]),
    (r#"{"data":[{"url":"x"}],"usage":{"cost_in_usd_ticks":200000000}}"#, [-1; 5]),
    // watsonx, what embeds and what ranks; TGI, SGLang and llama.cpp in their own words; boto3 around a body.
    (
        r#"{"model_id":"slate","results":[{"embedding":[0.1]},{"embedding":[0.2]}],"input_token_count":10}"#,
        [10, 0, -1, -1, -1],
    ),
    (r#"{"model_id":"m","results":[{"index":1,"score":0.7}],"input_token_count":20}"#, [20, -1, -1, -1, -1]),
    (
        r#"{"generated_text":"x","details":{"finish_reason":"length","generated_tokens":17,"input_length":5,"seed":null}}"#,
        [5, 17, -1, -1, -1],
    ),
    (
        r#"{"text":"x","meta_info":{"id":"a","prompt_tokens":4,"completion_tokens":8,"cached_tokens":2,"finish_reason":{"type":"length"}}}"#,
        [4, 8, 2, -1, -1],
    ),
    (r#"{"content":"x","tokens_predicted":8,"tokens_evaluated":5,"tokens_cached":12}"#, [5, 8, -1, -1, -1]),
    (
        r#"{"ResponseMetadata":{"RequestId":"r","HTTPHeaders":{"x-amzn-bedrock-input-token-count":"21","x-amzn-bedrock-output-token-count":"5","x-amzn-bedrock-cache-read-input-token-count":"9"}}}"#,
        [30, 5, 9, -1, -1],
    ),
    // Realtime, Gemini Live and embeddings, VolcEngine, Baidu, Tencent, DashScope, Voyage, Jina, Cohere.
    (
        r#"{"type":"response.done","response":{"id":"r","usage":{"total_tokens":40,"input_tokens":30,"output_tokens":10,"input_token_details":{"cached_tokens":12,"text_tokens":10,"audio_tokens":20,"cached_tokens_details":{"text_tokens":4,"audio_tokens":8}},"output_token_details":{"text_tokens":4,"audio_tokens":6}}}}"#,
        [30, 10, 12, -1, -1],
    ),
    (
        r#"{"embeddings":[{"values":[0.1]}],"usageMetadata":{"promptTokenCount":9,"promptTokenDetails":[{"modality":"TEXT","tokenCount":9}]}}"#,
        [9, 0, -1, -1, -1],
    ),
    (
        r#"{"id":"02","model":"doubao","choices":[],"usage":{"prompt_tokens":19,"completion_tokens":9,"total_tokens":28,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":2}}}"#,
        [19, 9, 3, -1, 2],
    ),
    (
        r#"{"data":{"embedding":[0.1],"object":"embedding"},"usage":{"prompt_tokens":187,"prompt_tokens_details":{"image_tokens":100,"text_tokens":87},"total_tokens":187}}"#,
        [187, 0, -1, -1, -1],
    ),
    (
        r#"{"id":"as-1","object":"chat.completion","result":"x","is_truncated":false,"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#,
        [3, 4, -1, -1, -1],
    ),
    (
        r#"{"Response":{"RequestId":"r","Usage":{"PromptTokens":8,"TotalTokens":8},"Data":[{"Embedding":[0.1]}]}}"#,
        [8, 0, -1, -1, -1],
    ),
    (
        r#"{"output":{"choices":[]},"usage":{"input_tokens":1277,"output_tokens":81,"image_tokens":1247,"total_tokens":1358,"input_tokens_details":{"text_tokens":30,"image_tokens":1247},"output_tokens_details":{"text_tokens":81}}}"#,
        [1277, 81, -1, -1, -1],
    ),
    (r#"{"data":[],"usage":{"text_tokens":5,"image_pixels":2000000,"total_tokens":3576}}"#, [3576, 0, -1, -1, -1]),
    (r#"{"results":[{"index":0}],"usage":{"total_tokens":38}}"#, [38, 0, -1, -1, -1]),
    (
        r#"{"id":"e","embeddings":{"float":[[0.1]]},"meta":{"billed_units":{"images":1,"image_tokens":258}}}"#,
        [258, 0, -1, -1, -1],
    ),
    // Nulls everywhere, and a prompt that was blocked.
    (
        r#"{"id":"m","type":"message","usage":{"input_tokens":20,"cache_creation_input_tokens":null,"cache_read_input_tokens":null,"cache_creation":null,"output_tokens":1,"output_tokens_details":null,"server_tool_use":null,"service_tier":null,"iterations":null}}"#,
        [20, 1, -1, -1, -1],
    ),
    (
        r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4,"totalTokenCount":4}}"#,
        [4, 0, -1, -1, -1],
    ),
    // Mistral, which says of what it heard how many tokens it was, but counts them in the total alone.
    (
        r#"{"model":"voxtral-mini","usage":{"prompt_audio_seconds":4,"prompt_tokens":11,"completion_tokens":20,"total_tokens":406,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":375}}}"#,
        [386, 20, 0, -1, -1],
    ),
    // Cohere, with reasoning, and as it was in its first year.
    (
        r#"{"usage":{"billed_units":{"input_tokens":9,"output_tokens":30},"tokens":{"input_tokens":200,"output_tokens":41,"reasoning_tokens":12},"cached_tokens":64}}"#,
        [200, 41, 64, -1, 12],
    ),
    (
        r#"{"text":"x","token_count":{"prompt_tokens":70,"response_tokens":11,"total_tokens":81,"billed_tokens":20},"meta":{"billed_units":{"input_tokens":9,"output_tokens":11}}}"#,
        [70, 11, -1, -1, -1],
    ),
    // OpenAI, whose hosted tools drew and searched.
    (
        r#"{"id":"resp_2","object":"response","tool_usage":{"image_gen":{"input_tokens":90,"input_tokens_details":{"image_tokens":0,"text_tokens":90},"output_tokens":1056,"total_tokens":1146,"cached_tokens":30},"web_search":{"num_requests":2}},"usage":{"input_tokens":70,"output_tokens":8,"total_tokens":78}}"#,
        [70, 8, -1, -1, -1],
    ),
    // Vertex AI's embeddings as google-genai hands them out.
    (
        r#"{"embeddings":[{"values":[0.1],"statistics":{"tokenCount":6,"truncated":false}},{"values":[0.2],"statistics":{"tokenCount":3}}],"metadata":{"billableCharacterCount":31}}"#,
        [9, 0, -1, -1, -1],
    ),
    // Oracle, Yandex, LM Studio, DeepInfra, Venice, SiliconFlow, Upstage.
    (
        r#"{"modelId":"m","chatResponse":{"apiFormat":"GENERIC","choices":[],"usage":{"promptTokens":14,"completionTokens":6,"totalTokens":20,"promptTokensDetails":{"cachedTokens":4},"completionTokensDetails":{"reasoningTokens":2}}}}"#,
        [14, 6, 4, -1, 2],
    ),
    (
        r#"{"result":{"alternatives":[],"usage":{"inputTextTokens":"19","completionTokens":"8","totalTokens":"27","completionTokensDetails":{"reasoningTokens":"0"}},"modelVersion":"v"}}"#,
        [19, 8, -1, -1, 0],
    ),
    (
        r#"{"model_instance_id":"m","output":[{"type":"message","content":"x"}],"stats":{"input_tokens":17,"total_output_tokens":40,"reasoning_output_tokens":25,"tokens_per_second":30.5}}"#,
        [17, 40, -1, -1, 25],
    ),
    (
        r#"{"usage":{"prompt_tokens":15,"completion_tokens":16,"total_tokens":31,"estimated_cost":0.0000268}}"#,
        [15, 16, -1, -1, -1],
    ),
    (
        r#"{"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4},"cost":{"usd":0.00034,"diem":0}}"#,
        [3, 1, -1, -1, -1],
    ),
    (
        r#"{"id":"r","results":[{"index":0,"relevance_score":0.9}],"tokens":{"input_tokens":33,"output_tokens":0}}"#,
        [33, 0, -1, -1, -1],
    ),
    (r#"{"recordId":"r","modelOutput":{"usage":{"inputTokens":10,"outputTokens":5}}}"#, [10, 5, -1, -1, -1]),
    (r#"{"model":"document-parse","elements":[],"usage":{"pages":7}}"#, [-1; 5]),
];

/// Streams, as text, with the same counts.
pub(crate) const STREAMS: &[(&str, [i64; 5])] = &[
    (
        "data: {\"id\":\"a\",\"choices\":[{\"delta\":{\"content\":\"Grü\\u00dfe \\\"\"}}],\"usage\":null}\n\ndata: {\"id\":\"a\",\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3,\"total_tokens\":15}}\n\ndata: [DONE]\n\n",
        [12, 3, -1, -1, -1],
    ),
    (
        "data:{\"choices\":[{\"delta\":{}}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":1}}\r\n\r\ndata:{\"choices\":[{\"delta\":{}}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":33}}\r\n\r\n",
        [10, 33, -1, -1, -1],
    ),
    (
        ": comment\n\nevent: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"claude\",\"usage\":{\"input_tokens\":20,\"cache_creation_input_tokens\":30,\"cache_read_input_tokens\":40,\"cache_creation\":{\"ephemeral_5m_input_tokens\":0,\"ephemeral_1h_input_tokens\":30},\"output_tokens\":1}}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"input_tokens\":15,\"cache_creation_input_tokens\":35,\"output_tokens\":9}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        [90, 9, 40, 35, -1],
    ),
    (
        "data: {\"usageMetadata\":{\"promptTokenCount\":10,\"cachedContentTokenCount\":4,\"thoughtsTokenCount\":5,\"totalTokenCount\":15}}\n\ndata: {\"usageMetadata\":{\"promptTokenCount\":10,\"candidatesTokenCount\":7,\"totalTokenCount\":22}}\n\n",
        [10, 12, 4, -1, 5],
    ),
    (
        "[{\"usageMetadata\":{\"promptTokenCount\":102,\"totalTokenCount\":102}},\r\n{\"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":6,\"totalTokenCount\":15}}]",
        [9, 6, -1, -1, -1],
    ),
    (
        "event: response.incomplete\ndata: {\"type\":\"response.incomplete\",\"response\":{\"id\":\"r\",\"usage\":{\"input_tokens\":4,\"output_tokens\":6,\"total_tokens\":10}}}\n\n",
        [4, 6, -1, -1, -1],
    ),
    (
        "{\"type\":\"response.done\",\"response\":{\"id\":\"r1\",\"usage\":{\"input_tokens\":4,\"output_tokens\":6,\"total_tokens\":10}}}\n{\"type\":\"response.done\",\"response\":{\"id\":\"r1\",\"usage\":{\"input_tokens\":4,\"output_tokens\":6,\"total_tokens\":10}}}\n{\"type\":\"response.done\",\"response\":{\"id\":\"r2\",\"usage\":{\"input_tokens\":1,\"output_tokens\":2,\"total_tokens\":3}}}\n",
        [5, 8, -1, -1, -1],
    ),
    (
        "{\"serverContent\":{\"turnComplete\":true},\"usageMetadata\":{\"promptTokenCount\":5,\"responseTokenCount\":6,\"totalTokenCount\":11}}\n{\"serverContent\":{\"turnComplete\":true},\"usageMetadata\":{\"promptTokenCount\":7,\"responseTokenCount\":8,\"totalTokenCount\":15}}\n",
        [12, 14, -1, -1, -1],
    ),
    (
        "{\"model\":\"llama3\",\"message\":{\"content\":\"a\"},\"done\":false}\n{\"model\":\"llama3\",\"done\":true,\"prompt_eval_count\":26,\"eval_count\":2}\n",
        [26, 2, -1, -1, -1],
    ),
    (
        "data: {\"results\":[{\"generated_token_count\":0,\"input_token_count\":8}]}\n\ndata: {\"results\":[{\"generated_token_count\":5,\"input_token_count\":0}]}\n\n",
        [8, 5, -1, -1, -1],
    ),
    (
        "data: {\"type\":\"message-end\",\"delta\":{\"usage\":{\"billed_units\":{\"input_tokens\":7,\"output_tokens\":9},\"tokens\":{\"input_tokens\":69,\"output_tokens\":10}}}}\n\n",
        [69, 10, -1, -1, -1],
    ),
    (
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":2}}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":2,\"total_tokens\":10}}\n\ndata: [DONE]\n\n",
        [8, 2, -1, -1, -1],
    ),
    (
        "data: {\"x_groq\":{\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6,\"total_tokens\":11}},\"choices\":[{}]}\n\n",
        [5, 6, -1, -1, -1],
    ),
    ("{\"metadata\":{\"usage\":{\"inputTokens\":3,\"outputTokens\":4,\"totalTokens\":7}}}\n", [3, 4, -1, -1, -1]),
    // A run of an assistant repeats what its steps said.
    (
        "event: thread.run.step.completed\ndata: {\"id\":\"step_1\",\"object\":\"thread.run.step\",\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":1,\"total_tokens\":6}}\n\nevent: thread.run.completed\ndata: {\"id\":\"run_1\",\"object\":\"thread.run\",\"usage\":{\"prompt_tokens\":15,\"completion_tokens\":3,\"total_tokens\":18}}\n\n",
        [15, 3, -1, -1, -1],
    ),
    // Images and speech of OpenAI.
    (
        "data: {\"type\":\"image_generation.partial_image\",\"b64_json\":\"AA\"}\n\ndata: {\"type\":\"image_generation.completed\",\"b64_json\":\"AA\",\"usage\":{\"total_tokens\":100,\"input_tokens\":50,\"output_tokens\":50,\"input_tokens_details\":{\"text_tokens\":10,\"image_tokens\":40}}}\n\n",
        [50, 50, -1, -1, -1],
    ),
    (
        "data: {\"type\":\"speech.audio.delta\",\"audio\":\"AA\"}\n\ndata: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":14,\"output_tokens\":101,\"total_tokens\":115}}\n\n",
        [14, 101, -1, -1, -1],
    ),
    // Cohere's first chat API.
    (
        "{\"is_finished\":false,\"event_type\":\"text-generation\",\"text\":\"x\"}\n{\"is_finished\":true,\"event_type\":\"stream-end\",\"response\":{\"text\":\"x\",\"generation_id\":\"g\",\"meta\":{\"billed_units\":{\"input_tokens\":7,\"output_tokens\":9},\"tokens\":{\"input_tokens\":60,\"output_tokens\":10}}}}\n",
        [60, 10, -1, -1, -1],
    ),
    // Everything in every event: Baidu, Tencent, DashScope.
    (
        "data: {\"id\":\"as\",\"sentence_id\":0,\"is_end\":false,\"result\":\"x\",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":0,\"total_tokens\":3}}\n\ndata: {\"id\":\"as\",\"sentence_id\":1,\"is_end\":true,\"result\":\"\",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\n",
        [3, 4, -1, -1, -1],
    ),
    (
        "data: {\"Choices\":[{\"Delta\":{\"Content\":\"h\"},\"FinishReason\":\"\"}],\"Id\":\"i\",\"Usage\":{\"PromptTokens\":3,\"CompletionTokens\":1,\"TotalTokens\":4}}\n\ndata: {\"Choices\":[{\"Delta\":{\"Content\":\"\"},\"FinishReason\":\"stop\"}],\"Id\":\"i\",\"Usage\":{\"PromptTokens\":3,\"CompletionTokens\":5,\"TotalTokens\":8}}\n\n",
        [3, 5, -1, -1, -1],
    ),
    (
        "id:1\nevent:result\n:HTTP_STATUS/200\ndata:{\"output\": {\"text\": \"x\"}, \"usage\": {\"input_tokens\": 12, \"output_tokens\": 1, \"total_tokens\": 13}, \"request_id\": \"r\"}\n\nid:2\nevent:result\n:HTTP_STATUS/200\ndata:{\"output\": {\"text\": \"xy\"}, \"usage\": {\"input_tokens\": 12, \"output_tokens\": 3, \"total_tokens\": 15}, \"request_id\": \"r\"}\n\n",
        [12, 3, -1, -1, -1],
    ),
    // Mistral's conversations.
    (
        "event: conversation.response.done\ndata: {\"type\":\"conversation.response.done\",\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":50,\"total_tokens\":4150,\"connector_tokens\":4000}}\n\n",
        [4100, 50, -1, -1, -1],
    ),
    // Gemini Live may say the usage of a turn behind its end.
    (
        "{\"serverContent\":{\"turnComplete\":true}}\n{\"usageMetadata\":{\"promptTokenCount\":5,\"responseTokenCount\":6,\"totalTokenCount\":11}}\n{\"serverContent\":{\"turnComplete\":true}}\n{\"usageMetadata\":{\"promptTokenCount\":7,\"responseTokenCount\":8,\"totalTokenCount\":15}}\n",
        [12, 14, -1, -1, -1],
    ),
    // Cut before the end: what Anthropic said at the beginning.
    (
        "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"c\",\"usage\":{\"input_tokens\":20,\"cache_read_input_tokens\":4,\"output_tokens\":1}}}\n\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n",
        [24, 1, 4, -1, -1],
    ),
    // Interactions.
    (
        "data: {\"event_type\":\"interaction.start\",\"interaction\":{\"id\":\"i\"}}\n\ndata: {\"event_type\":\"interaction.completed\",\"interaction\":{\"id\":\"i\",\"usage\":{\"total_tokens\":142,\"total_input_tokens\":9,\"total_cached_tokens\":3,\"total_output_tokens\":13,\"total_tool_use_tokens\":20,\"total_thought_tokens\":100}}}\n\n",
        [29, 113, 3, -1, 100],
    ),
    // TGI.
    (
        "data: {\"token\":{\"id\":1,\"text\":\"x\"},\"generated_text\":null,\"details\":null}\n\ndata: {\"token\":{\"id\":2,\"text\":\"y\"},\"generated_text\":\"xy\",\"details\":{\"finish_reason\":\"length\",\"generated_tokens\":20,\"input_length\":5}}\n\n",
        [5, 20, -1, -1, -1],
    ),
    // Gemini interactions, cut before the last event; Nova Sonic, which counts up.
    (
        "event: step.stop\ndata: {\"event_type\":\"step.stop\",\"index\":0,\"metadata\":{\"total_usage\":{\"total_tokens\":60,\"total_input_tokens\":8,\"total_output_tokens\":12,\"total_thought_tokens\":40}}}\n\n",
        [8, 52, -1, -1, 40],
    ),
    (
        "{\"event\":{\"usageEvent\":{\"completionId\":\"c\",\"details\":{\"delta\":{\"input\":{\"speechTokens\":30,\"textTokens\":9}},\"total\":{\"input\":{\"speechTokens\":30,\"textTokens\":9},\"output\":{\"speechTokens\":0,\"textTokens\":0}}},\"totalInputTokens\":39,\"totalOutputTokens\":0,\"totalTokens\":39}}}\n{\"event\":{\"usageEvent\":{\"completionId\":\"c\",\"details\":{\"delta\":{\"output\":{\"speechTokens\":50,\"textTokens\":4}},\"total\":{\"input\":{\"speechTokens\":30,\"textTokens\":9},\"output\":{\"speechTokens\":50,\"textTokens\":4}}},\"totalInputTokens\":39,\"totalOutputTokens\":54,\"totalTokens\":93}}}\n",
        [39, 54, -1, -1, -1],
    ),
];

/// Frames of Amazon's event stream around `payloads`.
pub(crate) fn amazon(payloads: &[&str]) -> Vec<u8> {
    let mut stream = Vec::new();
    for payload in payloads {
        let headers = b"\x0b:event-type\x07\x00\x08metadata";
        let length = |n: usize| u32::try_from(n).unwrap().to_be_bytes();
        let start = stream.len();
        stream.extend(length(16 + headers.len() + payload.len()));
        stream.extend(length(headers.len()));
        stream.extend(checksum(&stream[start..]).to_be_bytes());
        stream.extend(headers);
        stream.extend(payload.as_bytes());
        stream.extend(checksum(&stream[start..]).to_be_bytes());
    }
    stream
}

/// CRC-32 as the definition has it, bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ ((sum & 1) * 0xEDB8_8320))
    })
}

/// Every shape as bytes.
pub(crate) fn all() -> Vec<Vec<u8>> {
    let mut shapes: Vec<Vec<u8>> = BODIES.iter().chain(STREAMS).map(|(text, _)| text.as_bytes().to_vec()).collect();
    shapes.push(amazon(&["{\"p\":\"ab\"}", "{\"usage\":{\"inputTokens\":3,\"outputTokens\":4,\"totalTokens\":7}}"]));
    // {"usage":{"input_tokens":3,"output_tokens":4}}
    shapes.push(amazon(&["{\"bytes\":\"eyJ1c2FnZSI6eyJpbnB1dF90b2tlbnMiOjMsIm91dHB1dF90b2tlbnMiOjR9fQ==\"}"]));
    shapes
}
