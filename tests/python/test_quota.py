"""Quotas in each sums of the sums: what is reserved, settled and refused, and what is said about it."""

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from datetime import datetime, timezone
from decimal import Decimal
from urllib.parse import urlsplit

import pytest

import ragmeter
from ragmeter import Ledger, Quota, QuotaExceeded
from ragmeter.prices import Prices
from ragmeter.quota import QuotaUnavailable

REDIS = os.environ.get("RAGMETER_TEST_REDIS_URL") or "redis://127.0.0.1:6379/0"
PRICES = Prices({"m": {"input": "0.15", "output": "0.60"}})


@pytest.fixture
def nearby(tmp_path):
    """A quota for what does not depend on where the sums are."""
    return Quota.open(f"sqlite:{tmp_path}/ledger.db", lease=30, prices=PRICES)


@pytest.fixture
def quota(sums):
    return Quota.open(sums, lease=30, prices=PRICES)


def standing(quota, **scope):
    return {row["name"]: (row["used"], row["reserved"], row["remaining"]) for row in quota.usage(**scope)}


def await_all(heard, count):
    """What settling brings about is said by another thread."""
    deadline = time.monotonic() + 30
    while len(heard) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(heard) >= count


def refused(quota, tokens=1, money="0.000000000001", **scope):
    with pytest.raises(QuotaExceeded) as raised:
        quota.reserve(tokens, money=money, **scope)
    return raised.value


def test_what_is_reserved_is_settled_or_given_back(quota):
    quota.limit("acme", tokens=1000, tenant="acme")
    first, second = quota.reserve(600, tenant="acme"), quota.reserve(400, tenant="acme")
    assert standing(quota, tenant="acme") == {"acme": (0, 1000, 0)}
    refused(quota, tenant="acme")
    quota.reserve(10**6, tenant="other").settle(tokens=10**6)
    first.settle(tokens=500)
    first.settle(tokens=500)
    second.release()
    second.settle(tokens=400)
    assert quota.flush()
    assert standing(quota, tenant="acme") == {"acme": (500, 0, 500)}


def test_all_limits_that_apply_take_part_or_none(quota):
    quota.limit("tenant", tokens=1000, tenant="acme", per="day")
    quota.limit("each user", tokens=300, tenant="acme", user="*", per="24h")
    quota.limit("embeddings", calls=1, operation="embeddings", per="total")
    quota.limit("model", money="0.001", model="m")
    ann = {"tenant": "acme", "user": "ann", "model": "m", "operation": "chat"}
    quota.reserve(300, money="0.0004", **ann).settle(tokens=300, money="0.0004")
    assert refused(quota, **ann).quota == "each user"
    bob = ann | {"user": "bob", "operation": "embeddings"}
    with pytest.raises(QuotaExceeded) as raised:
        quota.reserve(1, money="0.000600000001", **bob)
    assert raised.value.quota == "model"
    quota.reserve(1, money="0.0006", **bob).settle(tokens=1, money="0.0006")
    assert refused(quota, **bob).quota in {"embeddings", "model"}
    assert standing(quota, **ann) == {
        "each user": (300, 0, 0),
        "model": (Decimal("0.001"), 0, 0),
        "tenant": (301, 0, 699),
    }
    assert standing(quota, **bob)["each user"] == (1, 0, 299)
    assert standing(quota, **bob)["embeddings"] == (1, 0, 0)


def test_a_refusal_says_everything(nearby):
    nearby.limit("acme", money="1.50", tenant="acme", user="*", per="month")
    scope = {"tenant": "acme", "user": "ann"}
    nearby.reserve(money="1", **scope).settle(money="0.9")
    kept = nearby.reserve(money="0.25", **scope)
    with pytest.raises(QuotaExceeded) as raised:
        nearby.reserve(money="0.350000000001", **scope)
    error = raised.value
    assert (error.quota, error.measure, error.counted_for) == ("acme", "money", "user=ann")
    assert (error.used, error.reserved, error.limit) == (Decimal("0.9"), Decimal("0.25"), Decimal("1.5"))
    assert error.asked == Decimal("0.350000000001")
    now = datetime.now(timezone.utc)
    assert error.resets_at.day == 1
    assert 0 < (error.resets_at - now).days + 1 <= 31
    assert error.ragflow.startswith("**ERROR**: QUOTA_EXCEEDED - quota 'acme' for user=ann is used up: 0.9 of 1.5")
    nearby.reserve(money="0.35", **scope).release()
    kept.release()


