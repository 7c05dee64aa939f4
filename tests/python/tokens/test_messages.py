import base64
import struct
from types import SimpleNamespace

import pytest

from ragmeter import MessageTokens, count_message_tokens
from ragmeter.tokens import count_image_tokens, count_tokens

MEXICO = [{"role": "user", "content": "What is the capital of Mexico?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_capital",
        "description": "",
        "parameters": {"type": "object", "properties": {"country": {"type": "string"}}, "required": ["country"]},
    },
}


@pytest.mark.parametrize(
    ("messages", "model", "tokens"),
    [
        (MEXICO, "gpt-4o-2024-08-06", 14),
        (MEXICO, "o3-mini-2025-01-31", 13),
        ([("user", "What is the capital of France?")], "gpt-5-2025-08-07", 13),
        ([("user", "Tell me a joke about opentelemetry")], "gpt-35-turbo", 15),
        ([("user", "Tell me a joke about opentelemetry")], "gpt-4.1-mini-2025-04-14", 16),
        ([("system", "You are helpful assistant"), ("user", "tell me a short joke")], "gpt-3.5-turbo-0125", 20),
        ([("developer", "A simple async test agent"), ("user", "What is the capital of France?")], "gpt-4o-mini", 23),
        ([("developer", "Hello, I'm a developer!")], "gpt-5-nano-2025-08-07", 12),
        ([("system", "Be helpful."), ("user", "Tell me about Venus")], "openai/gpt-5-mini", 17),
    ],
)
def test_text_counts_as_openai_reported_it(messages, model, tokens):
    messages = [
        message if isinstance(message, dict) else dict(zip(["role", "content"], message, strict=True))
        for message in messages
    ]
    assert count_message_tokens(messages, model) == MessageTokens(tokens, "exact")


def test_the_published_examples_of_openai_count_as_they_say():
    """The conversation of the cookbook "How to count tokens with tiktoken"."""
    system = {"role": "system"}
    messages = [
        {
            **system,
            "content": "You are a helpful, pattern-following assistant that translates "
            "corporate jargon into plain English.",
        },
        {**system, "name": "example_user", "content": "New synergies will help drive top-line growth."},
        {**system, "name": "example_assistant", "content": "Things working well together will increase revenue."},
        {
            **system,
            "name": "example_user",
            "content": "Let's circle back when we have more bandwidth to touch base "
            "on opportunities for increased leverage.",
        },
        {
            **system,
            "name": "example_assistant",
            "content": "Let's talk later when we're less busy about how to do better.",
        },
        {
            "role": "user",
            "content": "This late pivot means we don't have time to boil the ocean for the client deliverable.",
        },
    ]
    assert count_message_tokens(messages, "gpt-3.5-turbo-0301").tokens == 127
    assert count_message_tokens(messages, "gpt-4-0613") == MessageTokens(129, "family rule")
    assert count_message_tokens(messages, "gpt-4o-mini").tokens == 124


def test_functions_calls_and_results_count_as_openai_reported_them():
    asked = [{"role": "user", "content": "What is the capital of the UK? Use the tool, then answer."}]
    call = {"id": "call_1", "type": "function", "function": {"name": "get_capital", "arguments": '{"country":"UK"}'}}
    answered = [
        *asked,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "London", "tool_call_id": "call_1"},
    ]
    assert count_message_tokens(answered, "gpt-4o-mini", [WEATHER]) == MessageTokens(78, "family rule")
    older = count_message_tokens(asked, "gpt-4o-mini", functions=[WEATHER["function"]])
    assert older == count_message_tokens(asked, "gpt-4o-mini", [WEATHER])
    assert count_message_tokens(asked, "gpt-5-mini", [WEATHER]).tokens == older.tokens + 81 - 1


def test_a_tool_that_is_no_function_makes_an_estimate():
    assert count_message_tokens(MEXICO, "gpt-4o", [{"type": "web_search"}]).basis == "estimated"


