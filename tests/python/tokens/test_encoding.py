import base64
import copy
import os
import pickle
import random
import threading

import pytest

import ragmeter
from ragmeter import tokens

FILES = ["cl100k_base", "o200k_base", "p50k_base", "r50k_base"]
NAMES = [*FILES, "p50k_edit", "o200k_harmony"]


@pytest.fixture(scope="session")
def tiktoken(tiktoken_files):
    """tiktoken with the vocabularies of ragmeter as its files."""
    os.environ["TIKTOKEN_CACHE_DIR"] = str(tiktoken_files)
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
        "कखगॐक़ािंः्। ०A",
        "ابتثيـ ًٌٍَُِّ،٣aA",
        "àêßÿÀÞ×÷ aB",
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


def test_what_repeats_itself_has_the_tokens_of_tiktoken(pair):
    ours, theirs = pair
    pick = random.Random(7)
    units = [
        "-",
        "=",
        "*",
        "#",
        "_",
        "/",
        "-=",
        "--+",
        "lo",
        "ab",
        "aab",
        "я",
        "аб",
        "ا",
        "اب",
        "ि",
        "कि",
        "ไ",
        "中文",
        "😀",
        "®",
        "Λ",
        "Ӟ",
        "Ỷ",
        "ฏ",
        "ᄊ",
        "ᐐ",
        "ኰ",
        "अंत",
        "Straße",
    ]
    repeats = [unit * (length // len(unit)) for unit in units for length in (63, 64, 65, 130, 999, 20_000, 70_001)]
    mixed = [
        "".join(pick.choices(unit, weights, k=60_000))
        for unit in ("-=", "lo", "ab", "اب")
        for weights in ((1, 1), (1, 40))
    ]
    broken_off = [unit * 300 + unit[:1] + other * 200 for unit in units for other in ("x", "-", "Ӟ", "ด")]
    for text in [f"{text} x" for text in repeats + mixed + broken_off]:
        expected = theirs.encode_ordinary(text)
        assert ours.encode_ordinary(text) == expected, (ascii(text[:6]), len(text))
        assert ours.count(text) == len(expected), (ascii(text[:6]), len(text))


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


def test_counts_for_a_model_or_in_an_encoding():
    text = "Привет, 世界!"
    assert ragmeter.count_tokens(text) == len(tokens.get_encoding("o200k_base").encode(text))
    assert ragmeter.count_tokens(text, "gpt-4") == ragmeter.count_tokens(text, encoding="cl100k_base")
    assert ragmeter.count_tokens(text, "claude-opus-4-8") == ragmeter.count_tokens(text)
    assert ragmeter.count_tokens(text, encoding=tokens.get_encoding("r50k_base")) == 14
    assert ragmeter.count_tokens("") == 0


def test_a_model_named_by_half_a_character_is_one_that_nobody_knows():
    assert ragmeter.count_tokens("some text", "gpt-\ud800") == ragmeter.count_tokens("some text")
    with pytest.raises(ValueError, match="no encoding is named"):
        tokens.get_encoding("\ud800")


def test_a_batch_counts_each_text_by_itself():
    chunks = [text * 20 for text in texts(7, 200)]
    expected = [ragmeter.count_tokens(chunk) for chunk in chunks]
    assert ragmeter.count_tokens_batch(chunks) == expected
    assert tokens.get_encoding("cl100k_base").count_batch(chunks, threads=3) == [
        ragmeter.count_tokens(chunk, encoding="cl100k_base") for chunk in chunks
    ]
    assert [len(ids) for ids in tokens.encode_batch(chunks)] == expected


def test_a_batch_leaves_the_interpreter_to_other_threads():
    chunks = ["Some words that are counted, with a number 12345 and more. " * 400] * 400
    ran, done = 0, threading.Event()

    def tick():
        nonlocal ran
        while not done.is_set():
            ran += 1

    thread = threading.Thread(target=tick)
    thread.start()
    before = ran
    ragmeter.count_tokens_batch(chunks)
    after = ran
    done.set()
    thread.join()
    assert after > before


def test_truncates_as_tiktoken_does_or_to_a_whole_character(pair):
    ours, theirs = pair
    for number, text in enumerate(texts(11, 150)):
        limit = number % 40
        expected = theirs.decode(theirs.encode_ordinary(text)[:limit])
        assert ours.truncate(text, limit, broken=True) == expected
        assert expected.startswith(ours.truncate(text, limit).removesuffix("\ufffd"))
    assert ours.truncate("a 🎉 b", 2).isascii()
    assert ours.truncate("a b", -1) == ""


def test_a_limit_ends_the_count():
    text = "word " * 100_000
    assert tokens.count_until(text, 99) is None
    assert tokens.count_until("one two three", 3) == 3
    assert tokens.count_until("one two three", 2) is None
    assert tokens.count_until("", -1) is None
    assert ragmeter.truncate_tokens(text, 3) == "word word word"


def test_a_counter_is_exact_wherever_the_text_is_split():
    for seed, text in enumerate(texts(5, 300)):
        pick = random.Random(seed)
        encoding = pick.choice(FILES)
        counter, at = tokens.Counter(encoding=encoding), 0
        while at < len(text):
            end = at + pick.randint(1, 30)
            counter.feed(text[at:end])
            at = end
        assert counter.tokens == ragmeter.count_tokens(text, encoding=encoding), ascii(text)


def test_a_counter_joins_a_pair_of_surrogates_that_was_split():
    counter = tokens.Counter("gpt-4o")
    counter.feed("a\ud83c")
    assert counter.tokens == ragmeter.count_tokens("a\ud83c")
    counter.feed("")
    counter.feed("\udf89!")
    assert counter.tokens == ragmeter.count_tokens("a🎉!")


def outcome(call, text, arguments):
    try:
        return call(text, **arguments)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize(
    "text", ["plain", "a <|endoftext|> b", "<|fim_prefix|><|endoftext|>", "<|end|>'<|start|>", "\ud800<|endoftext|>"]
)
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"allowed_special": "all"},
        {"allowed_special": {"<|endoftext|>"}},
        {"disallowed_special": ()},
        {"disallowed_special": {"<|endofprompt|>", "plain"}},
        {"allowed_special": {"<|endoftext|>"}, "disallowed_special": ()},
        {"allowed_special": {"<|endoftext|>"}, "disallowed_special": {"<|endoftext|>"}},
    ],
    ids=repr,
)
def test_special_tokens_are_handled_as_tiktoken_does(pair, text, arguments):
    ours, theirs = pair
    assert outcome(ours.encode, text, arguments) == outcome(theirs.encode, text, arguments)
    assert outcome(ours.encode_batch, [text], arguments) == outcome(theirs.encode_batch, [text], arguments)


