"""Prices: what tokens cost, in exact decimals. An unknown price makes the cost unknown, never 0. See docs/ledger.md."""

from ragmeter.prices.prices import Prices
from ragmeter.prices.tariff import KINDS, Tariff

__all__ = ["KINDS", "Prices", "Tariff"]
