"""The names of RAGFlow's `common/token_utils.py` against their description, and against a second writing of it."""

import asyncio
import collections
import contextvars
import copy
import importlib.util
import json
import logging
import os
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragmeter import _native, ragflow
from ragmeter.ragflow.encoder import Encoder


def load(name):
    spec = importlib.util.spec_from_file_location(f"ragflow_{name}", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


table, reference = load("table"), load("reference")
record, sink_variable = ragflow.record_run_token_usage, ragflow.token_usage_sink

SPECIALS = ["<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|endofprompt|>"]


def fresh():
    return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "calls": 0}


@pytest.fixture
def use():
    """Installs a sink for one test."""
    tokens = []

    def install(sink):
        tokens.append(sink_variable.set(sink))
        return sink

    yield install
    for token in reversed(tokens):
        sink_variable.reset(token)


def outcome(function, *arguments):
    try:
        return function(*arguments)
    except Exception as exc:  # noqa: BLE001
        return table.Raises(type(exc))


def same(one, other):
    if isinstance(one, table.Raises) or isinstance(other, table.Raises):
        return type(one) is type(other) and one.kind is other.kind
    return one == other and type(one) is type(other)


# ---- the two variables


def test_the_variables_are_context_variables_with_the_names_and_defaults_of_ragflow():
    for variable, name in [(sink_variable, "token_usage_sink"), (ragflow.langfuse_run_attrs, "langfuse_run_attrs")]:
        assert type(variable) is contextvars.ContextVar
        assert variable.name == f"ragflow_{name}"
        assert contextvars.Context().run(variable.get) is None


def test_reset_in_another_context_raises_value_error():
    tokens = [
        contextvars.copy_context().run(variable.set, {}) for variable in (sink_variable, ragflow.langfuse_run_attrs)
    ]
    for variable, token in zip((sink_variable, ragflow.langfuse_run_attrs), tokens, strict=True):
        with pytest.raises(ValueError, match="different Context"):
            variable.reset(token)


# ---- record_run_token_usage


def test_without_a_sink_arguments_are_not_looked_at():
    class Explosive:
        def __bool__(self):
            raise AssertionError("looked at")

    assert record("x", object(), Explosive()) is None


def test_a_bad_shape_of_the_call_raises_also_without_a_sink():
    for arguments, names in [((1, 2, 3, 4), {}), ((), {"input": 1}), ((1,), {"prompt_tokens": 1})]:
        with pytest.raises(TypeError):
            record(*arguments, **names)


def test_adds_to_the_dict_in_place_and_keeps_what_else_is_in_it(use):
    sink = use({**fresh(), "who": "me"})
    record(10, 5, 15)
    record(prompt_tokens=1, total_tokens=1)
    record()
    record(total_tokens=None)
    assert sink == {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16, "calls": 4, "who": "me"}
    assert sink_variable.get() is sink


def test_keys_in_any_order_and_behind_others(use):
    sink = use({"who": "me", "calls": 7, "total_tokens": 3, "completion_tokens": 2, "prompt_tokens": 1})
    record(10, 5, 15)
    assert sink == {"who": "me", "calls": 8, "total_tokens": 18, "completion_tokens": 7, "prompt_tokens": 11}


class Deaf:
    """Takes items, knows nothing else of a dict."""

    def __init__(self):
        self.kept = fresh()

    def __getitem__(self, key):
        return self.kept[key]

    def __setitem__(self, key, value):
        self.kept[key] = value


class Int(int):
    pass


