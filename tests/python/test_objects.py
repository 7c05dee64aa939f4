"""Objects that keep their members in places of their own, or in another order than their class."""

import gc
import random
from typing import Any, NamedTuple

import pydantic
import pytest

import ragmeter


class Details(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    cached_tokens: int | None = None
    audio_tokens: int | None = None


class Counts(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    completion_tokens: int
    prompt_tokens: int
    total_tokens: int
    prompt_tokens_details: Details | None = None


class Answer(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", protected_namespaces=())
    id: str
    created: int = 0
    model: str | None = None
    usage: Counts | None = None


BODY = {
    "id": "a1",
    "created": 7,
    "model": "m",
    "usage": {
        "completion_tokens": 20,
        "prompt_tokens": 100,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": None},
    },
}


def seen(usage):
    return usage.as_dict(), usage.model, usage.response_id, usage.flags


def test_a_model_reads_like_its_body():
    assert seen(ragmeter.extract_usage(Answer.model_validate(BODY))) == seen(ragmeter.extract_usage(BODY))


def test_the_order_of_attributes_does_not_matter():
    expected = seen(ragmeter.extract_usage(BODY))
    chance = random.Random(7)
    for _ in range(200):
        answer = Answer.model_validate(BODY)
        for model in (answer, answer.usage, answer.usage.prompt_tokens_details):
            items = [*vars(model).items(), ("nothing", 1)]
            chance.shuffle(items)
            # Names that are equal to those of the class without being the same objects.
            object.__setattr__(model, "__dict__", {"".join(list(name)): value for name, value in items})
        assert seen(ragmeter.extract_usage(answer)) == expected


def test_missing_and_unknown_attributes():
    for at in range(len(BODY)):
        kept = {name: value for place, (name, value) in enumerate(BODY.items()) if place != at}
        answer = Answer.model_construct(**kept)
        if at < 3:
            answer.__dict__.pop(list(BODY)[at], None)
        else:
            answer.__dict__["usage"] = None
        read, expected = ragmeter.extract_usage(answer), ragmeter.extract_usage(kept)
        assert (read and seen(read)) == (expected and seen(expected))
    late = Answer.model_validate({**BODY, "usage": None, "x_groq": {"usage": BODY["usage"]}})
    assert seen(ragmeter.extract_usage(late)) == seen(ragmeter.extract_usage(BODY))


def test_what_a_model_does_not_know_is_read_too():
    usage = {**BODY["usage"], "cost": 0.25, "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 8}}
    read = ragmeter.extract_usage(Answer.model_validate({**BODY, "usage": usage}))
    assert (str(read.cost), read.cache_read_tokens, read.cache_write_tokens) == ("0.25", 64, 8)


@pytest.mark.parametrize("count", [2**63 - 1, 2**63, 2**64 - 1, 2**64, -1, True, 3.0, "12", None])
def test_counts_of_every_size_read_as_in_json(count):
    body = {"usage": {"prompt_tokens": count, "completion_tokens": 1}}
    answer = Answer.model_construct(id="a", usage=Counts.model_construct(**body["usage"], total_tokens=None))
    same = ragmeter.extract_usage({"usage": body["usage"]})
    assert ragmeter.extract_usage(answer).as_dict() == same.as_dict()
    assert ragmeter.extract_usage(answer).flags == same.flags


def test_usage_may_be_a_property_of_a_model():
    class Computing(pydantic.BaseModel):
        raw: dict[str, Any]

        @property
        def usage(self):
            return self.raw["billing"]

    for _ in range(2):
        read = ragmeter.extract_usage(Computing(raw={"billing": BODY["usage"]}))
        assert read.as_dict() == ragmeter.extract_usage(BODY).as_dict()
        assert ragmeter.extract_usage(Computing(raw={})) is None


def test_a_property_is_not_asked_where_the_body_speaks():
    asked = []

    class Speaking(Answer):
        @property
        def usage_metadata(self):
            asked.append(self)
            return {"promptTokenCount": 1}

    assert seen(ragmeter.extract_usage(Speaking.model_validate(BODY))) == seen(ragmeter.extract_usage(BODY))
    assert not asked


class Keeping:
    """What a plain object keeps beside its usage."""

    def __init__(self, kept, **more):
        self.id, self.model, self._usage = "a1", "m", kept
        vars(self).update(more)


class Property(Keeping):
    @property
    def usage(self):
        return self._usage


class Attribute(Keeping):
    usage = BODY["usage"]


class Answering(Keeping):
    def __getattr__(self, name):
        if name == "usage":
            return self._usage
        raise AttributeError(name)


class Inside:
    def __init__(self, usage):
        self.kind, self.message = "message_start", Property(usage)


@pytest.mark.parametrize("kind", [Property, Attribute, Answering, Inside])
def test_usage_may_be_what_the_class_of_a_plain_object_makes_up(kind):
    for _ in range(2):
        assert seen(ragmeter.extract_usage(kind(BODY["usage"]))) == seen(ragmeter.extract_usage(BODY))
        assert kind is Attribute or ragmeter.extract_usage(kind({})) is None


def test_a_plain_object_is_asked_for_nothing_else():
    asked = []

    class Asking(Keeping):
        def __getattr__(self, name):
            asked.append(name)
            raise KeyError(name)

        def usage_info(self):
            asked.append("called")

    expected = ragmeter.extract_usage(BODY).as_dict()
    assert ragmeter.extract_usage(Asking(None, usage=BODY["usage"])).as_dict() == expected
    assert "usage" not in asked
    assert ragmeter.extract_usage(Asking(None)) is None
    assert "called" not in asked


def test_a_model_that_is_changed_by_hand():
    expected = ragmeter.extract_usage(BODY).as_dict()
    ragmeter.extract_usage(Answer.model_validate(BODY))
    for gone in ("id", "created", "model"):
        answer = Answer.model_validate(BODY)
        answer.__dict__["usage_metadata"] = {"total_tokens": 5}
        del answer.__dict__[gone]
        assert ragmeter.extract_usage(answer).as_dict() == expected
        del answer.__dict__["usage"]
        assert ragmeter.extract_usage(answer).total_tokens == 5


def test_a_model_that_changes_while_it_is_read():
    class Changing:
        def __init__(self, answer):
            self._answer = answer

        @property
        def total_tokens(self):
            self._answer.__dict__.clear()
            return 5

    class Twice(Answer):
        usage: Any = None
        meta: Any = None

    for _ in range(3):
        answer = Twice.model_construct(id="a", usage=BODY["usage"], meta={"usage": BODY["usage"]})
        assert ragmeter.extract_usage(answer).total_tokens == 120
        answer.usage = Changing(answer)
        assert ragmeter.extract_usage(answer).total_tokens == 5


def test_a_named_tuple_is_an_object():
    class Parts(NamedTuple):
        cached_tokens: int
        audio_tokens: int | None

    class Whole(NamedTuple):
        completion_tokens: int
        prompt_tokens: int
        total_tokens: int
        prompt_tokens_details: Parts

    class Said(NamedTuple):
        id: str
        model: str
        usage: Whole

    usage = Whole(20, 100, 120, Parts(64, None))
    answer = Said("a1", "m", usage)
    expected = seen(ragmeter.extract_usage(BODY))
    assert seen(ragmeter.extract_usage(answer)) == expected
    assert seen(ragmeter.extract_usage({"id": "a1", "model": "m", "usage": usage})) == expected
    stream = ragmeter.UsageStream()
    stream.feed(answer)
    assert seen(stream.finish()) == expected
    assert ragmeter.extract_usage((BODY,)).as_dict() == ragmeter.extract_usage(BODY).as_dict()


def test_more_classes_than_are_remembered():
    expected = ragmeter.extract_usage(BODY).as_dict()
    for at in range(600):
        kind = pydantic.create_model(f"Answer{at}", usage=(Counts | None, None))
        assert ragmeter.extract_usage(kind.model_validate(BODY)).as_dict() == expected


def test_a_dict_that_changes_while_it_is_read():
    """A text that is none makes an exception, which may collect garbage, which may run anything."""
    body = {}

    class Garbage:
        def __init__(self):
            self.itself = self

        def __del__(self):
            body.clear()

    thresholds = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(200):
            Garbage()
            body.update({"\ud800": 1, "id": "\ud800", "model": "m", "usage": dict(BODY["usage"])})
            body.update({f"\ud800{at}": [object()] for at in range(20)})
            ragmeter.extract_usage(body)
    finally:
        gc.set_threshold(*thresholds)
