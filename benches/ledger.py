"""Measures the ledger, each number side by side with what it is compared with, in the same run.

    python benches/ledger.py sqlite|servers|latency|reports [seconds]

Build the release version first (`make build`).
"""

import asyncio
import gc
import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path

import ragmeter
from ragmeter import Ledger, Usage

BATCH = 8192
LABELS = [
    {"model": f"m{n % 3}", "role": f"r{n % 4}", "tenant": f"t{n % 20}", "document": f"d{n}", "provider": "openai"}
    for n in range(200)
]
USAGE = Usage(input_tokens=1200, output_tokens=150, cache_read_tokens=0)


def rate(count, seconds):
    return f"{count / seconds:>10,.0f} calls/s"


def produce(seconds, ledger, most_behind=400_000):
    """Record for some seconds, never far ahead of the database; how many, until all of it is there."""
    scopes = []
    for labels in LABELS:
        with ragmeter.label(**labels):
            scopes.append(ragmeter.current_scope())
    begin, count, before = time.perf_counter(), 0, ledger.health()["written"]
    while time.perf_counter() - begin < seconds:
        for scope in scopes:
            for _ in range(20):
                ragmeter.record(USAGE, scope=scope)
        count += 20 * len(scopes)
        if count % 40_000 == 0 and count + before - ledger.health()["written"] > most_behind:
            time.sleep(0.05)
    assert ledger.flush(600)
    return count, time.perf_counter() - begin


