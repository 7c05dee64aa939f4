"""Answers that no provider should give: nothing reaches the host, and it is counted."""

from types import SimpleNamespace

import pytest

import ragmeter
from ragmeter import Usage
from ragmeter.lightrag import TokenTracker


class Raising:
    """Every attribute raises."""

    def __getattribute__(self, name):
        if name.startswith("__"):
            return object.__getattribute__(self, name)
        raise RuntimeError("of the host")


class RaisingUsage:
    @property
    def usage(self):
        raise RuntimeError("of the host")


def cyclic_dict():
    answer = {"choices": []}
    answer["usage"] = answer
    return answer


def cyclic_object():
    answer = SimpleNamespace()
    answer.usage = answer.choices = answer
    return answer


def cyclic_list():
    answer = []
    answer.append(answer)
    return answer


BAD = {
    "no usage": {"choices": []},
    "null": {"usage": None},
    "strings": {"usage": {"prompt_tokens": "many", "completion_tokens": ""}},
    "negative": {"usage": {"prompt_tokens": -12, "completion_tokens": -3}},
    "nan": {"usage": {"prompt_tokens": float("nan"), "completion_tokens": float("inf")}},
    "bools": {"usage": {"prompt_tokens": True, "completion_tokens": False}},
    "huge": {"usage": {"prompt_tokens": 10**40}},
    "not an object": {"usage": "15 tokens"},
    "raising": Raising(),
    "raising usage": RaisingUsage(),
    "raising inside": {"usage": Raising()},
    "cyclic dict": cyclic_dict(),
    "cyclic object": cyclic_object(),
    "cyclic list": cyclic_list(),
    "nothing": None,
    "a number": 5,
    "a class": Raising,
    "a generator": (x for x in ()),
}


@pytest.mark.parametrize("name", BAD)
def test_nothing_is_raised_nothing_is_invented_and_it_is_counted(name):
    before = ragmeter.health()
    usage = ragmeter.extract_usage(BAD[name])
    assert usage is None or (usage.flags and usage.input_tokens in {None, 2**64 - 1})
    after = ragmeter.health()
    assert sum(after[key] - before[key] for key in ("no_usage", "bad_count", "unreadable")) >= 1


@pytest.mark.parametrize("name", BAD)
def test_a_tracker_that_is_told_such_a_thing_counts_the_call_as_unknown(name):
    tracker = TokenTracker()
    tracker.add_usage(BAD[name])
    usage = tracker.get_usage()
    assert usage["call_count"] == 1
    assert usage["unknown_calls"] == 1 or tracker.run.usage.flags
    assert isinstance(tracker.run.usage, Usage)
