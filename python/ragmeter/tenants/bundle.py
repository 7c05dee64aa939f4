"""LLMBundle: a tenant's model, metered; with the interface of RAGFlow's `LLMBundle`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from ragmeter._native import Usage, count_tokens
from ragmeter.observe.estimate import estimate, estimate_texts
from ragmeter.tenants import measure
from ragmeter.tenants.call import TenantCall
from ragmeter.tenants.limits import set_limit
from ragmeter.tenants.models import NotThereError, TenantLLM, model_type, split_name
from ragmeter.tenants.openai_models import chat_messages
from ragmeter.tenants.ready import ready_model
from ragmeter.tenants.validation import ERROR

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence

    from ragmeter.quota import Quota
    from ragmeter.tenants.reach import Reach
    from ragmeter.tenants.service import TenantLLMService

__all__ = ["LLMBundle"]


class LLMBundle:
    """A tenant's model. Every call is recorded with tenant, factory, model and type.

    The provider's word is believed first: what an observer of the SDK saw, else what the answer said; else the model
    object's own number, else an estimate from the texts. A failed call that the provider did not bill is not recorded.

    Args:
        tenant_id: Who pays.
        llm_type: Type of the model.
        llm_name: `model` or `model@factory`; None for the tenant's default of that type.
        lang: Language of the tenant, handed on to nobody; RAGFlow's third argument.
        service: Where the tenant's models are configured.
        model: An object with the interfaces of RAGFlow's model classes; None for one of ragmeter's own. With one, the
            model need not be configured: it is recorded under its own name.
        quota: A `ragmeter.Quota`: every call is reserved before and settled after, and the limit that the configuration
            has for the model is one of its limits, in tokens from the first such call on. It stands in the place of the
            quota of a run around.
        reach: Where the URL that the configuration has may lead, `Reach()` for public addresses; for services whose
            tenants name URLs themselves. None for anywhere.

    Raises:
        LedgerError: The sums of the quota cannot be reached.
        NotThereError: The tenant has no such model or is switched off, or ragmeter has no class for its factory: give
            `model`.

    Attributes:
        llm: The configuration.
        mdl: The model object.
    """

    def __init__(
        self,
        tenant_id: str,
        llm_type: str,
        llm_name: str | None = None,
        lang: str = "Chinese",
        *,
        service: TenantLLMService,
        model: Any = None,
        quota: Quota | None = None,
        reach: Reach | None = None,
    ) -> None:
        self.tenant_id, self.lang = tenant_id, lang
        kind = model_type(llm_type)
        llm = service.get_api_key(tenant_id, llm_name or "", kind)
        if llm is None and (tenant := service.tenant(tenant_id)) is not None and not tenant.status:
            msg = f"tenant '{tenant_id}' is switched off"
            raise NotThereError(msg)
        if llm is None and model is not None and llm_name:
            name, factory = split_name(llm_name, service.catalog.known)
            llm = TenantLLM(tenant_id, factory or "unknown", name, kind)
        if llm is None:
            msg = f"tenant '{tenant_id}' has no {kind} model '{llm_name or '(default)'}'"
            raise NotThereError(msg)
        self.llm = llm
        own_url = llm.api_base is not None
        self.mdl = model if model is not None else ready_model(llm, service.catalog, reach=reach if own_url else None)
        if self.mdl is None:
            msg = f"ragmeter has no class for {kind} models of {llm.llm_factory}: give one as model="
            raise NotThereError(msg)
        service.ledger.ensure_attached()
        self._quota = quota
        if quota is not None and llm.quota is not None:
            set_limit(quota, llm)

    def _call(self, measured: Usage | None = None) -> TenantCall:
        return TenantCall(self.llm, measured, quota=self._quota)

    def __repr__(self) -> str:
        return f"LLMBundle({self.llm!r})"

    def close(self) -> None:
        """Close what the model object keeps open; with `async with`, what it keeps open in this event loop too."""
        if callable(close := getattr(self.mdl, "close", None)):
            close()

    def __enter__(self) -> LLMBundle:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __aenter__(self) -> LLMBundle:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if callable(close := getattr(self.mdl, "aclose", None)):
            await close()
        else:
            self.close()

    @property
    def max_length(self) -> int:
        """Size of the model's context, in tokens."""
        return self.llm.max_tokens

    # Chat

    async def async_chat(
        self,
        system: str | None,
        history: Sequence[Mapping[str, Any]],
        gen_conf: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> str:
        """Return the answer. A model object of RAGFlow's answers `**ERROR**: …` instead of raising."""
        call = self._call()
        try:
            async with call:
                answer = await self.mdl.async_chat(system, history, dict(gen_conf or {}), **kwargs)
        except Exception:
            call.end(None)
            raise
        except BaseException:  # the caller went away; the request is under way and may be billed
            self._gone(call, system, history, None)
            raise
        text, used = answer if isinstance(answer, tuple) else (answer, 0)
        call.end(None if _failed(text) else lambda: self._chat(system, history, text, used))
        return str(text)

    async def async_chat_streamly(
        self,
        system: str | None,
        history: Sequence[Mapping[str, Any]],
        gen_conf: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[str, None]:
        """Yield the answer as far as it has come, again and again."""
        text = ""
        async with contextlib.aclosing(self.async_chat_streamly_delta(system, history, gen_conf, **kwargs)) as pieces:
            async for piece in pieces:
                text += piece
                yield text

    async def async_chat_streamly_delta(
        self,
        system: str | None,
        history: Sequence[Mapping[str, Any]],
        gen_conf: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[str, None]:
        """Yield the answer in pieces."""
        call, text, used = self._call(), "", 0
        async with call:
            items = self.mdl.async_chat_streamly(system, history, dict(gen_conf or {}), **kwargs)
        try:
            while True:
                with call:  # not around the yield: what the caller does in between is his own
                    item = await anext(items, None)
                if item is None:
                    break
                if isinstance(item, str):
                    text += item
                    yield item
                else:
                    used = item
        except Exception:
            call.end((lambda: self._chat(system, history, text, 0)) if text else None)
            raise
        except BaseException:
            with call:
                await items.aclose()
            self._gone(call, system, history, text)
            raise
        call.end(None if _failed(text) else lambda: self._chat(system, history, text, used))

    def _gone(
        self, call: TenantCall, system: str | None, history: Sequence[Mapping[str, Any]], text: str | None
    ) -> None:
        call.leave()
        call.end(lambda: self._chat(system, history, text, 0))

    def _chat(self, system: str | None, history: Sequence[Mapping[str, Any]], text: str | None, used: Any) -> Usage:
        request = {"messages": chat_messages(system, history), "model": self.llm.model}
        return _within_total(estimate("chat", request, text), used)

    # Texts

    def encode(self, texts: Sequence[str]) -> tuple[Any, int]:
        """Return a vector for each text, and the tokens used."""
        return self._counted("encode", (texts,), texts)

    def encode_queries(self, query: str) -> tuple[Any, int]:
        """Return the vector of a question, and the tokens used."""
        return self._counted("encode_queries", (query,), [query])

    def similarity(self, query: str, texts: Sequence[str]) -> tuple[Any, int]:
        """Return how near each text is to a question, and the tokens used."""
        return self._counted("similarity", (query, texts), [query, *texts])

    def _counted(self, method: str, args: tuple[Any, ...], texts: Sequence[str]) -> tuple[Any, int]:
        call = self._call()
        result, used = self._run(call, method, args)
        own = _number(used)

        def guess() -> Usage:
            if own:
                return Usage(input_tokens=own, output_tokens=0, origin="estimated")
            return estimate_texts(list(texts), self.llm.model)

        call.end(guess)
        said = call.said()
        total = (said.total_tokens if said is not None else None) or own
        return result, total if total is not None else guess().total_tokens or 0

    # Images, sound and pages

    def describe(self, image: Any) -> str:
        """Return what an image shows."""
        return self._text("describe", (image,), None)

    def describe_with_prompt(self, image: Any, prompt: str) -> str:
        """Return the answer to a question about an image."""
        return self._text("describe_with_prompt", (image, prompt), None)

    def transcription(self, audio: Any) -> str:
        """Return what is said. Counted by the seconds of the audio, and tokens where the provider has some."""
        return self._text("transcription", (audio,), measure.audio(audio))

    def ocr(self, document: Any, method: str = "ocr", **kwargs: Any) -> Any:
        """Return what the model's `method` reads in a document. Counted by its pages."""
        call = self._call(measure.pages(document))
        result = self._run(call, method, (document,), kwargs)
        call.end(lambda: Usage(origin="unknown"))
        return result

    def _text(self, method: str, args: tuple[Any, ...], measured: Usage | None) -> str:
        call = self._call(measured)
        result = self._run(call, method, args)
        text, used = result if isinstance(result, tuple) else (result, 0)

        def guess() -> Usage:
            own = _number(used)
            if measured is not None:
                return Usage(origin="unknown")  # what was measured is all that is known
            if not own:
                return Usage(output_tokens=count_tokens(str(text), self.llm.model), origin="estimated")
            return _within_total(Usage(origin="unknown", output_tokens=count_tokens(str(text), self.llm.model)), own)

        call.end(None if _failed(text) else guess)
        return str(text)

    def tts(self, text: str) -> Iterator[bytes]:
        """Yield the audio in pieces. Counted by the characters of the text."""
        call = self._call(measure.characters(text))
        began = False
        try:
            with call:
                items = iter(self.mdl.tts(text))
            while True:
                with call:
                    item = next(items, None)
                if item is None:
                    break
                if isinstance(item, (bytes, bytearray)):
                    began = True
                    yield bytes(item)
        except Exception:
            call.end((lambda: Usage(origin="unknown")) if began else None)
            raise
        except BaseException:
            call.leave()
            call.end(lambda: Usage(origin="unknown"))
            raise
        call.end(lambda: Usage(origin="unknown"))

    def _run(
        self, call: TenantCall, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        run: Callable[..., Any] = getattr(self.mdl, method)
        try:
            with call:
                return run(*args, **(kwargs or {}))
        except BaseException:
            call.end(None)
            raise


def _failed(text: Any) -> bool:
    return isinstance(text, str) and text.startswith(ERROR)


def _number(used: Any) -> int | None:
    return used if isinstance(used, int) and not isinstance(used, bool) and used > 0 else None


def _within_total(guess: Usage, used: Any) -> Usage:
    """Return an estimate that adds up to the total that a model object gave, if it gave one."""
    total = _number(used)
    if total is None:
        return guess
    output = min(guess.output_tokens or 0, total)
    return Usage(input_tokens=total - output, output_tokens=output, origin="estimated")