SINKS = {
    "dict": fresh,
    "subclass": lambda: type("Own", (dict,), {})(fresh()),
    "defaultdict": lambda: collections.defaultdict(int),
    "Counter": collections.Counter,
    "OrderedDict": lambda: collections.OrderedDict(fresh()),
    "UserDict": lambda: collections.UserDict(fresh()),
    "deaf": Deaf,
    "float values": lambda: dict.fromkeys(fresh(), 0.5),
    "own ints": lambda: dict.fromkeys(fresh(), Int(3)),
    "empty": dict,
    "no calls": lambda: {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    "no completion": lambda: {"prompt_tokens": 0, "total_tokens": 0, "calls": 0},
    "None inside": lambda: {**fresh(), "total_tokens": None},
    "text inside": lambda: {**fresh(), "completion_tokens": "many"},
    "huge inside": lambda: {**fresh(), "completion_tokens": 2**63 - 1},
    "list": list,
    "zero": lambda: 0,
    "mock": MagicMock,
}

COUNTS = [
    (12, 3, 15),
    (0, 0, 0),
    (None, None, None),
    ("5", 2.9, True),
    (Decimal(7), Int(3), 10**30),
    (-3, -(2**70), 2**63 - 1),
    (float("nan"), 1, 1),
    (1, float("inf"), 1),
    (1, 1, "x"),
    (1, object(), 1),
    ([], {}, ""),
    ([1], 1, 1),
]


@pytest.mark.parametrize("kind", SINKS)
@pytest.mark.parametrize("counts", COUNTS, ids=repr)
def test_every_sink_and_count_ends_as_in_the_original(kind, counts):
    ours, theirs = SINKS[kind](), SINKS[kind]()

    def both():
        sink_variable.set(ours)
        reference.sink_variable.set(theirs)
        for _ in range(2):
            assert record(*counts) is None
            assert reference.record(*counts) is None

    contextvars.copy_context().run(both)
    if kind == "mock":
        assert len(ours.mock_calls) == len(theirs.mock_calls) > 0
        return
    ours, theirs = (getattr(sink, "kept", sink) for sink in (ours, theirs))
    assert ours == theirs
    if isinstance(ours, dict):
        assert [type(value) for value in ours.values()] == [type(value) for value in theirs.values()]


@given(st.lists(st.tuples(*[st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=3))] * 3), max_size=5))
def test_any_sequence_of_calls_ends_as_in_the_original(calls):
    ours, theirs = fresh(), fresh()

    def both():
        sink_variable.set(ours)
        reference.sink_variable.set(theirs)
        for call in calls:
            record(*call)
            reference.record(*call)

    contextvars.copy_context().run(both)
    assert ours == theirs


def test_what_is_swallowed_can_be_found_in_the_debug_log(use, caplog):
    use(fresh())
    with caplog.at_level(logging.DEBUG):
        record("x")
    assert "Failed to record run token usage" in caplog.text
    assert "ValueError" in caplog.text


def test_an_interrupt_passes(use):
    class Interrupts:
        def __int__(self):
            raise KeyboardInterrupt

    use(fresh())
    with pytest.raises(KeyboardInterrupt):
        record(Interrupts())


