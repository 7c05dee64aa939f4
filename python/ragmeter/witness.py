"""Witnesses: who saw a call, and which of them is believed.

A host's model function is wrapped in an `OpenCall` for as long as it runs. An observer of an SDK that sees a request
inside it reports that request itself; what a token tracker was told counts only if no observer saw anything; an
estimate from the texts counts only if nobody else said anything. So a call is recorded once, by its best witness.
"""

from __future__ import annotations

from ragmeter._native import OpenCall, call_variable, open_call

__all__ = ["OpenCall", "call_variable", "open_call"]
