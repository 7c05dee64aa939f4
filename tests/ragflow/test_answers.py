"""Usage in the answers of models, against a table written by hand and a second writing of RAGFlow's own."""

from decimal import Decimal
from unittest.mock import MagicMock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragmeter import _native

from . import reference, table


def outcome(function, *arguments):
    try:
        return function(*arguments)
    except Exception as exc:  # noqa: BLE001
        return table.Raises(type(exc))


def same(one, other):
    if isinstance(one, table.Raises) or isinstance(other, table.Raises):
        return type(one) is type(other) and one.kind is other.kind
    return one == other and type(one) is type(other)


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