@pytest.mark.parametrize("kind", ["dict", "native", "UserDict"])
def test_many_threads_lose_nothing(kind):
    sink = {"dict": fresh, "native": ragflow.new_sink, "UserDict": lambda: collections.UserDict(fresh())}[kind]()
    context = contextvars.copy_context()
    context.run(sink_variable.set, sink)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:

        def work():
            for at in range(2000):
                record(1, "2" if at % 10 == 0 and kind != "native" else 2, 3)

        threads = [threading.Thread(target=context.copy().run, args=(work,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert dict(sink) == {"prompt_tokens": 16000, "completion_tokens": 32000, "total_tokens": 48000, "calls": 16000}


# ---- native sinks


def test_a_native_sink_reads_like_the_dict(use):
    sink = use(ragflow.new_sink())
    record(10, 5, 15)
    counts = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "calls": 1}
    assert sink == counts
    assert counts == sink
    assert sink != fresh()
    assert sink == copy.copy(sink.as_dict())
    assert dict(sink) == {**sink} == sink.copy() == counts
    assert list(sink) == list(sink.keys()) == list(counts)
    assert list(sink.values()) == list(counts.values())
    assert list(sink.items()) == list(counts.items())
    assert len(sink) == 4
    assert "calls" in sink
    assert "who" not in sink
    assert sink.get("total_tokens", 0) == 15
    assert sink.get("who", 3) == 3
    assert sink.get("who") is None
    assert repr(sink) == repr(counts)
    assert bool(sink)
    assert json.loads(json.dumps(sink.as_dict())) == counts
    with pytest.raises(KeyError):
        sink["who"]
    with pytest.raises(KeyError):
        sink["who"] = 1
    with pytest.raises(TypeError):
        del sink["calls"]
    sink["calls"] = 9
    sink["prompt_tokens"] += 1
    assert (sink["calls"], sink["prompt_tokens"]) == (9, 11)


@pytest.mark.parametrize("counts", [counts for counts in COUNTS if all(count != 10**30 for count in counts)], ids=repr)
def test_a_native_sink_counts_as_a_dict_does(counts):
    ours, theirs = ragflow.new_sink(), fresh()

    def both():
        sink_variable.set(ours)
        reference.sink_variable.set(theirs)
        record(*counts)
        reference.record(*counts)

    contextvars.copy_context().run(both)
    if any(count == -(2**70) for count in counts):
        assert ours["calls"] == 0  # a native sink has 64 bits; what does not fit is left out, as what is no number
    else:
        assert ours == theirs


def test_a_native_sink_saturates(use):
    sink = use(ragflow.new_sink())
    record(2**63 - 1, 2**63 - 1, 0)
    record(1, -1, 0)
    assert (sink["prompt_tokens"], sink["completion_tokens"]) == (2**63 - 1, 2**63 - 2)


# ---- usage_from_response, total_token_count_from_response


@pytest.mark.parametrize(
    ("answer", "exact", "fixed"), [row[1:] for row in table.USAGE], ids=[row[0] for row in table.USAGE]
)
def test_usage_from_response(answer, exact, fixed):
    assert same(outcome(reference.usage_from_response, answer), exact), "the second writing agrees with the table"
    assert same(outcome(_native.usage_from_response_exact, answer), exact)
    got = _native.usage_from_response(answer)
    assert got == (exact if fixed is table.SAME else fixed)
    assert list(got) == ["prompt_tokens", "completion_tokens", "total_tokens"]


@pytest.mark.parametrize(
    ("answer", "exact", "fixed"), [row[1:] for row in table.TOTAL], ids=[row[0] for row in table.TOTAL]
)
def test_total_token_count_from_response(answer, exact, fixed):
    assert same(outcome(reference.total_token_count, answer), exact), "the second writing agrees with the table"
    assert same(outcome(_native.total_token_count_from_response_exact, answer), exact)
    assert same(_native.total_token_count_from_response(answer), exact if fixed is table.SAME else fixed)


def test_mocks_count_one_as_int_of_a_mock_does():
    for function in (_native.usage_from_response, _native.usage_from_response_exact):
        assert function(MagicMock()) == table.usage(1, 1, 1)


def test_the_answer_is_a_new_dict_every_time():
    answer = {"usage": dict(table.OPENAI)}
    for function in (_native.usage_from_response, _native.usage_from_response_exact):
        first = function(answer)
        first["prompt_tokens"] = 99
        assert function(answer) == table.usage(10, 5, 15)
        assert function(None) is not function(None)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 10**20), st.sampled_from(["", "7", "x", 2.5, Decimal(3), [], {}])
)
FIELDS = st.dictionaries(
    st.sampled_from(["prompt_tokens", "input_tokens", "completion_tokens", "output_tokens", "total_tokens"]), VALUES
)
INNER = st.one_of(
    VALUES, FIELDS, FIELDS.map(lambda fields: table.Object(**fields)), st.builds(lambda f: {"tokens": f}, FIELDS)
)
BODIES = st.dictionaries(st.sampled_from(["usage", "usage_metadata", "meta", "id"]), INNER)


