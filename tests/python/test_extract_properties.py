"""Properties: one body says the same as bytes, as a dict and as an object; whatever comes, nothing is raised."""

import json
import time
from dataclasses import make_dataclass
from types import SimpleNamespace

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import ragmeter

PHASES = [Phase.explicit, Phase.reuse, Phase.generate]
"""Bodies this large take minutes to shrink."""

COUNTS = st.one_of(
    st.none(), st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from([0, 1.0, "12", -1, True, 2**64])
)
DETAILS = st.dictionaries(
    st.sampled_from(
        ["cached_tokens", "audio_tokens", "text_tokens", "cache_write_tokens", "reasoning_tokens", "thinking_tokens"]
    ),
    COUNTS,
    max_size=4,
)
MODALITIES = st.lists(
    st.fixed_dictionaries({"modality": st.sampled_from(["TEXT", "AUDIO", "X"]), "tokenCount": COUNTS}), max_size=3
)
NAMES = """prompt_tokens completion_tokens total_tokens input_tokens output_tokens cache_read_input_tokens
cache_creation_input_tokens cached_tokens num_cached_tokens reasoning_tokens citation_tokens promptTokenCount
candidatesTokenCount thoughtsTokenCount toolUsePromptTokenCount totalTokenCount inputTokens outputTokens totalTokens
cacheReadInputTokens total_input_tokens total_output_tokens cost_in_usd_ticks""".split()  # noqa: SIM905 - shorter
USAGE = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(NAMES, COUNTS)
    | dict.fromkeys(
        ("prompt_tokens_details", "completion_tokens_details", "input_tokens_details", "output_tokens_details"), DETAILS
    )
    | {
        "promptTokensDetails": MODALITIES,
        "cost": st.sampled_from([None, 0, 0.25, 1.4e-05]),
        "iterations": st.lists(
            st.fixed_dictionaries(
                {"type": st.sampled_from(["compaction", "message", "advisor_message", "fallback_message"])},
                optional={"input_tokens": COUNTS, "output_tokens": COUNTS, "model": st.sampled_from(["a", "b"])},
            ),
            max_size=3,
        ),
        "service_tier": st.sampled_from(["default", None]),
    },
)
OF_A_CHOICE = st.fixed_dictionaries(
    {"prompt_tokens": COUNTS, "completion_tokens": COUNTS}, optional={"cached_tokens": COUNTS}
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["r1", "", None]),
        "model": st.sampled_from(["m1", None]),
        "type": st.sampled_from(["response.done", "message_delta"]),
        "usage": st.one_of(st.none(), USAGE),
        "usageMetadata": USAGE,
        "x_groq": st.fixed_dictionaries({"usage": USAGE}),
        "choices": st.lists(
            st.fixed_dictionaries({"index": st.integers()}, optional={"usage": OF_A_CHOICE}), max_size=1
        ),
        "message": st.fixed_dictionaries({"usage": USAGE}),
        "prompt_eval_count": COUNTS,
        "embedding": st.lists(st.floats(0, 1), max_size=2),
        "done": st.booleans(),
    },
)


def namespace(value):
    if isinstance(value, dict):
        return SimpleNamespace(**{k: namespace(v) for k, v in value.items()})
    return [namespace(v) for v in value] if isinstance(value, list) else value


def slotted(value):
    """The same out of dataclasses with slots, which have no namespace to read."""
    if isinstance(value, dict):
        fields = {k: slotted(v) for k, v in value.items()}
        return make_dataclass("Slotted", fields, slots=True)(**fields)
    return [slotted(v) for v in value] if isinstance(value, list) else value


@given(BODIES)
@settings(max_examples=250, deadline=None, phases=PHASES)
def test_bytes_dict_and_objects_say_the_same(body):
    usage = ragmeter.extract_usage(json.dumps(body).encode())
    for other in (body, namespace(body), [body], json.dumps(body, indent=2)):
        assert ragmeter.extract_usage(other) == usage, other


@given(
    st.fixed_dictionaries(
        {
            "id": st.just("x"),
            "usage": st.fixed_dictionaries(
                {"prompt_tokens": COUNTS, "completion_tokens": COUNTS, "prompt_tokens_details": DETAILS}
            ),
        }
    )
)
@settings(max_examples=50, deadline=None)
def test_objects_without_a_namespace_say_the_same(body):
    assert ragmeter.extract_usage(slotted(body)) == ragmeter.extract_usage(body)


@given(st.lists(BODIES, max_size=5), st.integers(1, 64))
@settings(max_examples=120, deadline=None, phases=PHASES)
def test_a_stream_says_the_same_through_every_door(events, size):
    sse = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    usage = ragmeter.extract_usage(sse)
    assert ragmeter.extract_usage(events) == usage
    assert ragmeter.extract_usage("\n".join(map(json.dumps, events)) if events else "") == usage
    pieces, objects = ragmeter.UsageStream(), ragmeter.UsageStream()
    for at in range(0, len(sse), size):
        pieces.feed(sse[at : at + size])
    for event in events:
        objects.feed(namespace(event))
    assert pieces.finish() == objects.finish() == usage


ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(st.one_of(st.sampled_from([*NAMES, "usage"]), st.text()), inner)
    ),
    max_leaves=20,
)


@given(ANYTHING)
@settings(max_examples=300, deadline=None)
def test_nothing_is_raised_whatever_comes(value):
    ragmeter.extract_usage(value)
    ragmeter.extract_usage({"usage": value})
    ragmeter.extract_usage({"usage": {"prompt_tokens": value, "prompt_tokens_details": value, "iterations": value}})
    ragmeter.extract_usage(value, headers={"x-amzn-bedrock-input-token-count": value})
    stream = ragmeter.UsageStream()
    stream.feed(value)
    stream.finish()


class Hostile:
    """Raises, or makes members up without an end."""

    __slots__ = ("how",)

    def __init__(self, how):
        self.how = how

    def __getattr__(self, name):
        return self.how(self, name)


def test_hostile_objects_cost_little_and_raise_nothing():
    def fail(_, name):
        raise ValueError(name)

    itself = []
    itself.append(itself)
    started = time.perf_counter()
    for hostile in (Hostile(fail), Hostile(lambda self, _: self), Hostile(lambda *_: iter(int, 1)), itself):
        ragmeter.extract_usage(hostile)
        ragmeter.extract_usage({"usage": hostile, "choices": hostile})
        ragmeter.UsageStream().feed(hostile)
    assert time.perf_counter() - started < 20


def test_a_dict_may_change_while_it_is_read():
    body = {}

    class Growing:
        @property
        def __dict__(self):
            body[str(len(body))] = 1
            return {"prompt_tokens": 5}

    body |= {"usage": Growing(), "x_groq": Growing(), "message": Growing()}
    assert ragmeter.extract_usage(body).input_tokens == 5
    assert ragmeter.health()["panic"] == 0
