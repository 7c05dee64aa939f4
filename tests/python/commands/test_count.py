import argparse
import io
import json
from types import SimpleNamespace

import pytest

from ragmeter.commands import count as command
from ragmeter.tokens import count_tokens


@pytest.fixture
def count(capsys):
    def run(*arguments):
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        status = command.run(parser.parse_args([str(argument) for argument in arguments]))
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "a.txt").write_text("hello world")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.txt").write_text("一句话")
    (tmp_path / "sub" / "c.bin").write_bytes(b"\0\1\2")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "d.txt").write_text("not counted")
    return tmp_path


def test_counts_files_and_their_total(count, tree):
    status, out, err = count(tree)
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    second = count_tokens("一句话")
    assert (status, err) == (0, "")
    assert lines == [["2", str(tree / "a.txt")], [str(second), str(tree / "sub" / "b.txt")], [str(2 + second), "total"]]


def test_prints_json(count, tree):
    _, out, _ = count("--json", "--encoding", "cl100k_base", tree / "a.txt", tree / "sub" / "c.bin")
    assert json.loads(out) == {
        "encoding": "cl100k_base",
        "basis": "exact",
        "files": [
            {"path": str(tree / "a.txt"), "tokens": 2, "characters": 11, "bytes": 11},
            {"path": str(tree / "sub" / "c.bin"), "tokens": 3, "characters": 3, "bytes": 3},
        ],
        "total": {"tokens": 5, "characters": 14, "bytes": 14},
    }


def test_reads_standard_input(count, monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"hello world")))
    assert count("--model", "gpt-4") == (0, "2  -\n", "")


def test_says_when_it_is_an_estimate(count, tree):
    status, out, err = count("--model", "claude-opus-4-8", tree / "a.txt")
    assert (status, out) == (0, f"2  {tree / 'a.txt'}\n")
    assert err == "estimated with o200k_base: the tokenizer of this model is not public\n"


def test_a_file_that_is_not_there_does_not_stop_the_others(count, tree):
    status, out, err = count(tree / "none.txt", tree / "a.txt")
    assert (status, out) == (1, f"2  {tree / 'a.txt'}\n")
    assert err == f"ragmeter count: {tree / 'none.txt'}: No such file or directory\n"


def test_a_tokenizer_that_cannot_be_read_is_an_error(count, tree):
    status, out, err = count("--tokenizer", tree / "none.json", tree / "a.txt")
    assert (status, out) == (2, "")
    assert err.startswith("ragmeter count: [Errno 2] No such file or directory")


def test_the_bar_shows_what_is_done():
    stream = io.StringIO()
    with command._Progress(4 << 20, shown=True, stream=stream) as progress:
        progress.add(1 << 20)
        assert stream.getvalue() == "\r[#######                       ]  25%"
        progress.add(3 << 20)
    assert "100%" in stream.getvalue()