def test_an_unknown_price_is_refused_or_said(nearby):
    nearby.limit("money", money="1", tenant="acme")
    nearby.reserve(10, money="0.25", tenant="acme").settle(money="0.25")
    with pytest.raises(QuotaExceeded, match="nobody knows the price") as raised:
        nearby.reserve(10, tenant="acme")
    assert (raised.value.asked, raised.value.used, raised.value.limit) == (None, Decimal("0.25"), 1)
    nearby.limit("money", money="1", tenant="acme", unknown_price="allow")
    nearby.reserve(10, tenant="acme").settle(tokens=10)
    assert nearby.health()["unpriced"] == 1
    assert standing(nearby, tenant="acme") == {"money": (Decimal("0.25"), 0, Decimal("0.75"))}


def test_what_is_not_known_in_the_end_counts_as_it_was_reserved(nearby):
    nearby.limit("acme", tokens=100, tenant="acme")
    nearby.reserve(40, tenant="acme").settle()
    assert standing(nearby, tenant="acme") == {"acme": (40, 0, 60)}
    assert nearby.health()["settled_by_estimate"] == 1


def test_more_than_was_reserved_counts_too(nearby):
    nearby.limit("acme", tokens=100, tenant="acme")
    nearby.reserve(40, tenant="acme").settle(tokens=170)
    assert standing(nearby, tenant="acme") == {"acme": (170, 0, 0)}


def test_policies_warn_and_finish(nearby):
    heard = []
    nearby.on_warning(lambda warning: heard.append((warning["name"], warning["mark"], warning["used"])))
    nearby.limit("soft", tokens=100, tenant="acme", policy="warn", marks=[0.5, 0.9])
    nearby.limit("new ones", tokens=100, tenant="acme", policy="finish", marks=[])
    nearby.reserve(60, tenant="acme", run="first").settle(tokens=60)
    nearby.reserve(60, tenant="acme", run="first").settle(tokens=60)
    refused(nearby, tenant="acme", run="second")
    refused(nearby, tenant="acme")
    nearby.reserve(5, tenant="acme", run="first").settle(tokens=5)
    assert nearby.flush()
    await_all(heard, 3)
    # That it is passed is said once, and not of every call from now on.
    assert sorted(heard, key=str) == [("soft", 0.5, 60), ("soft", 0.9, 120), ("soft", None, 60)]


def test_a_mark_is_reached_once_whoever_reaches_it(sums):
    heard = []
    quotas = [Quota.open(sums) for _ in range(2)]
    for quota in quotas:
        quota.on_warning(lambda warning: heard.append(warning["mark"]))
    quotas[0].limit("acme", tokens=1000, tenant="acme", marks=[0.333, 0.8, 1])
    for number in range(10):
        quotas[number % 2].reserve(100, tenant="acme").settle(tokens=100)
    assert all(quota.flush() for quota in quotas)
    await_all(heard, 3)
    assert sorted(heard) == [0.333, 0.8, 1.0]


def test_a_limit_that_changes_moves_its_marks_along(quota):
    heard = []
    quota.on_warning(lambda warning: heard.append((warning["mark"], warning["used"], warning["limit"])))
    quota.limit("acme", tokens=100, tenant="acme", marks=[0.8])
    kept, other = quota.reserve(10, tenant="acme"), quota.reserve(90, tenant="acme")
    refused(quota, tenant="acme")
    other.settle(tokens=90)
    assert quota.flush()
    quota.limit("acme", tokens=120, tenant="acme", marks=[0.8])
    quota.reserve(20, tenant="acme").release()
    kept.settle(tokens=10)
    assert quota.flush()
    quota.limit("acme", tokens=50, tenant="acme", marks=[0.8])
    assert refused(quota, tenant="acme").limit == 50
    await_all(heard, 2)
    assert heard == [(0.8, 90, 100), (0.8, 100, 120)]
    assert standing(quota, tenant="acme") == {"acme": (100, 0, 0)}


