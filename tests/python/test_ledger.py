"""The ledger in each database: what goes in comes out once, and adds up."""

import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

import ragmeter
from ragmeter import Ledger, LedgerError, Usage
from ragmeter.cli import main
from ragmeter.ledger import micros
from ragmeter.prices import Prices

NOW = int(time.time() * 1e6)


@pytest.fixture
def ledger(database, tmp_path):
    with Ledger.open(database, journal=tmp_path / "journal") as ledger:
        yield ledger


def put(ledger, *calls):
    """Record calls given as (labels, counts)."""
    for labels, counts in calls:
        ragmeter.record(Usage(**counts), **labels)
    assert ledger.flush(20)


def test_what_is_recorded_comes_out_as_it_went_in(ledger):
    names = [
        "provider", "model", "operation", "role", "document", "track_id", "file_path",
        "tenant", "user", "session", "component", "tool",
    ]  # fmt: skip
    labels = {name: f'the {name}\'s \\ \t\n "x" ü 🙂 ' for name in names}
    usage = Usage(
        input_tokens=10, output_tokens=5, cache_read_tokens=4, characters=7, origin="estimated", response_id="a\tb\\"
    )
    with ragmeter.run() as run:
        put(ledger, (labels, {}))
        ragmeter.record(usage, attempt=3, **labels)
    assert ledger.flush(20)
    _, call = ledger.calls()
    assert call["labels"] == labels
    assert call["usage"] == usage.as_dict()
    assert (call["attempt"], call["part"], call["response_id"], call["run"]) == (3, 0, "a\tb\\", run.id)
    assert abs(call["at"] - NOW) < 3600e6


def test_labels_that_differ_in_case_or_in_a_space_stay_apart(ledger):
    put(ledger, *(({"tenant": tenant}, {"input_tokens": 1}) for tenant in ["acme", "Acme", "acme ", "äcme", "acme"]))
    assert {row["tenant"]: row["calls"] for row in ledger.usage(by=["tenant"])} == {
        "acme": 2, "Acme": 1, "acme ": 1, "äcme": 1,
    }  # fmt: skip
    assert [row["calls"] for row in ledger.usage(where={"tenant": "Acme"})] == [1]


def test_a_label_that_speaks_sql_is_a_label(ledger):
    hostile = "x'); DROP TABLE ragmeter_calls; -- \\"
    put(ledger, ({"tenant": hostile, "user": hostile}, {"input_tokens": 3}))
    assert ledger.usage(by=["user"], where={"tenant": hostile, "user": hostile})[0]["usage"]["input_tokens"] == 3
    assert [call["labels"]["tenant"] for call in ledger.calls(where={"tenant": hostile})] == [hostile]
    assert ledger.verify()[1] == []


def test_texts_of_any_kind_are_kept_as_far_as_every_database_can(ledger):
    texts = ["x" * 5000, "ü" * 1000, "a\0b" * 1000, "\x1b[31m", "line\nbreak", "租户"]
    for text in texts:
        ragmeter.record(Usage(input_tokens=2**64 - 1, response_id=f"\0{text}"), tenant=text)
    assert ledger.flush(20)
    assert ledger.health()["set_aside"] == 0
    for text in texts:
        assert [row["calls"] for row in ledger.usage(where={"tenant": text})] == [1]
        assert len(list(ledger.calls(where={"tenant": text}))) == 1
    assert ledger.usage()[0]["usage"]["input_tokens"] == len(texts) * 10**12
    assert ledger.verify()[1] == []


def test_unknown_stays_unknown_in_every_sum(ledger, capsys):
    put(
        ledger,
        ({"model": "a"}, {"origin": "unknown"}),
        ({"model": "b"}, {"input_tokens": 0}),
        ({"model": "c"}, {"origin": "unknown"}),
        ({"model": "c"}, {"input_tokens": 2, "output_tokens": 1}),
    )
    rows = {row["model"]: row for row in ledger.usage(by=["model"])}
    assert "input_tokens" not in rows["a"]["usage"]
    assert rows["b"]["usage"]["input_tokens"] == 0
    assert "output_tokens" not in rows["b"]["usage"]
    assert rows["c"]["usage"]["origin"] == "mixed"
    assert (rows["a"]["unknown_calls"], rows["b"]["unknown_calls"], rows["c"]["calls"]) == (1, 0, 2)
    assert main(["report", "--ledger", ledger.url]) == 0
    assert capsys.readouterr().out.split()[:4] == ["model", "calls", "unknown", "input"]


