"""Reserving and settling in Redis, beside a bare PING on the same connection and beside the same in PostgreSQL.

    python benches/quota.py [seconds]

Everything is interleaved in one process. Needs the servers of the tests (`tools/servers`) and a Redis, at
RAGMETER_TEST_POSTGRES_URL and RAGMETER_TEST_REDIS_URL.
"""

import os
import statistics
import sys
import threading
import time
import uuid

import psycopg
from redis import Redis

from ragmeter import Quota

REDIS = os.environ.get("RAGMETER_TEST_REDIS_URL") or "redis://127.0.0.1:6379/0"
POSTGRES = os.environ.get("RAGMETER_TEST_POSTGRES_URL") or "postgresql://postgres@127.0.0.1:5432/postgres"
SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
NAME = f"ragmeter_bench_{uuid.uuid4().hex[:12]}"


def call(quota):
    quota.reserve(100, tenant="acme", user="ann", model="m").settle(tokens=90)


def core_call(quota):
    """The same without the Python around the core."""
    hold, _ = quota.take(("acme", "ann", "m", None), 100, 1, None)
    hold.settle(90)


def latency(quota):
    """p50 in microseconds of a PING, of reserving, of settling and of both, one after the other.

    Settling waits for nothing: what it costs the sums is part of the next reservation, which takes it along.
    """
    spent = {"PING": [], "reserve": [], "settle": [], "reserve + settle": []}
    until = time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        begin = time.perf_counter()
        quota.ping()
        pinged = time.perf_counter()
        hold, _ = quota.take(("acme", "ann", "m", None), 100, 1, None)
        reserved = time.perf_counter()
        hold.settle(90)
        settled = time.perf_counter()
        for name, seconds in zip(
            spent, (pinged - begin, reserved - pinged, settled - reserved, settled - pinged), strict=True
        ):
            spent[name].append(seconds * 1e6)
    return {name: statistics.median(times) for name, times in spent.items()}


def throughput(quota, callers, seconds):
    counts = [0] * callers
    until = time.perf_counter() + seconds

    def work(number):
        while time.perf_counter() < until:
            core_call(quota)
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def main():
    postgres = POSTGRES.rsplit("/", 1)[0] + "/" + NAME
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {NAME}")
    try:
        places = {"Redis": Quota.open(f"{REDIS}?namespace={NAME}"), "PostgreSQL": Quota.open(postgres)}
        for quota in places.values():
            quota.limit("acme", tokens=10**15, tenant="acme", marks=[])
            call(quota)
        for name, quota in places.items():
            found = latency(quota)
            times = f"reserve + settle is {found['reserve + settle'] / found['PING']:.2f} × PING"
            print(f"{name:<11} p50 " + ", ".join(f"{what} {micros:.0f} µs" for what, micros in found.items()))
            print(f"{'':<11} {times}" + (" (bar: 3)" if name == "Redis" else ""))
        for callers in (1, 8):
            rates = {name: [] for name in places}
            for _ in range(5):
                for name, quota in places.items():
                    rates[name].append(throughput(quota, callers, SECONDS / 10))
            redis, server = (statistics.median(rates[name]) for name in places)
            print(
                f"{callers} callers: Redis {redis:,.0f}/s, PostgreSQL {server:,.0f}/s: {redis / server:.1f} × (bar: 5)"
            )
    finally:
        with psycopg.connect(POSTGRES, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {NAME} WITH (FORCE)")
        with Redis.from_url(REDIS) as client:
            for key in client.scan_iter(f"{{{NAME}}}:*"):
                client.delete(key)


if __name__ == "__main__":
    main()
