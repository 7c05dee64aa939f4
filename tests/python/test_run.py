import json
import subprocess
import sys
import threading

import pytest

import ragmeter
from ragmeter import Usage
from ragmeter._native import record_cache_hit
from ragmeter.witness import OpenCall


def test_every_label_lands_under_its_own_name():
    names = [
        "provider", "model", "operation", "role", "document", "track_id", "file_path",
        "tenant", "user", "session", "component", "tool",
    ]  # fmt: skip
    with ragmeter.run(keep_calls=1) as run:
        ragmeter.record(Usage(input_tokens=1, output_tokens=2), **{name: f"the {name}" for name in names})
    assert run.calls_list()[0].labels == {name: f"the {name}" for name in names}
    for name in names:
        assert list(run.by(name)) == [f"the {name}"]


def test_half_a_character_in_a_name_loses_no_call():
    half = "caf\udce9.txt"  # a name of a file that is no UTF-8
    with ragmeter.run(half, tenant=half) as run:
        ragmeter.record(Usage(input_tokens=1, output_tokens=2, model=half), file_path=half)
        ragmeter.record_tokens(3, 4, half)
        record_cache_hit(5, model=half)
    assert (run.calls, run.usage.total_tokens) == (2, 10)
    shown = "caf\N{REPLACEMENT CHARACTER}"
    assert {(tenant[:4], model[:4]) for tenant, model in run.by("tenant", "model")} == {(shown, shown)}


def test_the_strongest_label_wins():
    said = Usage(input_tokens=1, output_tokens=1, model="gpt-4o-mini-2024-07-18", provider="openai")
    with ragmeter.run(tenant="acme", model="from the scope", keep_calls=3) as run:
        ragmeter.record_tokens(1, 1)
        ragmeter.record(said)
        ragmeter.record(said, model="given", tenant="other")
    assert [(call.labels["model"], call.labels["tenant"]) for call in run.calls_list()] == [
        ("from the scope", "acme"),
        ("gpt-4o-mini-2024-07-18", "acme"),
        ("given", "other"),
    ]


def test_by_several_labels_gives_tuples_and_none_for_a_missing_label():
    with ragmeter.run() as run:
        ragmeter.record_tokens(5, 1, "m1")
        with ragmeter.label(document="d1"):
            ragmeter.record_tokens(7, 1, "m1")
            ragmeter.record_tokens(9, 1, "m2")
    assert {key: totals.usage.input_tokens for key, totals in run.by("document", "model").items()} == {
        (None, "m1"): 5,
        ("d1", "m1"): 7,
        ("d1", "m2"): 9,
    }
    assert run.by("document")["d1"].calls == 2


@pytest.mark.parametrize("keys", [(), ("colour",)])
def test_by_refuses_what_is_no_label(keys):
    with ragmeter.run() as run, pytest.raises(TypeError, match="label"):
        run.by(*keys)


def test_a_run_keeps_the_newest_calls_it_was_asked_to_keep():
    with ragmeter.run(keep_calls=2) as run:
        for count in range(5):
            ragmeter.record_tokens(count, 0)
    assert [call.usage.input_tokens for call in run.calls_list()] == [3, 4]
    assert run.calls == 5
    assert len({call.id for call in run.calls_list()}) == 2


def test_as_dict_is_json():
    with ragmeter.run("a name") as run:
        ragmeter.record(Usage(input_tokens=3, output_tokens=4, cache_read_tokens=1))
    read = json.loads(json.dumps(run.as_dict()))
    assert read["name"] == "a name"
    assert read["calls"] == 1
    assert read["usage"] == {
        "input_tokens": 3, "output_tokens": 4, "cache_read_tokens": 1, "total_tokens": 7, "origin": "reported",
    }  # fmt: skip


@pytest.mark.parametrize("bad", ["5", -1, True, 1.5, float("nan"), 2**64, object(), [], b"7"])
def test_a_count_that_is_none_is_left_out_and_counted(bad):
    before = ragmeter.health()["dropped"]
    with ragmeter.run() as run:
        ragmeter.record_tokens(bad, 3)
    assert (run.usage.input_tokens, run.usage.output_tokens, run.calls) == (None, 3, 1)
    assert ragmeter.health()["dropped"] == before + 1


def test_counters_saturate():
    with ragmeter.run() as run:
        ragmeter.record_tokens(2**64 - 1, 2**64 - 1)
        ragmeter.record_tokens(10, 10)
    assert run.usage.input_tokens == run.usage.total_tokens == 2**64 - 1