def test_what_functions_may_hold_is_written_as_typescript():
    from ragmeter.tokens.functions import render

    parameters = {
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": ["a", "b"], "description": "which"},
            "sizes": {"type": "array", "items": {"type": "integer"}},
            "place": {"type": "object", "properties": {"city": {"type": ["string", "null"]}}},
            "any": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            "odd": {},
        },
        "required": ["kind"],
    }
    written = render([{"name": "f", "description": "Does it.", "parameters": parameters}, {"name": "g"}])
    assert written.splitlines() == [
        "namespace functions {",
        "",
        "// Does it",
        "type f = (_: {",
        "// which",
        'kind: "a" | "b",',
        "sizes?: number[],",
        "place?: {",
        "  city?: string | null,",
        "},",
        "any?: boolean | null,",
        "odd?: any,",
        "}) => any;",
        "",
        "type g = () => any;",
        "",
        "} // namespace functions",
    ]


def test_a_model_whose_tokenizer_is_not_public_gives_an_estimate():
    assert count_message_tokens([{"role": "user", "content": "hello"}], "claude-haiku-4-5") == MessageTokens(
        8, "estimated"
    )
    assert count_message_tokens(MEXICO, "some-model").basis == "estimated"


def test_gpt_oss_counts_its_template():
    messages = [{"role": "user", "content": "What is 2+2? Reply with just the number."}]
    assert count_message_tokens(messages, "gpt-oss-120b") == MessageTokens(80, "family rule")


@pytest.mark.parametrize(
    ("model", "width", "height", "detail", "tokens"),
    [
        ("gpt-4o", 1024, 1024, "high", 765),
        ("gpt-4o", 2048, 4096, "high", 1105),
        ("gpt-4o", 4096, 8192, "low", 85),
        ("gpt-4o-mini", 512, 512, "auto", 2833 + 5667),
        ("gpt-5", 1024, 1024, "high", 70 + 4 * 140),
        ("o1", 100, 100, "high", 75 + 150),
        ("gpt-4.1-mini", 1024, 1024, "high", 1659),
        ("gpt-4.1-mini", 1800, 2400, "high", 2353),
        ("gpt-5-nano", 32, 32, "high", 3),
    ],
)
def test_images_cost_what_openai_publishes(model, width, height, detail, tokens):
    assert count_image_tokens(model, width, height, detail) == MessageTokens(tokens, "family rule")


def png(width, height):
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height)


def jpeg(width, height):
    return b"\xff\xd8\xff\xe0\0\4ab\xff\xc0\0\x11\x08" + struct.pack(">HH", height, width)


def gif(width, height):
    return b"GIF89a" + struct.pack("<HH", width, height)


def webp(width, height):
    return (
        b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    )


@pytest.mark.parametrize("make", [png, jpeg, gif, webp])
def test_an_image_is_measured_where_it_is(make):
    url = "data:image/x;base64," + base64.b64encode(make(600, 400)).decode()
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url, "detail": "high"}},
    ]
    counted = count_message_tokens([{"role": "user", "content": parts}], "gpt-4o")
    text = count_message_tokens([{"role": "user", "content": "What is this?"}], "gpt-4o")
    assert counted == MessageTokens(text.tokens + 85 + 2 * 170, "family rule")


@pytest.mark.parametrize(
    "url", ["https://example.org/a.png", "data:image/png;base64,AAAA", "data:image/png,x", "", "data:;base64,/9j/"]
)
def test_an_image_of_unknown_size_makes_an_estimate(url):
    message = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
    assert count_message_tokens([message], "gpt-4o").basis == "estimated"


def test_messages_may_be_objects_of_an_sdk():
    from openai.types.chat import ChatCompletionMessage

    answer = ChatCompletionMessage(role="assistant", content="Mexico City.")
    expected = count_message_tokens([*MEXICO, {"role": "assistant", "content": "Mexico City."}], "gpt-4o")
    assert count_message_tokens([*MEXICO, answer], "gpt-4o") == expected
    assert count_message_tokens([SimpleNamespace(**message) for message in MEXICO], "gpt-4o").tokens == 14


@pytest.mark.parametrize("content", [None, [], 3, [None], [{"type": "file", "file": {}}], [{}]])
def test_odd_content_is_no_error(content):
    assert count_message_tokens([{"role": "user", "content": content}], "gpt-4o").tokens == 7


def test_a_schema_for_the_answer_is_estimated():
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    counted = count_message_tokens(MEXICO, "gpt-4o", response_format=schema)
    assert counted.basis == "estimated"
    assert counted.tokens > count_tokens(MEXICO[0]["content"])
    assert count_message_tokens(MEXICO, "gpt-4o", response_format={"type": "text"}).tokens == 14
