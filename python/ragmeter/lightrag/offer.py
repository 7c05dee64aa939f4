"""Offer: a model function that takes a token tracker is handed one, for what no observer of an SDK sees.

Only a parameter that is called `token_tracker` says so; of `**kwargs` nobody can tell what becomes of them.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from ragmeter._native import Usage, extract_usage
from ragmeter.meter import guard
from ragmeter.witness import open_call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ragmeter.witness import OpenCall

__all__ = ["offering"]

_PARAMETER = "token_tracker"


def offering(raw: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return `raw`, or where it takes a token tracker and none was given, `raw` with one that tells its open call."""
    if not _takes_tracker(raw):
        return raw

    @functools.wraps(raw)
    async def offer(*args: Any, **kwargs: Any) -> Any:
        call = open_call()
        if call is not None and kwargs.get(_PARAMETER) is None:
            kwargs[_PARAMETER] = _Teller(call)
        return await raw(*args, **kwargs)

    return offer


def _takes_tracker(raw: Any) -> bool:
    with guard("looking at a model function"):
        try:
            parameter = inspect.signature(raw).parameters.get(_PARAMETER)
        except (TypeError, ValueError):
            return False
        # A partial that has one set already shows it as its default.
        by_name = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return parameter is not None and parameter.kind in by_name and parameter.default in (None, parameter.empty)
    return False


class _Teller:
    """LightRAG's tracker as a model function sees it; what it is told counts if no observer saw the call."""

    def __init__(self, call: OpenCall) -> None:
        self._call = call

    def add_usage(self, token_counts: dict[str, Any]) -> None:
        """Take what the provider said of one request."""
        with guard("hearing a token tracker"):
            if not self._call.observed:
                self._call.tell(extract_usage({"usage": token_counts}) or Usage(origin="unknown"))