def test_stands_in_for_every_method_of_tiktoken(pair):
    ours, theirs = pair
    text = "Hello <b>wörld</b>, 世界 🎉!"
    ids = theirs.encode(text)
    assert (ours.name, ours.n_vocab, ours.max_token_value) == (theirs.name, theirs.n_vocab, theirs.max_token_value)
    assert (ours.eot_token, ours.special_tokens_set) == (theirs.eot_token, theirs.special_tokens_set)
    assert repr(ours) == repr(theirs)
    assert ours.decode_bytes(ids) == theirs.decode_bytes(ids) == text.encode()
    assert ours.decode_tokens_bytes(ids) == theirs.decode_tokens_bytes(ids)
    assert ours.decode_with_offsets(ids) == theirs.decode_with_offsets(ids)
    assert ours.encode_ordinary_batch([text, ""]) == theirs.encode_ordinary_batch([text, ""])
    assert ours.decode_batch([ids, ids[:3]]) == theirs.decode_batch([ids, ids[:3]])
    assert ours.decode_bytes_batch([ids, []]) == theirs.decode_bytes_batch([ids, []])
    assert ours.decode(ids[:-2], "ignore") == theirs.decode(ids[:-2], "ignore")
    assert sorted(ours.token_byte_values()) == sorted(theirs.token_byte_values())
    assert ours.encode_single_token("<|endoftext|>") == theirs.encode_single_token("<|endoftext|>")
    assert ours.encode_single_token(b" the") == theirs.encode_single_token(b" the")
    assert [ours.is_special_token(token) for token in (11, ours.eot_token)] == [False, True]


@pytest.mark.parametrize(
    "call",
    [
        lambda encoding: encoding.decode([300_000]),
        lambda encoding: encoding.decode_bytes([300_000]),
        lambda encoding: encoding.decode_single_token_bytes(300_000),
        lambda encoding: encoding.encode_single_token("no such token"),
        lambda encoding: encoding.decode([-1]),
        lambda encoding: encoding.encode(b"bytes"),
        lambda encoding: encoding.decode_with_offsets(encoding.encode_ordinary("🎉")[:1]),
    ],
)
def test_fails_as_tiktoken_does(pair, call):
    ours, theirs = pair
    with pytest.raises(Exception) as expected:  # noqa: PT011, the type is what is compared
        call(theirs)
    with pytest.raises(expected.type):
        call(ours)