def test_one_call_that_several_share_is_one_call_and_adds_up(ledger):
    shares = [({"document": "a"}, 1), ({"document": "b"}, 2)]
    ragmeter.record(Usage(input_tokens=100, output_tokens=0), model="embed", shares=shares)
    assert ledger.flush(20)
    (whole,) = ledger.usage(by=["model"])
    assert (whole["calls"], whole["usage"]["input_tokens"]) == (1, 100)
    assert {row["document"]: row["usage"]["input_tokens"] for row in ledger.usage(by=["document"])} == {
        "a": 33,
        "b": 67,
    }
    assert len({call["id"] for call in ledger.calls()}) == 1


def test_pages_of_calls_hold_each_call_once(ledger):
    with ragmeter.run():
        for number in range(250):
            ragmeter.record(Usage(input_tokens=number), shares=[({"document": "a"}, 1), ({"document": "b"}, 1)])
    assert ledger.flush(20)
    seen = [(call["id"], call["part"]) for call in ledger.calls(page=7)]
    assert len(seen) == len(set(seen)) == 500
    assert seen == sorted(seen)
    assert len(list(ledger.calls(where={"document": "a"}, since=timedelta(hours=1)))) == 250
    assert list(ledger.calls(until=timedelta(hours=1))) == []


def test_time_is_divided_and_cut_by_whole_hours(ledger):
    put(ledger, ({"model": "m"}, {"input_tokens": 1}))
    now = int(time.time() * 1e6)  # the hour may have changed since this page was read
    for bucket in ["hour", "day", "month"]:
        (row,) = ledger.usage(bucket=bucket)
        assert row["at"] <= now
        assert row["at"] % 3_600_000_000 == 0
    assert ledger.usage(since="1h")
    assert ledger.usage(until=now + 60_000_000)
    assert ledger.usage(until="3h") == []
    assert ledger.usage(since=now + 7_200_000_000) == []


def test_a_document_is_found_by_its_track_id_and_by_its_own(ledger):
    put(
        ledger,
        ({"track_id": "t1", "document": "d1", "role": "extract"}, {"input_tokens": 5}),
        ({"track_id": "t1", "document": "d2", "role": "summary"}, {"input_tokens": 7}),
        ({"track_id": "t2", "document": "d3", "role": "summary"}, {"input_tokens": 11}),
    )
    assert {row["role"]: row["usage"]["input_tokens"] for row in ledger.document("t1", by=["role"])} == {
        "extract": 5, "summary": 7,
    }  # fmt: skip
    assert [row["usage"]["input_tokens"] for row in ledger.document("d3", by=[])] == [11]
    assert ledger.document("nobody") == []


def test_what_is_pruned_stays_in_the_rollups(ledger):
    put(ledger, *(({"model": "m"}, {"input_tokens": 1}) for _ in range(30)))
    assert ledger.prune(timedelta(hours=2)) == 0
    assert ledger.prune(NOW + 7_200_000_000) == 30
    assert list(ledger.calls()) == []
    assert ledger.usage()[0]["calls"] == 30
    assert ledger.verify() == (0, [])


def test_old_calls_are_pruned_from_the_command_line(tmp_path, capsys):
    url = f"sqlite:{tmp_path}/ledger.db"
    with Ledger.open(url) as ledger:
        put(ledger, ({"model": "m"}, {"input_tokens": 1}))
    tomorrow = (datetime.now(timezone.utc) + timedelta(days=1)).isoformat()
    assert main(["prune", "90d", "--ledger", url]) == 0
    assert main(["prune", tomorrow, "--ledger", url]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "0 calls removed; their sums stay",
        "1 call removed; their sums stay",
    ]
    assert main(["prune", "soon", "--ledger", url]) == 2
    assert Ledger.open(url, attach=False).usage()[0]["calls"] == 1


def test_verify_finds_a_rollup_that_was_tampered_with(database, tmp_path, capsys, tamper):
    with Ledger.open(database, journal=tmp_path / "journal") as ledger:
        put(ledger, *(({"model": "m", "tenant": str(n)}, {"input_tokens": 1}) for n in range(3)))
    assert main(["verify", "--ledger", database]) == 0
    tamper(database, "UPDATE ragmeter_hours SET input_tokens = input_tokens + 1 WHERE calls = 1")
    assert main(["verify", "--ledger", database]) == 1
    assert "3 of 9 rows of the roll-ups differ from their calls" in capsys.readouterr().out
    tamper(database, "UPDATE ragmeter_hours SET input_tokens = input_tokens - 1")
    tamper(database, "DELETE FROM ragmeter_details")
    assert main(["verify", "--ledger", database]) == 1