def test_a_subset_never_exceeds_its_total():
    usage = Usage(input_tokens=5, cache_read_tokens=9)
    assert (usage.cache_read_tokens, usage.flags) == (5, ["clamped"])
    usage = Usage(cache_write_1h_tokens=4, cache_write_5m_tokens=7)
    assert (usage.cache_write_tokens, usage.input_tokens, usage.flags) == (7, 7, ["inferred"])


def test_a_sum_says_when_its_origins_differ():
    reported, estimated = Usage(input_tokens=1), Usage(input_tokens=2, origin="estimated")
    assert (reported + reported).origin == "reported"
    assert (reported + estimated).origin == "mixed"
    assert (reported + estimated).output_tokens is None


@pytest.mark.parametrize(
    ("counts", "error"),
    [
        ({"input_tokens": -1}, "input_tokens is a count from 0"),
        ({"input_tokens": "3"}, "input_tokens is a count from 0"),
        ({"prompt_tokens": 3}, "no count named 'prompt_tokens'"),
        ({"origin": "guessed"}, "not 'guessed'"),
    ],
)
def test_a_usage_refuses_what_is_no_count(counts, error):
    with pytest.raises((TypeError, ValueError), match=error):
        Usage(**counts)


def test_health_tells_attributed_calls_from_others():
    before = ragmeter.health()
    ragmeter.record_tokens(1, 1)
    with ragmeter.run():
        ragmeter.record_tokens(1, 1)
        ragmeter.record(Usage(origin="unknown"))
        ragmeter.record(Usage(input_tokens=1, origin="estimated"))
    after = {name: count - before[name] for name, count in ragmeter.health().items()}
    assert after == after | {"calls": 4, "reported": 2, "estimated": 1, "unknown": 1, "unattributed": 1, "dropped": 0}


def test_a_hundred_thousand_finished_runs_leave_no_memory_behind():
    # In a process of its own, so that what other tests keep alive does not blur the figure.
    program = """
import resource, ragmeter
def burn(n):
    for i in range(n):
        with ragmeter.run(f"run {i}", tenant=f"tenant {i}", session=f"session {i}", keep_calls=10):
            ragmeter.record_tokens(5, 5, f"model {i}")
            ragmeter.carry()
burn(2_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
burn(100_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    grown = int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout)
    assert grown < 1024, f"{grown} KiB more after 100,000 runs"


def test_a_forked_child_makes_ids_of_its_own():
    program = """
import os, ragmeter
def ids():
    with ragmeter.run(keep_calls=50) as run:
        for _ in range(50): ragmeter.record_tokens(1, 1)
    return [call.id for call in run.calls_list()]
ids()
read, write = os.pipe()
children = []
for _ in range(4):
    if (pid := os.fork()) == 0:
        os.write(write, ("\\n".join(ids()) + "\\n").encode())
        os._exit(0)
    children.append(pid)
for pid in children: os.waitpid(pid, 0)
os.close(write)
seen = os.fdopen(read).read().split() + ids()
print(len(seen), len(set(seen)), len({id[19:29] for id in seen}))
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    assert out.split() == ["250", "250", "5"]


def test_listeners_hear_every_call_and_cannot_break_it():
    beside, heard = ragmeter.Run("beside"), []

    def broken(call):
        raise RuntimeError("mine")

    errors = ragmeter.health()["errors"]
    with ragmeter.run(listeners=[beside, heard.append, broken]), ragmeter.run(role="extract") as inner:
        ragmeter.record_tokens(3, 4, "m")
    assert [(call.usage.total_tokens, call.labels) for call in heard] == [(7, {"role": "extract", "model": "m"})]
    assert beside.by("role") == inner.by("role")
    assert ragmeter.health()["errors"] == errors + 1


def test_a_call_that_several_share_is_one_call_and_told_apart_to_the_token():
    with ragmeter.run(role="embed", keep_calls=9) as run:
        ragmeter.record(
            Usage(input_tokens=10, output_tokens=0),
            model="m",
            shares=[({"document": "a"}, 1), ({"document": "b"}, 1), ({"document": "c", "model": "other"}, 1)],
        )
    assert (run.calls, run.usage.input_tokens) == (1, 10)
    assert {key: totals.usage.input_tokens for key, totals in run.by("document", "model", "role").items()} == {
        ("a", "m", "embed"): 4,
        ("b", "m", "embed"): 3,
        ("c", "other", "embed"): 3,
    }
    assert [call.part for call in run.calls_list()] == [0, 1, 2]
    assert len({call.id for call in run.calls_list()}) == 1


