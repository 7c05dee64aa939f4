"""What `increase_usage` costs its caller beside a record in memory, interleaved: p50 and p99 of single calls."""

from __future__ import annotations

import tempfile
import time

import ragmeter
from ragmeter.ledger import Ledger
from ragmeter.tenants import TenantLLMService

ROUNDS, CALLS = 20, 5_000


def quantiles(times):
    times = sorted(times)
    return times[len(times) // 2], times[len(times) * 99 // 100]


def timed(function, times):
    clock = time.perf_counter_ns
    for _ in range(CALLS):
        began = clock()
        function()
        times.append(clock() - began)


def remember():
    usage = ragmeter.Usage(input_tokens=100, output_tokens=0)
    ragmeter.record(usage, tenant="acme", model="gpt", provider="openai", operation="chat")


def main():
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(f"sqlite:{folder}/ledger.db")
        service = TenantLLMService(ledger)
        memory, counted = [], []
        for _ in range(ROUNDS):
            ledger.detach()
            with ragmeter.run(tenant="acme"):
                timed(remember, memory)
            ledger.attach()
            timed(lambda: service.increase_usage("acme", "chat", 100, "gpt@OpenAI"), counted)
        ledger.close(60)
    for name, times in [("record in memory", memory), ("increase_usage", counted)]:
        p50, p99 = quantiles(times)
        print(f"{name:<18} p50 {p50 / 1000:8.2f} µs   p99 {p99 / 1000:8.2f} µs")
    print(f"p99 ratio          {quantiles(counted)[1] / quantiles(memory)[1]:.1f} (bar: 5)")


if __name__ == "__main__":
    main()