def test_a_newer_schema_is_left_alone(database, tmp_path, tamper):
    Ledger.open(database, journal=tmp_path / "journal").close()
    tamper(database, "INSERT INTO ragmeter_schema (version, at) VALUES (99, 0)")
    with pytest.raises(LedgerError, match="has schema 99, made by a newer ragmeter") as raised:
        Ledger.open(database, journal=tmp_path / "journal")
    assert raised.value.kind == "newer"


def test_what_a_cache_spared_stands_beside_the_calls(ledger, capsys):
    with ragmeter.run(tenant="acme", track_id="t1") as run:
        ragmeter.record(Usage(input_tokens=10, output_tokens=5), model="gpt-4o-mini", operation="chat")
        ragmeter._native.record_cache_hit(15, role="extract", operation="chat", model="gpt-4o-mini")
        ragmeter._native.record_cache_hit(4, role="extract", operation="chat", estimated=True)
    assert (run.totals.cache_hits, run.totals.saved_tokens) == (2, 19)
    assert ledger.flush(20)
    (row,) = ledger.usage(where={"track_id": "t1"})
    assert (row["calls"], row["reported_calls"], row["cache_hits"], row["saved_tokens"]) == (1, 1, 2, 19)
    assert row["usage"] == {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, "origin": "reported"}
    assert [(row["role"], row["saved_tokens"]) for row in ledger.usage(by=["role"])] == [(None, 0), ("extract", 19)]
    assert len(list(ledger.calls())) == 1
    assert ledger.verify()[1] == []
    prices = Prices({"gpt-4o-mini": {"input": "1", "output": "1"}})
    (row,) = ledger.usage(prices=prices)
    assert (row["cost"], row["priced_calls"], row["saved_tokens"]) == (Decimal("0.000015"), 1, 19)
    assert main(["report", "--by", "tenant", "--ledger", ledger.url]) == 0
    assert "saved" in capsys.readouterr().out


def test_a_ledger_of_an_older_ragmeter_is_brought_up_to_date(database, tmp_path, tamper):
    with Ledger.open(database, journal=tmp_path / "journal") as ledger:
        put(ledger, ({"model": "m"}, {"input_tokens": 3}))
    for name in ("calls", "hours", "days", "details"):
        for column in ("cache_hits", "saved_tokens"):
            # MySQL may have been killed between two columns.
            if database.startswith("mysql") and name == "calls":
                continue
            tamper(database, f"ALTER TABLE ragmeter_{name} DROP COLUMN {column}")
    tamper(database, "DELETE FROM ragmeter_schema WHERE version > 1")
    with Ledger.open(database, journal=tmp_path / "journal") as ledger:
        ragmeter._native.record_cache_hit(15)
        assert ledger.flush(20)
        (row,) = ledger.usage()
        assert (row["usage"]["input_tokens"], row["calls"], row["saved_tokens"]) == (3, 1, 15)
        assert ledger.verify()[1] == []


def test_the_same_journal_twice_adds_nothing(database, tmp_path):
    folder = tmp_path / "journal"
    writer = [sys.executable, "-c", (
        "import os, ragmeter\n"
        f"ledger = ragmeter.Ledger.open({database!r}, durability='journal', journal={str(folder)!r})\n"
        "for n in range(500): ragmeter.record_tokens(n, 1, 'm')\n"
        "ledger.flush(20)\n"
        "os._exit(0)\n"
    )]  # fmt: skip
    subprocess.run(writer, check=True)
    (left,) = folder.glob("*.journal")
    content = left.read_bytes()
    with Ledger.open(database, journal=folder) as ledger:
        assert ledger.flush(20)
        assert (ledger.health()["repeated"], ledger.health()["written"]) == (500, 0)
        (folder / "0000-again.journal").write_bytes(content[:-5])
        assert ledger.flush(20)
        assert (ledger.usage()[0]["calls"], ledger.verify()[1]) == (500, [])
        assert ledger.health()["damaged_bytes"] > 0
    assert list(folder.glob("*.damaged"))