@given(st.one_of(BODIES, BODIES.map(lambda body: table.Object(**body)), BODIES.map(table.Stubborn)))
def test_exact_functions_do_what_the_original_does_with_anything(answer):
    assert same(outcome(_native.usage_from_response_exact, answer), outcome(reference.usage_from_response, answer))
    assert same(
        outcome(_native.total_token_count_from_response_exact, answer), outcome(reference.total_token_count, answer)
    )
    assert not isinstance(outcome(_native.usage_from_response, answer), table.Raises)
    assert not isinstance(outcome(_native.total_token_count_from_response, answer), table.Raises)


class TestPydantic:
    @pytest.fixture
    def models(self):
        from pydantic import BaseModel, ConfigDict, computed_field

        class Usage(BaseModel):
            model_config = ConfigDict(extra="allow")
            prompt_tokens: int = 0

        class Answer(BaseModel):
            model_config = ConfigDict(extra="allow")
            id: str = "a"

        class Computed(BaseModel):
            @computed_field
            @property
            def usage(self) -> dict[str, int]:
                return table.OPENAI

        class Magic(BaseModel):
            def __getattr__(self, name):
                return table.OPENAI if name == "usage" else super().__getattr__(name)

        class Watched(Answer):
            def __getattribute__(self, name):
                return table.OPENAI if name == "usage" else super().__getattribute__(name)

        extra = Answer(usage=Usage(prompt_tokens=10, completion_tokens=5, total_tokens=15))
        return [
            Answer(),
            extra,
            Computed(),
            Magic(),
            Watched(),
            Answer(usage=None),
            Answer.model_construct(usage=table.OPENAI),
        ]

    def test_models_are_read_as_the_original_reads_them(self, models):
        for answer in models:
            assert _native.usage_from_response_exact(answer) == reference.usage_from_response(answer)
            assert _native.usage_from_response(answer) == reference.usage_from_response(answer)
            assert _native.total_token_count_from_response_exact(answer) == reference.total_token_count(answer)
        assert [_native.usage_from_response(answer)["total_tokens"] for answer in models] == [0, 15, 15, 15, 15, 0, 15]

    def test_nothing_is_raised_inside_pydantic(self, models, monkeypatch):
        import pydantic

        def refuse(self, name):
            raise AssertionError(f"asked pydantic for {name}")

        monkeypatch.setattr(pydantic.BaseModel, "__getattr__", refuse)
        refuse.__module__ = "pydantic.main"
        for answer in (models[0], models[1]):
            for function in (
                _native.usage_from_response,
                _native.usage_from_response_exact,
                _native.total_token_count_from_response,
                _native.total_token_count_from_response_exact,
            ):
                function(answer)


# ---- texts


@pytest.fixture(scope="module")
def raising():
    """tiktoken's behaviour: raises on special tokens."""
    return Encoder(specials_are_text=False)


@pytest.mark.parametrize("nothing", [None, b"bytes", ["a", "list"], 7, {"a": 1}, object()])
def test_what_is_no_text_has_no_tokens(nothing):
    assert _native.num_tokens_from_string(nothing) == _native.num_tokens_from_string_exact(nothing) == 0


@pytest.mark.parametrize("special", SPECIALS)
def test_special_tokens(special, raising):
    text = f"before {special} behind"
    assert _native.num_tokens_from_string_exact(text) == 0
    with pytest.raises(ValueError, match="special token"):
        _native.truncate_exact(text, 2)
    with pytest.raises(ValueError, match="special token"):
        raising.encode(text)
    counted = len(ragflow.encoder.encode(text))
    assert counted > 5
    assert _native.num_tokens_from_string(text) == counted
    assert _native.truncate(text, 1000) == text
    assert ragflow.encoder.decode(ragflow.encoder.encode(text)) == text


