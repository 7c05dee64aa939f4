import base64
import copy
import hashlib
import os
import pickle
import random

import pytest

import ragmeter
from ragmeter import tokens

URL = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
FILES = ["cl100k_base", "o200k_base", "p50k_base", "r50k_base"]
NAMES = [*FILES, "p50k_edit", "o200k_harmony"]


@pytest.fixture(scope="session")
def tiktoken(tmp_path_factory):
    """tiktoken with the vocabularies of ragmeter as its files; it checks their sha256."""
    folder = tmp_path_factory.mktemp("tiktoken")
    for name in FILES:
        encoding = tokens.get_encoding(name)
        lines = []
        for token in range(encoding.max_token_value + 1):
            if not encoding.is_special_token(token):
                try:
                    text = encoding.decode_single_token_bytes(token)
                except KeyError:
                    continue
                lines.append(base64.b64encode(text) + b" " + str(token).encode() + b"\n")
        (folder / hashlib.sha1(URL.format(name).encode()).hexdigest()).write_bytes(b"".join(lines))
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    import tiktoken

    yield tiktoken
    del os.environ["TIKTOKEN_CACHE_DIR"]


@pytest.fixture(params=NAMES)
def pair(request, tiktoken):
    return tokens.get_encoding(request.param), tiktoken.get_encoding(request.param)


def texts(seed, number):
    """Strings of what splitting patterns tell apart, in an order that repeats for a seed."""
    pick = random.Random(seed)
    alphabets = [
        "abcdefghijklmnopqrstuvwxyz",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "sSdmtTvelr",
        "'",
        "   \t",
        " \t\n\r\x0b\x0c\u00a0\u3000\u2028\x85",
        "\n\n \r\n",
        "0123456789",
        "٠١२３Ⅷ²",
        "!?.,;:-_()[]{}<>\\|@#$%^&*",
        "//\n\r",
        "日本語人民报告的一是在中国",
        "ひらがなカタカナー",
        "абвгдежзАБВГД",
        "éàüßñÉÀſſ",
        "ǅǈʰˀªº",
        "\u0301\u0308\u093f\u20dd",
        "हिन्दीไทยภาษา한국어",
        "🎉👨\u200d👩\u200d👧🇩🇪👍🏽",
        "\ue000\u0378\U000e0001\ufeff\x00\x07",
        "\ud800\udc00\udfff",
    ]
    words = [
        " the",
        "don't",
        "I'll",
        "we've",
        "'S",
        "'LL",
        "'rE",
        "'ſ",
        "<|endoftext|>",
        "<|end|>",
        "fooBar",
        "HTTPServer",
    ]
    for _ in range(number):
        parts = []
        for _ in range(pick.choice([1, 2, 5, 13, 40])):
            kind = pick.random()
            if kind < 0.25:
                parts.append(pick.choice(words))
            elif kind < 0.35:
                parts.append(pick.choice(pick.choice(alphabets)) * pick.choice([2, 3, 4, 17, 70]))
            else:
                alphabet = pick.choice(alphabets)
                parts.append("".join(pick.choice(alphabet) for _ in range(pick.randint(1, 8))))
        yield "".join(parts)


def test_tokens_and_counts_are_those_of_tiktoken(pair):
    ours, theirs = pair
    for text in texts(4, 1500):
        expected = theirs.encode_ordinary(text)
        assert ours.encode_ordinary(text) == expected, ascii(text)
        assert ours.count(text) == len(expected), ascii(text)
        assert ours.decode(expected) == theirs.decode(expected)


@pytest.mark.parametrize("name", ["cl100k_base", "o200k_base"])
def test_stands_in_for_tiktoken_in_lightrag(name):
    from lightrag.utils import Tokenizer

    tokenizer = copy.deepcopy(Tokenizer(name, tokens.get_encoding(name)))
    assert tokenizer.decode(tokenizer.encode("Ein Satz. 一句话。")) == "Ein Satz. 一句话。"


@pytest.mark.parametrize("name", tokens.list_encoding_names())
def test_an_encoding_is_copied_and_pickled_by_name(name):
    encoding = tokens.get_encoding(name)
    assert copy.copy(encoding) is encoding
    assert copy.deepcopy(encoding) is encoding
    assert pickle.loads(pickle.dumps(encoding)).name == name


def test_counts_with_the_newest_encoding_unless_told_otherwise():
    text = "Привет, 世界!"
    assert ragmeter.count_tokens(text) == len(tokens.get_encoding("o200k_base").encode(text))
    assert ragmeter.count_tokens(text, encoding="cl100k_base") == len(tokens.get_encoding("cl100k_base").encode(text))
    assert ragmeter.count_tokens(text, encoding=tokens.get_encoding("r50k_base")) == 14


def test_an_unknown_encoding_is_refused():
    with pytest.raises(ValueError, match="no encoding is named 'o300k_base', there are gpt2, r50k_base"):
        tokens.get_encoding("o300k_base")
