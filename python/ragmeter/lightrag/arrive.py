"""LightRAG is being imported in a process that `ragmeter run` has started."""

from __future__ import annotations

from ragmeter.launch import refuse

__all__ = ["arrive"]


def arrive(*, runs: bool) -> None:
    """Meter the API server, should this become one. Without runs there is nothing to meter."""
    if runs:
        from ragmeter.lightrag.server import instrument_server

        instrument_server(refuse=refuse)