def executemany(path, seconds):
    """The same rows without roll-ups, by Python's sqlite3; only the inserting counts."""
    with Ledger.open(f"sqlite:{path}", attach=False):
        pass
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = NORMAL")
    marks = ", ".join("?" * 14)
    insert = (
        "INSERT INTO ragmeter_calls (id, part, at, labels, run, attempt, origin, flags, response_id, service_tier, "
        f"cost, input_tokens, output_tokens, cache_read_tokens) VALUES ({marks})"
    )
    count, spent = 0, 0.0
    while spent < seconds:
        rows = []
        for n in range(BATCH):
            at = int(time.time() * 1e6)
            key = ((at // 1000) << 80 | 7 << 76 | 1 << 63 | count + n).to_bytes(16, "big")
            rows.append((key, 0, at, n % 200 * 7_654_321_987_654, None, 1, 0, 0, None, None, None, 1200, 150, 0))
        rows.sort()
        begin = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(insert, rows)
        connection.execute("COMMIT")
        spent += time.perf_counter() - begin
        count += BATCH
    connection.close()
    return count, spent


def sqlite(seconds):
    """In turns, so that both meet the same machine."""
    ours, theirs = [0, 0.0], [0, 0.0]
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(f"sqlite:{folder}/ours.db")
        for _ in range(6):
            for sums, (count, spent) in (
                (ours, produce(seconds / 6, ledger)), (theirs, executemany(f"{folder}/theirs.db", seconds / 6)),
            ):  # fmt: skip
                sums[0] += count
                sums[1] += spent
        assert ledger.verify()[1] == []
        ledger.close()
    print(
        f"sqlite: ledger with roll-ups {rate(*ours)}, executemany without {rate(*theirs)}, "
        f"ratio {ours[0] / ours[1] / (theirs[0] / theirs[1]):.2f} (at least 0.8 wanted)"
    )


def servers(seconds):
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from conftest import MYSQL, POSTGRES, connect, make_database

    for name, server in (("postgresql", POSTGRES), ("mysql", MYSQL)):
        url, remove = make_database(server)
        connection = connect(url)
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE spent (tenant INT PRIMARY KEY, n BIGINT NOT NULL)")
        cursor.executemany("INSERT INTO spent VALUES (%s, 0)", [(n,) for n in range(20)])
        ledger = Ledger.open(url, journal=tempfile.mkdtemp())
        ours, theirs = [0, 0.0], [0, 0.0]
        for _ in range(3):
            count, begin = 0, time.perf_counter()
            while time.perf_counter() - begin < seconds / 6:
                cursor.execute("UPDATE spent SET n = n + %s WHERE tenant = %s", (1350, count % 20))
                count += 1
            theirs[0] += count
            theirs[1] += time.perf_counter() - begin
            count, spent = produce(seconds / 6, ledger)
            ours[0] += count
            ours[1] += spent
        assert ledger.verify()[1] == []
        ledger.close()
        connection.close()
        remove()
        print(
            f"{name}: ledger {rate(*ours)}, one UPDATE a call {rate(*theirs)}, "
            f"ratio {ours[0] / ours[1] / (theirs[0] / theirs[1]):.1f} (at least 10 wanted)"
        )


def waited_for_a_core(threads):
    """Seconds that these threads were ready to run and had to wait, as the kernel counts them."""
    paths = (Path(f"/proc/self/task/{thread}/schedstat") for thread in threads)
    return sum(int(path.read_text().split()[1]) for path in paths) / 1e9


def latency(seconds):
    """`record` with and without a ledger, in turns of a few milliseconds; and the stalls of a loop beside it."""
    folder = tempfile.mkdtemp()
    ledger = Ledger.open(f"sqlite:{folder}/ledger.db")
    times = {True: [], False: []}
    gc.disable()
    with ragmeter.run():
        begin, clock = time.perf_counter(), time.perf_counter_ns
        while time.perf_counter() - begin < seconds:
            for attached in (True, False):
                (ledger.attach if attached else ledger.detach)()
                found = times[attached]
                for _ in range(500):
                    before = clock()
                    ragmeter.record(USAGE, model="m", tenant="t", role="r")
                    found.append(clock() - before)
                time.sleep(0.002)
    ledger.attach()
    gc.enable()

    def at(found, share):
        return sorted(found)[int(len(found) * share)]

    for share in (0.5, 0.99, 0.999):
        with_one, without = at(times[True], share), at(times[False], share)
        print(f"record, {share:.1%}: {with_one:,} ns with, {without:,} ns without, ratio {with_one / without:.2f}")

    async def stalls(attached):
        """How many there were, how many of them for another reason than that no core was free, and the worst."""
        (ledger.attach if attached else ledger.detach)()
        stop, found = time.perf_counter() + seconds / 4, []
        threads, over = [threading.get_native_id()], threading.Event()

        def work():
            while not over.is_set():
                for _ in range(100):
                    ragmeter.record(USAGE, model="m", tenant="t")
                time.sleep(0.001)

        thread = threading.Thread(target=work)
        thread.start()
        threads.append(thread.native_id)
        while time.perf_counter() < stop:
            before, starved = time.perf_counter(), waited_for_a_core(threads)
            await asyncio.sleep(0.001)
            found.append((time.perf_counter() - before - 0.001, waited_for_a_core(threads) - starved))
        over.set()
        thread.join()
        long = [(gap, starved) for gap, starved in found if gap > 0.010]
        return len(long), sum(gap - starved > 0.010 for gap, starved in long), max(gap for gap, _ in found)

    for attached in (True, False, True, False):
        found, own, worst = asyncio.run(stalls(attached))
        print(
            f"asyncio {'with' if attached else 'without'} ledger: {found} stalls over 10 ms, "
            f"{own} of them though a core was free, worst {worst * 1e3:.1f} ms"
        )
    ledger.close()


def reports(url):
    """Each of the documented reports; fill the ledger first with `cargo run --release --example fill`."""
    ledger = Ledger.open(url, attach=False)
    questions = {
        "by tenant, model, last 7 days": {"by": ["tenant", "model"], "since": "7d"},
        "by tenant, all time": {"by": ["tenant"]},
        "by model, role, all time": {"by": ["model", "role"]},
        "by tenant, by day, 30 days": {"by": ["tenant"], "since": "30d", "bucket": "day"},
        "by model, by month": {"by": ["model"], "bucket": "month"},
        "one tenant by role, by hour, 2 days": {
            "by": ["role"], "where": {"tenant": "tenant-3"}, "since": "2d", "bucket": "hour"},
        "everything": {},
    }  # fmt: skip
    for name, question in questions.items():
        spent = []
        for _ in range(5):
            begin = time.perf_counter()
            rows = ledger.usage(**question)
            spent.append(time.perf_counter() - begin)
        print(f"{name}: {len(rows)} rows in {sorted(spent)[2] * 1e3:.0f} ms (at worst {max(spent) * 1e3:.0f})")
    begin = time.perf_counter()
    rows = ledger.document("upload-17", by=["role"])
    print(f"one upload by role: {len(rows)} rows in {(time.perf_counter() - begin) * 1e3:.0f} ms")


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "reports":
        reports(rest[0])
    else:
        {"sqlite": sqlite, "servers": servers, "latency": latency}[what](float(rest[0]) if rest else 60.0)
