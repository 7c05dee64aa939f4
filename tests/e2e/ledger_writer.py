"""Records calls as fast as it can until it is killed; writes the number of each one that is safe to a file.

ledger_writer.py URL JOURNAL SESSION ACKNOWLEDGED [COUNT [fork]]
"""

import os
import sys

import ragmeter
from ragmeter.ledger import Ledger

url, journal, session, path, *rest = sys.argv[1:]
count = int(rest[0]) if rest else 10**9
forks = "fork" in rest
ledger = Ledger(url, "journal", journal)
ledger._begin()


def write(session, acknowledged):
    before = 0
    for number in range(count):
        usage = ragmeter.Usage(input_tokens=number % 1000, output_tokens=1, response_id=str(number))
        ragmeter.record(usage, session=session, tenant=f"t{number % 5}", model="m")
        health = ledger.health()
        if health["refused"] + health["exposed"] == before:
            os.write(acknowledged, b"%d\n" % number)
        before = health["refused"] + health["exposed"]
        if forks and number % 50 == 49:
            fork(number)


def fork(number):
    if os.fork() == 0:
        write_in_child(number)
        ledger.flush(20)
        os._exit(0)
    os.wait()


def write_in_child(number):
    child = os.open(f"{path}.{number}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for offset in range(20):
        usage = ragmeter.Usage(input_tokens=1, output_tokens=1, response_id=f"{number}.{offset}")
        ragmeter.record(usage, session=session, tenant="child", model="m")
        os.write(child, b"%d.%d\n" % (number, offset))


write(session, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
ledger.close(30)