def test_a_superuser_passes_and_is_written_down(quota):
    quota.limit("acme", tokens=10, tenant="acme")
    quota.reserve(10, tenant="acme", word=("root", "migration")).settle(tokens=10)
    assert quota.notes() == []
    quota.reserve(10, tenant="acme", word=("root", "migration")).settle(tokens=10)
    (note,) = quota.notes()
    assert (note["kind"], note["limit"], note["who"]) == ("override", "acme", "root")
    assert "migration" in note["text"]
    assert standing(quota, tenant="acme") == {"acme": (20, 0, 0)}
    assert quota.health()["overridden"] == 1


def test_limits_can_be_listed_changed_and_removed_from_elsewhere(sums):
    here, there = Quota.open(sums), Quota.open(sums)
    here.limit("a", tokens=10, tenant="acme", per="90m", marks=[0.5], policy="finish")
    here.limit("b", money="0.5", user="*", model="m", operation="chat", per="total", unknown_price="allow")
    a, b = there.list()
    assert (a["measure"], a["limit"], a["tenant"], a["user"], a["marks"]) == ("tokens", 10, "acme", None, [0.5])
    assert (b["limit"], b["user"], b["model"], b["per"]) == (Decimal("0.5"), "*", "m", "total")
    there.reserve(10, tenant="acme").settle(tokens=10)
    refused(there, tenant="acme")
    here.limit("a", tokens=11, tenant="acme", per="90m")
    there.reserve(1, tenant="acme").settle(tokens=1)
    refused(there, tenant="acme")
    assert here.remove("a")
    assert not here.remove("a")
    there.reserve(99, tenant="acme")


@pytest.mark.parametrize(
    "wrong",
    [
        {"tokens": 1, "calls": 1}, {}, {"tokens": -1}, {"tokens": 1, "per": "year"}, {"tokens": 1, "policy": "x"},
        {"money": "NaN"}, {"money": 0.1 + 1j}, {"tokens": 1, "marks": [0]}, {"tokens": 1, "tenant": "a\nb"},
        {"tokens": 10**19}, {"tokens": 1, "unknown_price": "x"},
    ],
)  # fmt: skip
def test_a_limit_that_makes_no_sense_is_refused(tmp_path, wrong):
    quota = Quota.open(f"sqlite:{tmp_path}/ledger.db")
    with pytest.raises((ValueError, OverflowError)):
        quota.limit("x", **wrong)
    assert quota.list() == []


def test_a_reservation_whose_keeper_is_gone_lapses_and_counts_when_it_is_settled_after_all(sums):
    quota = Quota.open(sums, lease=0.2)
    quota.limit("acme", tokens=100, tenant="acme")
    kept = quota.reserve(60, tenant="acme")
    time.sleep(0.5)
    assert standing(quota, tenant="acme") == {"acme": (0, 60, 40)}, "renewed while somebody has it"
    kept.settle(tokens=50)
    quota.reserve(30, tenant="acme")
    assert quota.flush()
    assert standing(quota, tenant="acme") == {"acme": (50, 0, 50)}, "given back when nobody has it"


def test_threads_share_what_is_left_exactly(quota):
    quota.limit("acme", tokens=1000, tenant="acme", user="*")
    taken, errors = [], []

    def work():
        while True:
            try:
                with quota.reserve(7, tenant="acme") as reserved:
                    reserved.settle(tokens=7)
                    taken.append(7)
            except QuotaExceeded:
                return
            except Exception as exc:  # noqa: BLE001 - told below
                errors.append(exc)
                return

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sum(taken) == 994
    assert standing(quota, tenant="acme") == {"acme": (994, 0, 6)}


def test_money_is_exact_far_beyond_doubles(quota):
    quota.limit("big", money="900000", tenant="acme")
    quota.reserve(money="899999.999999999999", tenant="acme").settle(money="899999.999999999998")
    with pytest.raises(QuotaExceeded):
        quota.reserve(money="0.000000000003", tenant="acme")
    quota.reserve(money="0.000000000002", tenant="acme").settle(money="0.000000000001")
    assert standing(quota, tenant="acme")["big"] == (Decimal("899999.999999999999"), 0, Decimal("1e-12"))


