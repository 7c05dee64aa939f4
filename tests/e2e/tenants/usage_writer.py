"""Counts tokens for a tenant: usage_writer.py URL JOURNAL COUNT [kill]: `kill` dies without an orderly end."""

import os
import sys

from ragmeter.ledger import Ledger
from ragmeter.tenants import TenantLLMService

url, journal, count, *rest = sys.argv[1:]
service = TenantLLMService(Ledger.open(url, durability="journal" if rest else "relaxed", journal=journal))
for number in range(int(count)):
    service.increase_usage("acme", "chat", number % 100, "gpt@OpenAI" if number % 2 else "nobody@OpenAI")
if rest:
    os._exit(9)
service.ledger.close(120)