def test_records_from_many_threads_are_neither_lost_nor_doubled():
    def work(role):
        with ragmeter.label(role=role):
            for _ in range(10_000):
                ragmeter.record_tokens(7, 2)

    with ragmeter.run() as run:
        threads = [threading.Thread(target=ragmeter.bind(work), args=(f"role {number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (run.calls, run.usage.total_tokens) == (80_000, 720_000)
    assert [totals.calls for totals in run.by("role").values()] == [10_000] * 8


class Later:
    """A call whose usage takes long to work out."""

    def __init__(self):
        self.asked = 0

    def record(self, scope):
        def now():
            self.asked += 1
            return Usage(input_tokens=5, output_tokens=1, origin="estimated")

        OpenCall(scope, role="late").close(now)


def test_a_call_that_is_worked_out_later_is_in_every_total_and_worked_out_once():
    later, beside = Later(), ragmeter.Run("beside")
    with ragmeter.run() as outer, ragmeter.run(keep_calls=5, listeners=[beside]) as inner:
        later.record(ragmeter.current_scope())
        later.record(ragmeter.current_scope())
        assert later.asked == 0
        assert beside.calls == 2
        assert later.asked == 2
    for run in (outer, inner, beside):
        assert (run.calls, run.usage.total_tokens, list(run.by("role"))) == (2, 12, ["late"])
    assert len(inner.calls_list()) == 2
    assert later.asked == 2


def test_totals_that_are_read_while_an_estimate_is_worked_out_elsewhere_have_it():
    begun, go_on, totals = threading.Event(), threading.Event(), []

    def count():
        begun.set()
        assert go_on.wait(30)
        return Usage(input_tokens=5, output_tokens=1, origin="estimated")

    def read():
        totals.append(run.usage.total_tokens)

    with ragmeter.run() as run:
        OpenCall(ragmeter.current_scope(), role="late").close(count)
    threads = [threading.Thread(target=read) for _ in range(3)]
    threads[0].start()
    assert begun.wait(30)
    for thread in threads[1:]:
        thread.start()
    threads[1].join(0.1)
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert totals == [6, 6, 6]


def test_who_listens_does_not_wait_and_without_a_run_nothing_waits():
    later, heard = Later(), []
    with ragmeter.run(listeners=[heard.append]) as run:
        later.record(ragmeter.current_scope())
        assert [call.usage.total_tokens for call in heard] == [6]
    assert run.calls == 1
    later.record(None)
    assert later.asked == 2


def test_not_too_many_calls_wait():
    later = Later()
    with ragmeter.run() as run:
        for _ in range(100):
            later.record(ragmeter.current_scope())
        assert later.asked >= 64
    assert run.calls == later.asked == 100


def test_an_error_while_working_a_call_out_goes_no_further():
    errors = ragmeter.health()["errors"]
    with ragmeter.run() as run:
        OpenCall(ragmeter.current_scope()).close(lambda: 1 / 0)
    assert run.calls == 0
    assert ragmeter.health()["errors"] == errors + 1


def test_the_parts_of_a_shared_call_count_each_where_its_payer_is():
    with ragmeter.run() as whole:
        with ragmeter.run() as first:
            there = ragmeter.current_scope()
        with ragmeter.run() as second:
            shares = [({"document": "a"}, 1, None), ({"document": "b"}, 2, there)]
            ragmeter.record(ragmeter.Usage(input_tokens=10, output_tokens=0), shares=shares)
    assert {run.usage.input_tokens for run in (first, second)} == {3, 7}
    assert list(first.by("document")) == ["b"]
    assert first.calls + second.calls == whole.calls == 1
    assert whole.usage.input_tokens == 10


def test_what_a_cache_spared_is_no_call():
    from ragmeter._native import record_cache_hit

    listening = ragmeter.Run("listener")
    with ragmeter.run(listeners=[listening]) as outer, ragmeter.run() as inner:
        record_cache_hit(700, role="extract")
        record_cache_hit(30, role="query", estimated=True)
    for run in (outer, inner, listening):
        assert (run.calls, run.totals.cache_hits, run.totals.estimated_cache_hits) == (0, 2, 1)
        assert (run.by("role")["extract"].saved_tokens, run.totals.saved_tokens) == (700, 730)
        assert run.usage.total_tokens is None
