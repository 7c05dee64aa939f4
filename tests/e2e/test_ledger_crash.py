"""What was acknowledged at level `journal` is in the ledger once, whatever happens to the writer or the database.

`RAGMETER_KILL_ROUNDS=100` makes the long run of the kill rounds, `RAGMETER_OUTAGE=20` that of the outage (seconds).
"""

import os
import random
import shutil
import signal
import socket
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
pytestmark = pytest.mark.timeout(60 + ROUNDS * 10 + OUTAGE * 4)


def start(url, journal, session, acknowledged, *rest):
    return subprocess.Popen([sys.executable, WRITER, url, journal, session, acknowledged, *map(str, rest)])


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


def test_a_killed_writer_loses_nothing_it_acknowledged(database, tmp_path):
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


def test_two_processes_race_on_one_database(database, tmp_path):
    paths = [tmp_path / "a", tmp_path / "b"]
    writers = [start(database, tmp_path / "journal", path.name, path, 5000) for path in paths]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    ledger = Ledger.open(database, attach=False)
    for path in paths:
        assert check(ledger, path.name, acknowledged_in(path), 0) == 5000
    assert ledger.verify()[1] == []


def test_forks_while_writing_lose_and_double_nothing(database, tmp_path):
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


class Server:
    """A PostgreSQL or MariaDB server of the test's own."""

    def __init__(self, kind, folder):
        self.kind, self.folder, self.process = kind, folder, None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.user = "postgres" if kind == "postgresql" else "mysql"
        folder.mkdir()
        if os.geteuid() == 0:
            shutil.chown(folder, self.user)
            for parent in [folder, *folder.parents][:4]:
                parent.chmod(parent.stat().st_mode | 0o055)
        if kind == "postgresql":
            self.bin = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
            self.run([self.bin / "initdb", "-D", folder / "data", "-A", "trust", "-U", "postgres", "--no-sync"])
            self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        else:
            self.run(["mariadb-install-db", f"--datadir={folder}/data", "--auth-root-authentication-method=normal",
                      "--skip-test-db", "--force"])  # fmt: skip
            self.url = f"mysql://root@127.0.0.1:{self.port}/mysql"

    def as_user(self, command):
        return ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", *command] \
            if os.geteuid() == 0 else command  # fmt: skip

    def run(self, command):
        subprocess.run(self.as_user(command), check=True, capture_output=True, cwd=self.folder)

    def start(self):
        data, port = self.folder / "data", str(self.port)
        command = (
            [self.bin / "postgres", "-D", data, "-p", port, "-k", self.folder] if self.kind == "postgresql"
            else ["mariadbd", "--no-defaults", f"--datadir={data}", f"--port={port}", "--bind-address=127.0.0.1",
                  f"--socket={self.folder}/s", f"--pid-file={self.folder}/p", "--innodb-buffer-pool-size=64M"]
        )  # fmt: skip
        self.process = subprocess.Popen(
            self.as_user(command), cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(300):
            try:
                Ledger(self.url).check()
            except LedgerError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError("the server does not start")

    def stop(self):
        self.process.send_signal(signal.SIGQUIT if self.kind == "postgresql" else signal.SIGKILL)  # not gently
        self.process.wait(30)


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_database_that_goes_away_under_load_loses_nothing(kind, tmp_path):
    server, path = Server(kind, tmp_path / "server"), tmp_path / "acknowledged"
    server.start()
    try:
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
    finally:
        server.stop()
    print(f"{count} calls, {OUTAGE} s without the server")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_refuses_loudly_and_keeps_what_it_acknowledged(small_disk, tmp_path):
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