def test_a_damaged_journal_loses_only_what_was_damaged(tmp_path):
    folder, url = tmp_path / "journal", f"sqlite:{tmp_path}/never.db"
    other = Ledger.open(url, durability="journal", journal=folder)
    for number in range(100):
        ragmeter.record_tokens(number, 0, "m")
    assert other.flush(20)
    (left,) = folder.glob("*.journal")
    content = bytearray(left.read_bytes())
    other.close()
    content[len(content) // 2] ^= 0xFF
    (folder / "0000-damaged.journal").write_bytes(content + b"\xa7\x4d" + b"garbage")
    with Ledger.open(f"sqlite:{tmp_path}/ledger.db", journal=folder) as ledger:
        assert ledger.flush(20)
        assert ledger.usage()[0]["calls"] == 99


def test_the_journal_has_a_bound_and_says_so(tmp_path, caplog):
    url = "postgresql://postgres@127.0.0.1:1/nowhere"
    ledger = Ledger.open(url, durability="journal", journal=tmp_path, journal_limit=10_000)
    with caplog.at_level(logging.ERROR, "ragmeter"):
        for _ in range(200):
            ragmeter.record_tokens(1, 1, "m")
    health = ledger.health()
    assert 0 < health["refused"] < health["heard"] == 200
    assert "has reached 10000 bytes" in caplog.text
    assert ledger.flush(0.1) is False
    ledger.close(0.1)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 10_000


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("postgresql://nobody:s3cret-word@127.0.0.1:5432/no_such_database_here", "refused"),
        ("mysql://nobody:s3cret-word@127.0.0.1:3306/no_such_database_here", "refused"),
    ],
)
def test_a_wrong_login_is_a_clear_error_without_the_password(url, kind, tmp_path, caplog):
    with pytest.raises(LedgerError) as raised:
        Ledger.open(url, journal=tmp_path)
    assert raised.value.kind == kind
    assert "s3cret-word" not in str(raised.value) + caplog.text
    assert "nobody@127.0.0.1" in str(raised.value)
    assert "s3cret-word" not in repr(Ledger(url, journal=tmp_path))


@pytest.mark.parametrize("url", ["", "ledger.db", "redis://x/y", "postgresql://host", "sqlite:"])
def test_a_wrong_url_is_a_value_error(url):
    with pytest.raises(ValueError, match=r"URL|file"):
        Ledger.open(url)


def test_a_ledger_that_cannot_be_opened_never_stops_the_host(tmp_path):
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"this is no database " * 1000)
    code = (
        "import ragmeter, time\n"
        "for _ in range(10): ragmeter.record_tokens(1, 1)\n"
        "time.sleep(0.3)\n"
        "print(ragmeter.health()['calls'])\n"
    )
    for url in [f"sqlite:{damaged}", "nonsense:", "postgresql://a:b@127.0.0.1:1/x", "sqlite:/proc/nowhere/x.db"]:
        environment = {
            **os.environ, "RAGMETER_LEDGER": url, "RAGMETER_EXIT_TIMEOUT": "0.2",
            "RAGMETER_JOURNAL": str(tmp_path / "j"),
        }  # fmt: skip
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == "10\n"
        assert "ragmeter" in done.stderr


def test_a_damaged_file_is_named_and_its_calls_wait(tmp_path):
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"this is no database " * 1000)
    with pytest.raises(LedgerError, match="not a database") as raised:
        Ledger.open(f"sqlite:{damaged}", journal=tmp_path / "journal")
    assert raised.value.kind == "corrupt"
    ledger = Ledger(f"sqlite:{damaged}", "journal", tmp_path / "journal")
    ledger.attach()
    ragmeter.record_tokens(3, 4, "m")
    assert ledger.flush(0.3) is False
    damaged.unlink()  # somebody repairs it
    assert ledger.flush(20)
    assert ledger.usage()[0]["usage"]["total_tokens"] == 7
    ledger.close()