@given(st.text(), st.one_of(st.none(), st.integers(-20, 20), st.sampled_from([10**30, -(10**30), True])))
def test_truncate_is_decode_of_a_slice_of_encode(text, limit):
    expected = reference.truncate(Encoder(specials_are_text=True), text, limit)
    assert _native.truncate(text, limit) == _native.truncate_exact(text, limit) == expected


def test_cut_inside_a_character():
    tokens = ragflow.encoder.encode("𓀀𓀁")
    for limit in range(len(tokens) + 1):
        assert _native.truncate("𓀀𓀁", limit) == ragflow.encoder.decode(tokens[:limit])
    assert "\ufffd" in _native.truncate("𓀀𓀁", 1)


def test_lone_surrogates_become_replacement_characters():
    assert _native.truncate("a\ud800b", 99) == "a\ufffdb"
    assert _native.num_tokens_from_string("a\ud800b") == _native.num_tokens_from_string("a\ufffdb")


@pytest.mark.parametrize(("text", "limit"), [(None, 3), (7, 3), (b"x", 3), ("x", 2.5), ("x", "2")])
def test_truncate_raises_type_error(text, limit):
    for function in (_native.truncate, _native.truncate_exact):
        with pytest.raises(TypeError):
            function(text, limit)


def test_long_texts_are_cut_without_the_gil_as_short_ones():
    text = "Marley was dead: to begin with. 你好，世界。" * 2000
    tokens = ragflow.encoder.encode(text)
    for limit in (0, 500, -500, len(tokens), len(tokens) + 1):
        assert _native.truncate(text, limit) == ragflow.encoder.decode(tokens[:limit])
    assert _native.num_tokens_from_string(text) == len(tokens)


# ---- the module


def python(code, **environment):
    variables = {**os.environ, **environment}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


SHOW = "import json, ragmeter.ragflow as r; print(json.dumps([r.num_tokens_from_string('<|endoftext|>'), r.EXACT]))"


def test_exact_mode_is_chosen_by_the_environment():
    assert json.loads(python(SHOW, RAGMETER_RAGFLOW_COMPAT="exact")) == [0, True]
    assert json.loads(python(SHOW, RAGMETER_RAGFLOW_COMPAT="")) == [7, False]


def test_importing_it_imports_neither_tiktoken_nor_the_openai_sdk_nor_numpy():
    heavy = "('tiktoken', 'openai', 'numpy', 'pydantic', 'regex', 'requests', 'langfuse', 'litellm')"
    assert python(f"import sys, ragmeter.ragflow; print([name for name in {heavy} if name in sys.modules])") == "[]"
    assert python("import sys, ragmeter; print('ragmeter.ragflow' in sys.modules)") == "False"


def test_the_cache_of_tiktoken_is_where_the_original_puts_it(tmp_path):
    for mark in ("common/token_utils.py", "agent/canvas.py", "ragflow_deps/cl100k_base.tiktoken"):
        (tmp_path / mark).parent.mkdir(exist_ok=True)
        (tmp_path / mark).write_text("contents")
    show = "import os, ragmeter.ragflow as r; print(r.tiktoken_cache_dir, os.environ['TIKTOKEN_CACHE_DIR'])"
    base = str(tmp_path)
    assert python(show, PYTHONPATH=base, TIKTOKEN_CACHE_DIR="/elsewhere") == f"{base} {base}"
    assert (tmp_path / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4").read_text() == "contents"
    assert python(show, TIKTOKEN_CACHE_DIR="/elsewhere") == "/elsewhere /elsewhere"


async def test_tasks_of_one_run_share_its_sink():
    sink_variable.set(sink := fresh())

    async def call():
        record(1, 1, 2)

    await asyncio.gather(*(call() for _ in range(10)))
    await asyncio.to_thread(record, 1, 1, 2)
    assert sink["calls"] == 11
