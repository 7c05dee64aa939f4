"""Reserves and settles with many threads at once, and says on its output what it has settled and what was refused.

quota_worker.py URL LEDGER JOURNAL NAME THREADS CALLS HOLD LEASE
"""

import os
import random
import sys
import threading
import time

import ragmeter
from ragmeter import Ledger, Quota, QuotaExceeded

url, book, journal, name, threads, calls, hold, lease = sys.argv[1:]
quota = Quota.open(url, lease=float(lease))
ledger = Ledger(book, "journal", journal)
ledger._begin()


def work(number):
    draw = random.Random(f"{name}.{number}")
    for _ in range(int(calls)):
        most = draw.randrange(1, 100)
        try:
            reserved = quota.reserve(most, tenant="acme")
        except QuotaExceeded:
            os.write(1, b"refused %d\n" % most)
            if draw.random() < 0.2:
                return
            continue
        time.sleep(draw.random() * float(hold))
        spent = draw.randrange(0, most + 1)
        # In the order of the observers: what a kill keeps from being settled is in the ledger.
        usage = ragmeter.Usage(input_tokens=spent, output_tokens=0)
        ragmeter.record(usage, tenant="acme", session=name, id=reserved.id)
        reserved.settle(tokens=spent)
        os.write(1, b"settled %d\n" % spent)


workers = [threading.Thread(target=work, args=(number,)) for number in range(int(threads))]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
assert quota.flush()
assert quota.health()["lapsed"] == 0, "the lease was too short for this machine"
assert ledger.close(30)