def test_a_file_that_must_not_be_written_is_a_clear_error(tmp_path):
    url = f"sqlite:{tmp_path}/ledger.db"
    Ledger.open(url).close()
    code = (
        "import os, sys, ragmeter, ragmeter.ledger\n"
        "if os.geteuid() == 0: os.setgid(65534), os.setuid(65534)\n"
        "try:\n"
        "    ledger = ragmeter.Ledger(sys.argv[1], 'relaxed', sys.argv[2])\n"
        "    ledger.attach()\n"
        "    ragmeter.record_tokens(1, 1)\n"
        "    print(ledger.flush(0.5), ledger.health()['exposed'])\n"
        "except ragmeter.LedgerError as error: print(error.kind)\n"
    )
    for parent in [tmp_path, *tmp_path.parents][:3]:
        parent.chmod(parent.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    done = subprocess.run(
        [sys.executable, "-c", code, url, str(tmp_path / "spool")], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False 1\n", done.stderr


def test_calls_reach_the_database_though_no_journal_can_be_written(tmp_path, caplog):
    (tmp_path / "file").touch()
    with Ledger.open(f"sqlite:{tmp_path}/ledger.db", durability="journal", journal=tmp_path / "file" / "j") as ledger:
        ragmeter.record_tokens(3, 4, "m")
        ledger.send("webhook", "a", "query", "{}")
        assert ledger.flush(20)
        assert ledger.usage()[0]["usage"]["total_tokens"] == 7
        assert len(ledger.letters("waiting")) == 1
        assert ledger.health()["exposed"] > 0
    assert "RAGMETER_JOURNAL names another folder" in caplog.text


def test_a_file_that_somebody_removes_is_made_anew(tmp_path, caplog):
    with Ledger.open(f"sqlite:{tmp_path}/ledger.db") as ledger:
        ragmeter.record_tokens(1, 0, "before")
        assert ledger.flush(20)
        (tmp_path / "ledger.db").unlink()
        ragmeter.record_tokens(2, 0, "after")
        assert ledger.flush(20)
        assert [row["model"] for row in ledger.usage(by=["model"])] == ["after"]
    assert "is not there any more" in caplog.text


def test_the_environment_names_the_ledger(tmp_path):
    url = f"sqlite:{tmp_path}/ledger.db"
    code = "import ragmeter\nragmeter.record_tokens(3, 4, 'm')\n"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "RAGMETER_LEDGER": url}, check=True)
    assert list((tmp_path / "ledger.db-spool").glob("*")) == []
    shutil.copy(tmp_path / "ledger.db", tmp_path / "copy.db")  # and not what SQLite keeps beside it
    for name in ("ledger", "copy"):
        assert Ledger.open(f"sqlite:{tmp_path}/{name}.db", attach=False).usage()[0]["usage"]["total_tokens"] == 7


def test_a_host_that_is_told_to_end_flushes(tmp_path):
    url = f"sqlite:{tmp_path}/ledger.db"
    host = (
        "import asyncio, signal, ragmeter\n"
        "async def serve():\n"
        "    over = asyncio.Event()\n"
        "    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)\n"
        "    for _ in range(20_000): ragmeter.record_tokens(1, 1, 'm')\n"
        "    print('ready', flush=True)\n"
        "    await over.wait()\n"
        "    ragmeter.record_tokens(1, 1, 'last')\n"
        "asyncio.run(serve())\n"
    )
    environment = {**os.environ, "RAGMETER_LEDGER": url, "RAGMETER_EXIT_TIMEOUT": "60"}
    with subprocess.Popen([sys.executable, "-c", host], env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.terminate()
        assert process.wait(60) == 0
    calls = {row["model"]: row["calls"] for row in Ledger.open(url, attach=False).usage(by=["model"])}
    assert calls == {"m": 20_000, "last": 1}


@pytest.mark.parametrize(("text", "age"), [("7d", 7 * 86_400), ("12h", 43_200), ("30m", 1800), ("2w", 14 * 86_400)])
def test_an_age_is_that_long_ago(text, age):
    assert abs(micros(text) - (time.time() - age) * 1e6) < 5e6


def test_a_time_is_utc_unless_it_says_otherwise():
    assert micros("2026-11-22") == micros("2026-11-22T00:00:00Z") == micros("2026-11-22T02:00:00+02:00")
    with pytest.raises(ValueError, match="a time is an age"):
        micros("yesterday")
    assert micros("1960-01-01") == micros("99999d") == micros(timedelta(days=10**6)) == micros(-1) == 0
    assert micros(timedelta(days=-(10**7))) == micros(2**70) == micros("9999-12-31T23:59:59.999999")


async def test_aflush_waits_without_blocking_the_loop(tmp_path):
    with Ledger.open(f"sqlite:{tmp_path}/ledger.db") as ledger:
        ragmeter.record_tokens(1, 2)
        assert await ledger.aflush(20)
        assert ledger.usage()[0]["calls"] == 1


def test_what_another_sqlite_in_the_process_closes_stays_whole(tmp_path):
    path = tmp_path / "ledger.db"
    question = "SELECT count(*) FROM ragmeter_calls"
    ledger = Ledger.open(f"sqlite:{path}")
    try:
        for calls in range(1, 6):
            with ragmeter.run(tenant="acme"):
                ragmeter.record_tokens(12, 3)
            assert ledger.flush()
            here = sqlite3.connect(path)
            assert here.execute(question).fetchone() == (calls,)
            here.close()
        elsewhere = f"import sqlite3; print(*sqlite3.connect({str(path)!r}).execute({question!r}).fetchone())"
        assert subprocess.run([sys.executable, "-c", elsewhere], capture_output=True, check=True).stdout == b"5\n"
        assert path.with_name("ledger.db-wal").exists()
    finally:
        ledger.close()
