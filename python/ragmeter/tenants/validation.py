"""Validation: whether a key works, seen by calling a model with it."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from ragmeter.tenants.call import TenantCall
from ragmeter.tenants.careful import Care
from ragmeter.tenants.hush import hushed
from ragmeter.tenants.reach import Reach
from ragmeter.tenants.ready import ready_model
from ragmeter.tenants.trouble import explain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ragmeter.tenants.catalog import Catalog
    from ragmeter.tenants.models import TenantLLM

__all__ = ["PROBES", "Validator", "Verdict"]

_PATIENCE = 0.5
"""Seconds that a call may take to notice that its time is over."""

ERROR = "**ERROR**"
"""What RAGFlow's chat models answer with instead of raising."""


class Verdict(NamedTuple):
    """What became of a try.

    `works` is None where it could not be tried; `message` says precisely what failed, without secrets.
    """

    works: bool | None
    message: str


class Validator:
    """Tries keys.

    Args:
        catalog: Says where factories are.
        timeout: Seconds for each call; None for `LLM_TIMEOUT_SECONDS` of the environment, else 10.
        reach: What a stranger's URL may lead to; None for public addresses and those of `RAGMETER_ALLOW_NETWORKS`.
        open_model: Makes the object that talks to a model, or returns None; ours by default.
    """

    def __init__(
        self,
        catalog: Catalog,
        timeout: float | None = None,
        reach: Reach | None = None,
        open_model: Callable[[TenantLLM, Catalog, Care], Any] = ready_model,
    ) -> None:
        self._catalog, self._open = catalog, open_model
        self._reach = reach if reach is not None else Reach()
        self.timeout = timeout if timeout is not None else float(os.environ.get("LLM_TIMEOUT_SECONDS") or 10)

    def check(self, llm: TenantLLM, *, trusted: bool = False) -> Verdict:
        """Call a model once, in at most the time-out and half a second. The tenant pays, in the role `validation`.

        Args:
            llm: The model.
            trusted: Whether whoever named its URL may have any address called.
        """
        probe = PROBES.get(llm.model_type)
        what = f"{llm.model_type} model {llm.llm_name} of {llm.llm_factory}"
        if probe is None:
            return Verdict(None, f"a {what} cannot be tried by a short call")
        reach = None if trusted or llm.api_base is None else self._reach
        model = self._open(llm, self._catalog, Care(self.timeout, reach=reach))
        if model is None:
            return Verdict(None, f"ragmeter cannot call the {what}")

        async def call() -> Verdict:
            try:
                async with TenantCall(llm, role="validation") as billed:
                    trouble = await asyncio.wait_for(probe(model), self.timeout)
                billed.end(None)
            finally:
                await _close(model)
            return Verdict(True, "") if trouble is None else Verdict(False, f"{what}: {trouble}")

        def run() -> Verdict:
            with hushed(llm.api_key):
                return asyncio.run(call())

        return self._in_time(run, llm, what)

    def look(self, llm: TenantLLM, *, trusted: bool = False) -> Verdict:
        """Look where the URL of a model leads that cannot be tried: whoever calls it later must not be led inside."""
        url = llm.api_base
        if trusted or url is None:
            return Verdict(None, "")

        def look() -> Verdict:
            self._reach.look(url)
            return Verdict(None, "")

        return self._in_time(look, llm, f"{llm.model_type} model {llm.llm_name} of {llm.llm_factory}")

    def _in_time(self, work: Callable[[], Verdict], llm: TenantLLM, what: str) -> Verdict:
        box: list[Verdict] = []

        def run() -> None:
            try:
                box.append(work())
            except (TimeoutError, asyncio.TimeoutError):
                box.append(Verdict(False, f"{what}: it did not answer in {self.timeout:g} s"))
            except Exception as exc:  # noqa: BLE001 - whatever the provider's code raises is the verdict
                box.append(Verdict(False, f"{what}: {explain(exc, llm)}"))

        # A thread that is left behind: what a model object does cannot be broken off from outside.
        thread = threading.Thread(target=run, name="ragmeter-validation", daemon=True)
        thread.start()
        thread.join(self.timeout + _PATIENCE)
        return box[0] if box else Verdict(False, f"{what}: it did not answer in {self.timeout:g} s")


async def _embedding(model: Any) -> str | None:
    vectors, _used = model.encode(["Test if the api key is available"])  # this loop has nothing else to do
    return None if len(vectors) and len(vectors[0]) else "the answer has no vector"


async def _chat(model: Any) -> str | None:
    question = [{"role": "user", "content": "Hello! How are you doing!"}]
    answer = await model.async_chat(None, question, {"temperature": 0.9, "max_tokens": 50})
    text, used = answer if isinstance(answer, tuple) else (answer, 0)
    if ERROR in text:
        return str(text).replace(ERROR, "").lstrip(": ")
    # A model that thinks may have spent the fifty tokens without a word.
    return None if text.strip() or used else "the answer is empty"


async def _rerank(model: Any) -> str | None:
    scores, _used = model.similarity("What's the weather?", ["Is it sunny today?"])
    return None if len(scores) else "the answer has no score"


async def _close(model: Any) -> None:
    if callable(close := getattr(model, "aclose", None)):
        await close()


PROBES: dict[str, Callable[[Any], Awaitable[str | None]]] = {"embedding": _embedding, "chat": _chat, "rerank": _rerank}
"""Type of model, in the order in which a factory's are tried: what is wrong with its answer, if anything is."""
