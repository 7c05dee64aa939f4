"""increase_usage is exact across processes, kills and outages.

`RAGMETER_USAGE_CALLS=100000` (as `make usage-bar` does) counts that many instead of a few thousand.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ragmeter.ledger import Ledger
from ragmeter.tenants import TenantLLMService, Vault
from ragmeter.tenants.vault import new_key

CALLS = int(os.environ.get("RAGMETER_USAGE_CALLS") or 4000)
PROCESSES = 4
WRITER = Path(__file__).with_name("usage_writer.py")


def write(url, journal, *arguments):
    return subprocess.Popen([sys.executable, WRITER, url, str(journal), *map(str, arguments)])


def sums(count):
    """Tokens of the configured model and of the other one, as one writer counts them."""
    numbers = [(number % 2, number % 100) for number in range(count)]
    return tuple(sum(tokens for odd, tokens in numbers if odd == which) for which in (1, 0))


@pytest.mark.timeout(900)
def test_every_token_counts_once_from_four_processes(database, tmp_path):
    each = CALLS // PROCESSES
    with Ledger.open(database, journal=tmp_path / "mine") as ledger:
        service = TenantLLMService(ledger, Vault([new_key()]))
        service.create("acme", "OpenAI", "gpt", "chat")
        writers = [write(database, tmp_path / "journal", each) for _ in range(PROCESSES)]
        assert [writer.wait(600) for writer in writers] == [0] * PROCESSES
        (llm,) = service.list("acme")
        (other,) = service.unconfigured("acme")
        configured, unconfigured = sums(each)
        assert llm.used_tokens == PROCESSES * configured
        assert (other["model"], other["usage"]["total_tokens"]) == ("nobody", PROCESSES * unconfigured)
        assert service.usage("acme")["calls"] == PROCESSES * each
        assert ledger.verify()[1] == []


def test_what_a_killed_process_counted_is_brought_by_the_next(tmp_path):
    url, journal = f"sqlite:{tmp_path}/ledger.db", tmp_path / "journal"
    assert write(url, journal, 500, "kill").wait(60) == 9
    with Ledger.open(url, journal=journal) as ledger:
        assert ledger.flush(30)
        assert TenantLLMService(ledger, Vault([new_key()])).usage("acme")["used_tokens"] == sum(sums(500))


def test_the_caller_does_not_notice_that_the_database_is_away(tmp_path):
    journal = tmp_path / "journal"
    assert write("postgresql://nobody@127.0.0.1:9/none", journal, 500, "kill").wait(60) == 9
    with Ledger.open(f"sqlite:{tmp_path}/ledger.db", journal=journal) as ledger:
        assert ledger.flush(30)
        assert TenantLLMService(ledger, Vault([new_key()])).usage("acme")["used_tokens"] == sum(sums(500))