def test_an_unknown_encoding_is_refused():
    with pytest.raises(ValueError, match="no encoding is named 'o300k_base', there are gpt2, r50k_base"):
        tokens.get_encoding("o300k_base")
    with pytest.raises(TypeError, match="encoding is a name or an Encoding"):
        ragmeter.count_tokens("a", encoding=3)


def test_models_have_the_encodings_that_tiktoken_gives_them(tiktoken):
    from tiktoken.model import MODEL_PREFIX_TO_ENCODING, MODEL_TO_ENCODING

    for model, name in MODEL_TO_ENCODING.items():
        assert tokens.resolve_model(model) == (name, True)
    for prefix in MODEL_PREFIX_TO_ENCODING:
        model = prefix + "2099-01-01"
        assert tokens.encoding_for_model(model).name == tiktoken.model.encoding_name_for_model(model)
    assert tokens.resolve_model("gemini-3-pro") == ("o200k_base", False)
    with pytest.raises(KeyError, match="the tokenizer of 'gemini-3-pro' is not public"):
        tokens.encoding_for_model("gemini-3-pro")


def test_megabytes_of_one_character_are_counted(tiktoken):
    for unit in ["a", " ", "\n", "1", "\u0301", "ab", "A"]:
        for name in ("o200k_base", "cl100k_base"):
            encoding = tokens.get_encoding(name)
            assert encoding.count(unit * 1_000_000) == len(encoding.encode_ordinary(unit * 1_000_000))


@pytest.fixture
def own_file(tmp_path):
    encoding = tokens.get_encoding("cl100k_base")
    path = tmp_path / "own.tiktoken"
    lines = [
        f"{base64.b64encode(encoding.decode_single_token_bytes(token)).decode()} {token}\n" for token in range(3000)
    ]
    path.write_text("".join(lines))
    return path


def test_a_tiktoken_file_of_your_own_counts_as_in_tiktoken(own_file, tiktoken):
    ours = tokens.load_tiktoken(own_file, special_tokens={"<|pad|>": 5000})
    ranks = tiktoken.load.load_tiktoken_bpe(str(own_file))
    theirs = tiktoken.Encoding("own", pat_str=ours.pat_str, mergeable_ranks=ranks, special_tokens={"<|pad|>": 5000})
    again = pickle.loads(pickle.dumps(ours))
    for text in texts(2, 200):
        expected = theirs.encode(text + "<|pad|>", allowed_special="all")
        assert ours.encode(text + "<|pad|>", allowed_special="all") == expected
        assert again.encode(text + "<|pad|>", allowed_special="all") == expected
    assert (ours.name, ours.n_vocab) == ("own", 5001)


def test_a_file_that_is_no_vocabulary_is_refused(own_file, tmp_path):
    (tmp_path / "bad.tiktoken").write_text("not base64!\n")
    with pytest.raises(ValueError, match=r"is not a \.tiktoken file"):
        tokens.load_tiktoken(tmp_path / "bad.tiktoken")
    (tmp_path / "short.tiktoken").write_text("YQ== 0\n")
    with pytest.raises(ValueError, match="the ids 0 to 255 are not the 256 bytes"):
        tokens.load_tiktoken(tmp_path / "short.tiktoken")
    with own_file.open("a") as file:
        file.write("0Nsense0 3000\n")
    with pytest.raises(ValueError, match="token 3000 is not a merge of two older ones"):
        tokens.load_tiktoken(own_file)
    with pytest.raises(ValueError, match=r"sha256 of .* is .*, not 00"):
        tokens.load_tiktoken(own_file, sha256="00")
    with pytest.raises(ValueError, match="the pattern of x is none of"):
        tokens.Encoding("x", pat_str=".", mergeable_ranks={}, special_tokens={})


def test_a_tokenizer_json_counts_as_in_tokenizers(tmp_path):
    import tokenizers

    model = tokenizers.models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")])
    tokenizers.Tokenizer(model).save(str(tmp_path / "tokenizer.json"))
    encoding = pickle.loads(pickle.dumps(tokens.load_tokenizer_json(tmp_path / "tokenizer.json")))
    assert encoding.encode("abba") == [2, 1, 0]
    assert (encoding.count("abba"), encoding.count_batch(["ab", "aa"])) == (3, [1, 2])
    assert encoding.decode([2, 1]) == "ab b"
    assert copy.deepcopy(encoding).count("ab") == 1


def test_encode_and_decode_by_model():
    ids = tokens.encode("Ein Satz.", "gpt-4")
    assert tokens.decode(ids, encoding="cl100k_base") == "Ein Satz."


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_counts_in_a_forked_child():
    expected = ragmeter.count_tokens("forked 子进程")
    child = os.fork()
    if child == 0:
        os._exit(0 if ragmeter.count_tokens("forked 子进程") == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
