"""What recording costs, side by side with the usual way: a ContextVar, a lock and a dict of counters.

The usual way is written here as RAGFlow and its kin have it. Both run in one process, in turns; the best of many short
rounds counts, so that whatever else the machine does cancels out.
"""

import sys
import threading
import timeit
from contextvars import ContextVar

import ragmeter

ROUNDS, CALLS = 60, 5_000

_sink: ContextVar[dict | None] = ContextVar("sink", default=None)
_lock = threading.Lock()


def usual_record(prompt_tokens=0, completion_tokens=0, total_tokens=0):
    sink = _sink.get()
    if sink is None:
        return
    try:
        with _lock:
            sink["prompt_tokens"] += int(prompt_tokens or 0)
            sink["completion_tokens"] += int(completion_tokens or 0)
            sink["total_tokens"] += int(total_tokens or 0)
            sink["calls"] += 1
    except Exception:  # noqa: BLE001 - as the usual way does
        pass


USAGE = ragmeter.Usage(input_tokens=12, output_tokens=3)
CANDIDATES = {
    "usual": "usual_record(12, 3, 15)",
    "record_tokens": "record_tokens(12, 3)",
    "record_tokens, with a model": "record_tokens(12, 3, 'gpt-4o-mini')",
    "record, with labels": "record(usage, model='gpt-4o-mini', role='query')",
}
NAMES = {
    "usual_record": usual_record,
    "record_tokens": ragmeter.record_tokens,
    "record": ragmeter.record,
    "usage": USAGE,
}


def measure():
    best = dict.fromkeys(CANDIDATES, float("inf"))
    for _ in range(ROUNDS):
        for name, statement in CANDIDATES.items():
            best[name] = min(best[name], timeit.timeit(statement, globals=NAMES, number=CALLS) / CALLS)
    return best


def report(title, best):
    print(title)
    for name, seconds in best.items():
        print(f"  {name:28} {seconds * 1e9:7.0f} ns   {best['usual'] / seconds:5.1f} x")


def main():
    print(f"Python {sys.version.split()[0]}, best of {ROUNDS} rounds of {CALLS} calls, in turns")
    report("no run is active", measure())
    _sink.set({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "calls": 0})
    with ragmeter.run():
        report("a run is active", measure())
    with ragmeter.run(tenant="acme", user="ann", session="s1"), ragmeter.run(document="d1"):
        report("two runs and four labels are active", measure())
    with ragmeter.run(keep_calls=1000):
        report("a run is active and keeps its calls", measure())


if __name__ == "__main__":
    main()
