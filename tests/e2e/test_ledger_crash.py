"""What was acknowledged at level `journal` is in the ledger once, whatever happens to the writer or the database.

`RAGMETER_KILL_ROUNDS=100` makes the long run of the kill rounds, `RAGMETER_OUTAGE=20` that of the outage (seconds).
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ragmeter
from ragmeter import Ledger, LedgerError

WRITER = Path(__file__).with_name("ledger_writer.py")
ROUNDS = int(os.environ.get("RAGMETER_KILL_ROUNDS", "10"))
OUTAGE = float(os.environ.get("RAGMETER_OUTAGE", "3"))
pytestmark = pytest.mark.timeout(60 + ROUNDS * 10 + OUTAGE * 30)  # millions of calls are read back


@pytest.fixture
def start():
    """Starts a writer, which does not outlive the test."""
    writers = []

    def start(url, journal, session, acknowledged, *rest):
        command = [sys.executable, WRITER, url, journal, session, acknowledged, *map(str, rest)]
        writers.append(subprocess.Popen(command))
        return writers[-1]

    yield start
    for writer in writers:
        writer.kill()
        writer.wait()


def acknowledged_in(*paths):
    """Numbers written before the kill; a line without its end does not count."""
    return [line for path in paths for line in Path(path).read_text().split("\n")[:-1]]


def check(ledger, session, acknowledged, spare=1):
    """All of the acknowledged calls are there, each once, and at most `spare` others that were on their way."""
    numbers = [call["response_id"] for call in ledger.calls(where={"session": session}, page=20_000)]
    assert len(numbers) == len(set(numbers))
    assert set(acknowledged) <= set(numbers)
    assert len(numbers) - len(set(acknowledged)) <= spare
    return len(numbers)


def test_a_killed_writer_loses_nothing_it_acknowledged(database, start, tmp_path):
    journal, chance, killed, total = tmp_path / "journal", random.Random(7), 0, 0
    with Ledger.open(database, journal=tmp_path / "other") as probe:
        probe.flush(10)
    for number in range(ROUNDS):
        session, path = f"round {number}", tmp_path / f"acknowledged {number}"
        writer = start(database, journal, session, path)
        while not path.exists() and writer.poll() is None:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.4))
        writer.send_signal(signal.SIGKILL)
        killed += writer.wait() == -signal.SIGKILL
    with Ledger.open(database, journal=journal, attach=False) as ledger:
        assert ledger.flush(120)
        for number in range(ROUNDS):
            total += check(ledger, f"round {number}", acknowledged_in(tmp_path / f"acknowledged {number}"))
        compared, differences = ledger.verify()
        assert differences == []
        assert compared > 0
        assert sum(row["calls"] for row in ledger.usage(by=["tenant"])) == total
    assert killed == ROUNDS
    print(f"{ROUNDS} rounds, {total} calls, {compared} rows verified")


def test_two_processes_race_on_one_database(database, start, tmp_path):
    paths = [tmp_path / "a", tmp_path / "b"]
    writers = [start(database, tmp_path / "journal", path.name, path, 5000) for path in paths]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    ledger = Ledger.open(database, attach=False)
    for path in paths:
        assert check(ledger, path.name, acknowledged_in(path), 0) == 5000
    assert ledger.verify()[1] == []


def test_forks_while_writing_lose_and_double_nothing(database, start, tmp_path):
    path = tmp_path / "a"
    writer = start(database, tmp_path / "journal", "s", path, 1000, "fork")
    assert writer.wait(120) == 0
    with Ledger.open(database, journal=tmp_path / "journal", attach=False) as ledger:
        assert ledger.flush(30)
        paths = sorted(tmp_path.glob("a*"))
        assert len(paths) == 21
        assert check(ledger, "s", acknowledged_in(*paths), 0) == 1000 + 20 * 20
        assert ledger.verify()[1] == []


def test_children_of_multiprocessing_flush_when_they_end(tmp_path):
    code = (
        "import multiprocessing, ragmeter\n"
        "def work(n):\n"
        "    for _ in range(10): ragmeter.record_tokens(n, 1, 'm')\n"
        "if __name__ == '__main__':\n"
        "    ragmeter.record_tokens(1, 1, 'parent')\n"
        "    for method in ['fork', 'spawn']:\n"
        "        children = [multiprocessing.get_context(method).Process(target=work, args=(n,)) for n in range(3)]\n"
        "        for child in children: child.start()\n"
        "        for child in children: child.join()\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    url = f"sqlite:{tmp_path}/ledger.db"
    subprocess.run([sys.executable, script], env={**os.environ, "RAGMETER_LEDGER": url}, check=True, timeout=60)
    with Ledger.open(url, attach=False) as ledger:
        assert {row["model"]: row["calls"] for row in ledger.usage(by=["model"])} == {"m": 60, "parent": 1}
        assert ledger.verify()[1] == []


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_database_that_goes_away_under_load_loses_nothing(kind, private_server, start, tmp_path):
    server, path = private_server(kind), tmp_path / "acknowledged"
    with pytest.raises(LedgerError, match=r"TLS|secure"):  # this one speaks plain text only
        Ledger(f"{server.url}?sslmode=verify-full").check()
    writer = start(server.url, tmp_path / "journal", "s", path)
    time.sleep(1.5)
    server.stop()
    before = path.stat().st_size
    time.sleep(OUTAGE)
    assert path.stat().st_size > before  # it went on
    server.start()
    time.sleep(1)
    writer.kill()
    writer.wait()
    with Ledger.open(server.url, journal=tmp_path / "journal", attach=False) as ledger:
        assert ledger.flush(120)
        count = check(ledger, "s", acknowledged_in(path))
        assert ledger.verify()[1] == []
    print(f"{count} calls, {OUTAGE} s without the server")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_refuses_loudly_and_keeps_what_it_acknowledged(small_disk, start, tmp_path):
    url, path = f"sqlite:{small_disk}/ledger.db", tmp_path / "acknowledged"
    writer = start(url, small_disk / "journal", "s", path)
    for _ in range(400):  # until it acknowledges no more
        size = path.stat().st_size if path.exists() else 0
        time.sleep(0.3)
        if size and path.stat().st_size == size:
            break
    assert writer.poll() is None  # the host runs on
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    time.sleep(1)
    writer.kill()
    writer.wait()
    with Ledger.open(url, journal=small_disk / "journal", attach=False) as ledger:
        assert ledger.flush(60)
        numbers = [call["response_id"] for call in ledger.calls(page=20_000)]
        acknowledged = acknowledged_in(path)
        assert len(numbers) == len(set(numbers))
        assert set(acknowledged) <= set(numbers)
        assert ledger.verify()[1] == []
    assert ragmeter.health()["errors"] == 0
