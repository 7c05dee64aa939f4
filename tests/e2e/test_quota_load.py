"""Quotas under load: several processes with many callers each want the same tenant's tokens.

`make quota-load` runs it with 8 processes of 32 callers each.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ragmeter import Ledger, Quota

WORKER = Path(__file__).parent / "quota_worker.py"
PROCESSES = int(os.environ.get("RAGMETER_QUOTA_PROCESSES") or 4)
CALLERS = int(os.environ.get("RAGMETER_QUOTA_CALLERS") or 4)
MOST = 100
"""More than a call is ever reserved for."""
LEASE = 1.0
"""Seconds after which the reservations of the dead are free. Those who live renew theirs, and say if they could not."""


@pytest.fixture
def start(sums, tmp_path):
    book = f"sqlite:{tmp_path}/book.db" if sums.startswith("redis") else sums
    Ledger.open(book, attach=False)
    running = []

    def start(calls, hold):
        name = str(len(running))
        options = [sums, book, tmp_path / name, name, CALLERS, calls, hold, LEASE]
        # stdout is a file: a pipe that nobody reads would hold the callers up.
        with (tmp_path / f"{name}.out").open("wb") as out:
            running.append(subprocess.Popen([sys.executable, WORKER, *map(str, options)], stdout=out))
        return running[-1]

    start.book = book
    start.journal = lambda which: tmp_path / str(which)
    start.said = lambda which: [
        (word, int(number)) for word, number in map(str.split, (tmp_path / f"{which}.out").read_text().splitlines())
    ]
    yield start
    for process in running:
        process.kill()
        process.wait()


def in_ledger(book, **where):
    rows = Ledger.open(book, attach=False).usage(where={"tenant": "acme", **where})
    return sum(row["usage"]["input_tokens"] for row in rows)


def standing(quota):
    (row,) = quota.usage(tenant="acme")
    return row["used"], row["reserved"]


def settled(said):
    return sum(number for word, number in said if word == "settled")


def test_what_is_settled_never_passes_the_limit(sums, start):
    limit = PROCESSES * CALLERS * 100
    quota = Quota.open(sums)
    quota.limit("acme", tokens=limit, tenant="acme", marks=[])
    processes = [start(1000, 0.001) for _ in range(PROCESSES)]
    while any(process.poll() is None for process in processes):
        used, reserved = standing(quota)
        assert used + reserved <= limit
        time.sleep(0.1)
    assert [process.returncode for process in processes] == [0] * PROCESSES
    said = [word for which in range(PROCESSES) for word in start.said(which)]
    used, reserved = standing(quota)
    assert (used, reserved) == (settled(said), 0)
    assert used == in_ledger(start.book)
    assert limit - MOST < used <= limit, "nobody was refused while there was room for the largest call"
    assert any(word == "refused" for word, _ in said)


def test_nobody_is_refused_in_vain_and_what_the_dead_had_reserved_comes_back(sums, start):
    quota = Quota.open(sums)
    quota.limit("acme", tokens=PROCESSES * CALLERS * 100 * MOST, tenant="acme", marks=[])
    living = [start(20, 0.02) for _ in range(PROCESSES // 2)]
    dying = [start(100, 2.0) for _ in range(PROCESSES - PROCESSES // 2)]
    names = range(len(living), len(living) + len(dying))
    while not all(start.said(name) for name in names):
        time.sleep(0.05)
    for process in dying:
        process.kill()
        process.wait()
    killed_at = time.monotonic()
    assert standing(quota)[1] > 0
    for process in living:
        assert process.wait() == 0
    living_until = time.monotonic()
    while standing(quota)[1] > 0:
        time.sleep(0.05)
    print(
        f"nothing reserved {time.monotonic() - killed_at:.1f} s after the kill, "
        f"{time.monotonic() - living_until:.1f} s after the last of the living; the lease is {LEASE} s"
    )

    said = {name: start.said(name) for name in range(PROCESSES)}
    assert not [word for words in said.values() for word, _ in words if word == "refused"]
    used, reserved = standing(quota)
    assert reserved == 0
    for name in range(len(living)):
        assert in_ledger(start.book, session=str(name)) == settled(said[name])
    acknowledged = sum(map(settled, said.values()))
    assert used <= acknowledged + len(dying) * CALLERS * MOST
    # Of a caller that was killed nobody but the ledger knows whether its last call was made.
    for name in names:
        with Ledger.open(start.book, durability="journal", journal=start.journal(name)) as ledger:
            assert ledger.flush(60)
    with Ledger.open(start.book, attach=False) as ledger:
        recovered = quota.reconcile(ledger, tenant="acme")
        print(f"{recovered} calls of killed callers were settled from the ledger")
        assert quota.reconcile(ledger, tenant="acme") == 0
    assert standing(quota) == (in_ledger(start.book), 0)
    assert standing(quota)[0] >= acknowledged
