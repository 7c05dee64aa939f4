"""Counting and cutting texts as RAGFlow does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragmeter import _native, ragflow
from ragmeter.ragflow.encoder import Encoder

from . import reference

SPECIALS = ["<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|endofprompt|>"]


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