@pytest.mark.parametrize("url", ["redis://:s3cret@127.0.0.1:1/0", "postgresql://me:s3cret@127.0.0.1:1/x"])
def test_sums_that_cannot_be_reached_refuse_or_let_through_and_are_counted(url, caplog):
    closed, opened = Quota.open(url), Quota.open(url, when_down="open")
    with pytest.raises(QuotaUnavailable):
        closed.reserve(1, tenant="acme")
    opened.reserve(1, tenant="acme").settle(tokens=1)
    assert closed.health()["refused_blind"] == 1
    assert opened.health()["unguarded"] == 1
    assert "s3cret" not in caplog.text
    assert "s3cret" not in repr(closed)


def test_a_forked_child_reserves_by_itself(quota):
    quota.limit("acme", tokens=100, tenant="acme")
    kept = quota.reserve(50, tenant="acme")
    child = os.fork()
    if child == 0:
        try:
            quota.reserve(30, tenant="acme").settle(tokens=20)
            kept.settle(tokens=1)  # is its parent's to settle
            assert quota.flush()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    kept.settle(tokens=50)
    assert standing(quota, tenant="acme") == {"acme": (70, 0, 30)}


def test_a_run_takes_its_quota_along(nearby):
    assert ragmeter.current_scope() is None
    with ragmeter.run("outer", quota=nearby):
        with ragmeter.run("inner", tenant="acme"), ragmeter.label(role="x"):
            assert ragmeter.current_scope().quota is nearby
        token = ragmeter.carry()
    with ragmeter.resume(token):
        assert ragmeter.current_scope().quota is None
    with ragmeter.resume(token, quota=nearby):
        assert ragmeter.current_scope().quota is nearby


class Gate:
    """Stands between a quota and its Redis, and can hold everything back."""

    def __init__(self, port):
        self.open, self.asked = threading.Event(), threading.Event()
        self.open.set()
        self._port, self._listening = port, socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(*pair, near), daemon=True).start()

    def _pass(self, source, drain, near):
        with source, drain:
            while data := source.recv(65536):
                if source is near:
                    if not self.open.is_set():
                        self.asked.set()
                    self.open.wait()
                drain.sendall(data)

    def close(self):
        self.open.set()
        self._listening.close()


@pytest.fixture
def gate():
    gate = Gate(urlsplit(REDIS).port or 6379)
    yield gate
    gate.close()


