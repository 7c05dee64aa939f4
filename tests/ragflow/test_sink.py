"""Recording into the sink of a run, dict or native, against a second writing of RAGFlow's own."""

import asyncio
import collections
import contextvars
import copy
import json
import logging
import sys
import threading
from decimal import Decimal
from unittest.mock import MagicMock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragmeter import ragflow

from . import reference

record, sink_variable = ragflow.record_run_token_usage, ragflow.token_usage_sink


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


@pytest.mark.parametrize("first", [-5000, 0, 200, 4090, 100_000, 2**30 - 100, 2**30, 2**60 - 100, 2**62])
def test_what_was_read_from_a_dict_stays_what_it_was(use, first):
    sink = use({key: int(str(first)) for key in fresh()})
    sink["total_tokens"] = sink["completion_tokens"]  # one int under two keys
    read = [(0, dict(sink))]
    for times in range(1, 40):
        record(7, 11, 13)
        if times % 3 == 0:
            read.append((times, dict(sink)))
    for times, counts in [*read, (39, sink)]:
        assert [count - first for count in counts.values()] == [7 * times, 11 * times, 13 * times, times]


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


async def test_tasks_of_one_run_share_its_sink():
    sink_variable.set(sink := fresh())

    async def call():
        record(1, 1, 2)

    await asyncio.gather(*(call() for _ in range(10)))
    await asyncio.to_thread(record, 1, 1, 2)
    assert sink["calls"] == 11
