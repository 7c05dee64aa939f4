"""The ledger: the durable book of calls, in SQLite, PostgreSQL, MySQL or MariaDB. See docs/ledger.md."""

from ragmeter.ledger.ledger import Ledger, LedgerError, configure, current_ledger
from ragmeter.quantity import dollars, micros

__all__ = ["Ledger", "LedgerError", "configure", "current_ledger", "dollars", "micros"]