async def test_the_event_loop_goes_on_while_a_reservation_waits(gate):
    quota = Quota.open(f"redis://127.0.0.1:{gate.port}/0?namespace=ragmeter-test-{uuid.uuid4().hex}", lease=30)
    quota.limit("acme", tokens=1000, tenant="acme")
    order = []

    async def reserve(tokens):
        reserved = await quota.areserve(tokens, tenant="acme")
        order.append("reserved")
        return reserved

    try:
        first = await reserve(100)
        gate.open.clear()
        waiting = [asyncio.create_task(reserve(200)), asyncio.create_task(reserve(300))]
        assert await asyncio.to_thread(gate.asked.wait, 30)
        order.append("the loop goes on")
        first.settle(tokens=70)
        order.append("settling waits for nobody")
        waiting[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[1]
        gate.open.set()
        second = await waiting[0]
        assert order == ["reserved", "the loop goes on", "settling waits for nobody", "reserved"]
        assert await asyncio.to_thread(quota.flush)
        expected = {"acme": (70, 200, 730)}  # what was reserved for the cancelled one is given back
        for _ in range(1000):
            if standing(quota, tenant="acme") == expected:
                break
            await asyncio.sleep(0.01)
        assert standing(quota, tenant="acme") == expected
        second.settle(tokens=20)
        assert standing(quota, tenant="acme") == {"acme": (90, 0, 910)}, "whoever asks later finds it settled"
        assert quota.health()["lost"] == quota.health()["lapsed"] == 0
    finally:
        quota.remove("acme")


async def test_what_is_settled_in_a_loop_makes_room_at_once_and_warns(quota):
    heard = []
    quota.limit("acme", tokens=100, tenant="acme", marks=[0.5, 1.0])
    quota.on_warning(heard.append)
    for _ in range(9):
        (await quota.areserve(20, tenant="acme")).settle(tokens=10)
    (await quota.areserve(10, tenant="acme")).settle(tokens=10)
    assert standing(quota, tenant="acme") == {"acme": (100, 0, 0)}
    with pytest.raises(QuotaExceeded):
        await quota.areserve(1, tenant="acme")
    await_all(heard, 2)
    assert [(warning["mark"], warning["used"]) for warning in heard] == [(0.5, 50), (1.0, 100)]


def test_a_call_that_was_recorded_and_not_settled_is_settled_from_the_ledger(sums, tmp_path):
    book = sums if not sums.startswith("redis") else f"sqlite:{tmp_path}/book.db"
    quota = Quota.open(sums, lease=0.2, prices=PRICES)
    quota.limit("acme", tokens=1000, tenant="acme")
    quota.limit("each user", calls=10, tenant="acme", user="*", per="24h")
    quota.limit("money", money="1", tenant="acme")
    scope = {"tenant": "acme", "user": "ann", "model": "m", "operation": "chat"}
    killed = """
import os, sys, ragmeter
from ragmeter.prices import Prices
quota = ragmeter.Quota.open(sys.argv[1], lease=0.2)
scope = {"tenant": "acme", "user": "ann", "model": "m", "operation": "chat"}
with ragmeter.Ledger.open(sys.argv[2]) as ledger:
    called, other = (quota.reserve(300, money="0.5", **scope) for _ in range(2))
    usage = ragmeter.Usage(input_tokens=100, output_tokens=20)
    ragmeter.record(usage, id=called.id, shares=[({"document": "a"}, 1), ({"document": "b"}, 2)], **scope)
    assert ledger.flush(30)
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", killed, sums, book], check=True)
    with Ledger.open(book, attach=False) as ledger:
        while standing(quota, **scope)["acme"][1]:
            time.sleep(0.05)
        assert standing(quota, **scope)["acme"] == (0, 0, 1000)
        assert quota.reconcile(ledger, **scope) == 1
        assert quota.reconcile(ledger, **scope) == 0
        cost = PRICES.cost(None, "m", {"input_tokens": 100, "output_tokens": 20})
        assert standing(quota, **scope) == {
            "acme": (120, 0, 880), "each user": (1, 0, 9), "money": (cost, 0, 1 - cost),
        }  # fmt: skip
        assert quota.health()["recovered"] == 1
        assert sum(call["usage"]["total_tokens"] for call in ledger.calls()) == 120
        assert ledger.verify()[1] == []


CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
static long long shift;
void set_shift(long long seconds) { shift = seconds; }
int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(id, now);
    if (id == CLOCK_REALTIME) now->tv_sec += shift;
    return done;
}
"""


@pytest.fixture(scope="module")
def with_a_clock(tmp_path_factory):
    """Environment of processes that set their own clock: `set_shift(seconds)`."""
    folder = tmp_path_factory.mktemp("clock")
    (folder / "clock.c").write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "clock.so", folder / "clock.c", "-ldl"], check=True)
    return {**os.environ, "LD_PRELOAD": str(folder / "clock.so")}


def test_who_stood_still_with_his_clock_ahead_counts_once_and_takes_nobodys_room(sums, with_a_clock):
    code = """
import ctypes, sys
ctypes.CDLL(None).set_shift(int(sys.argv[2]))
import ragmeter
quota = ragmeter.Quota.open(sys.argv[1], lease=0.4)
kept = quota.reserve(60, tenant="acme")
print(quota.usage(tenant="acme")[0]["reserved"], flush=True)
sys.stdin.readline()
kept.settle(tokens=50)
kept.settle(tokens=50)
kept.release()
assert quota.flush()
print(quota.health()["lapsed"], flush=True)
"""
    quota = Quota.open(sums, lease=0.4)
    quota.limit("acme", tokens=100, tenant="acme", per="day")
    ours = quota.reserve(30, tenant="acme")
    ahead = "0" if sums.startswith("sqlite") else "90000"  # a file has no clock but ours; a day and an hour
    child = subprocess.Popen(
        [sys.executable, "-c", code, sums, ahead],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=with_a_clock,
    )  # fmt: skip
    try:
        assert child.stdout.readline() == "90\n", "its clock lets nobody else's reservation lapse"
        child.send_signal(signal.SIGSTOP)
        while standing(quota, tenant="acme")["acme"][1] > 30:
            time.sleep(0.05)
        other = quota.reserve(70, tenant="acme")
        child.send_signal(signal.SIGCONT)
        assert child.communicate("\n", timeout=30)[0] == "1\n"
    finally:
        child.kill()
    assert standing(quota, tenant="acme") == {"acme": (50, 100, 0)}
    ours.settle(tokens=30)
    other.release()
    assert standing(quota, tenant="acme") == {"acme": (80, 0, 20)}


def test_a_call_over_midnight_counts_for_the_day_that_it_began_in(tmp_path, with_a_clock):
    code = """
import ctypes, sys, time
import ragmeter
clock, midnight = ctypes.CDLL(None), int(86_400 - time.time() % 86_400)
quota = ragmeter.Quota.open(sys.argv[1])
quota.limit("acme", tokens=100, tenant="acme", per="day")
clock.set_shift(midnight - 5)
standing = lambda: [(row["used"], row["reserved"]) for row in quota.usage(tenant="acme")]
print(standing())
kept = quota.reserve(100, tenant="acme")
try:
    quota.reserve(1, tenant="acme")
except ragmeter.QuotaExceeded as refusal:
    print(refusal.resets_at.timestamp() - time.time() < 10)
clock.set_shift(midnight + 5)
print(standing())
other = quota.reserve(100, tenant="acme")
kept.settle(tokens=90)
print(standing())
other.settle(tokens=40)
print(standing())
"""
    url = f"sqlite:{tmp_path}/ledger.db"
    done = subprocess.run(
        [sys.executable, "-c", code, url], env=with_a_clock, check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["[(0, 0)]", "True", "[(0, 0)]", "[(0, 100)]", "[(40, 0)]"]
    with sqlite3.connect(tmp_path / "ledger.db") as book:
        days = book.execute("SELECT used, reserved FROM ragmeter_quota_counters ORDER BY begins").fetchall()
    assert days == [(90, 0), (40, 0)]


def test_counters_of_times_long_past_are_forgotten(nearby, tmp_path):
    nearby.limit("acme", tokens=100, tenant="acme", user="*", per="day")
    nearby.reserve(1, tenant="acme", user="ann").settle(tokens=1)
    assert nearby.flush()
    with sqlite3.connect(tmp_path / "ledger.db") as book:
        book.execute("UPDATE ragmeter_quota_counters SET ends = 1")
        again = Quota.open(nearby.url)
        book.commit()
        again.reserve(1, tenant="acme", user="bob").release()
        assert again.flush()
        assert book.execute("SELECT counted_for FROM ragmeter_quota_counters").fetchall() == [("user=bob",)]


def test_a_limit_that_is_set_again_is_no_change(nearby, tmp_path):
    def edition():
        with sqlite3.connect(tmp_path / "ledger.db") as book:
            return book.execute("SELECT value FROM ragmeter_marks WHERE name = 'quota_limits'").fetchone()

    nearby.limit("acme", tokens=100, tenant="acme", per="90m")
    before = edition()
    nearby.limit("acme", tokens=100, tenant="acme", per="90m")
    assert edition() == before
    nearby.limit("acme", tokens=100, tenant="acme", per="90m", marks=[0.5])
    assert edition() != before


@pytest.mark.parametrize("sums", ["redis"], indirect=True)
def test_redis_forgets_by_itself_what_is_over(sums):
    quota = Quota.open(sums)
    quota.limit("day", tokens=100, user="*", per="day")
    quota.limit("window", tokens=100, user="*", per="2h")
    quota.limit("total", tokens=100, user="*", per="total")
    refused(quota, 101, user="bob")
    kept = quota.reserve(10, user="ann")
    quota.reserve(10, user="ann").settle(tokens=5)
    assert quota.flush()
    from redis import Redis

    with Redis.from_url(REDIS) as client:
        name = sums.rsplit("=", 1)[1]
        left = sorted(client.ttl(key) for key in client.scan_iter(f"{{{name}}}:quota:[cl]:*", count=1000))
    assert left[:2] == [-1, -1]
    day = 86_400
    assert all(2 * day < seconds <= 3 * day for seconds in left[2:])
    assert len(left) == 7, "bob's was refused at the first of them"
    kept.release()
