"""Setup: setting keys as RAGFlow does, tried before they are saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ragmeter.tenants.models import NotThereError, TenantLLM, model_type
from ragmeter.tenants.secret import Secret, plain_url, scrub
from ragmeter.tenants.validation import PROBES, Validator

if TYPE_CHECKING:
    from ragmeter.tenants.service import TenantLLMService

__all__ = ["Done", "Setup"]

_MOST_TOKENS = 8192


class Done(NamedTuple):
    """What became of it: whether it was saved, whether the key was seen to work, and why not, without secrets."""

    saved: bool
    verified: bool
    message: str


class Setup:
    """Sets keys.

    Args:
        service: Where they are saved.
        validator: Tries them; None for one with the usual time-out.
        check: False to save without trying.
        trusted: Whether whoever names URLs may have any address called: he who runs the server, not its tenants.
    """

    def __init__(
        self,
        service: TenantLLMService,
        validator: Validator | None = None,
        *,
        check: bool = True,
        trusted: bool = False,
    ) -> None:
        self._service, self._check, self._trusted = service, check, trusted
        self._validator = validator if validator is not None else Validator(service.catalog)

    def set_api_key(self, tenant_id: str, factory: str, key: str, base_url: str | None = None) -> Done:
        """Give all the models of a factory a key, if one of up to three types of model answers to it.

        A factory none of whose models can be tried is saved as unverified.

        Raises:
            NotThereError: The catalog has no such factory, or it offers no models.
        """
        secret, base_url = Secret(key), plain_url(base_url)
        llms = [
            TenantLLM(
                tenant_id,
                factory,
                model["llm_name"],
                model["model_type"],
                secret,
                base_url,
                model["max_tokens"] or _MOST_TOKENS,
            )
            for model in self._service.catalog.models(factory)
        ]
        if not llms:
            known = self._service.catalog.factory(factory) is not None
            msg = f"{factory} has no models in the catalog: add_llm adds one" if known else f"there is no '{factory}'"
            raise NotThereError(msg)
        troubles: list[str] = []
        for kind in PROBES if self._check else ():
            llm = next((llm for llm in llms if llm.model_type == kind), None)
            if llm is None:
                continue
            works, message = self._validator.check(llm, trusted=self._trusted)
            if works:
                return self._save(llms, verified=True)
            if works is False:
                troubles.append(scrub(message, [secret]))
        if troubles:
            return Done(False, False, "\n".join(f"Fail to access {trouble}" for trouble in troubles))
        return self._save_unverified(llms)

    def add_llm(
        self,
        tenant_id: str,
        factory: str,
        name: str,
        kind: str,
        key: str,
        *,
        api_base: str | None = None,
        max_tokens: int | None = None,
    ) -> Done:
        """Add one model, if it answers; one that cannot be tried is saved as unverified.

        Raises:
            NotThereError: The catalog has no such factory.
            ValueError: There is no such type, or the URL holds a secret.
        """
        if self._service.catalog.factory(factory) is None:
            msg = f"there is no '{factory}'"
            raise NotThereError(msg)
        llm = TenantLLM(
            tenant_id, factory, name, model_type(kind), Secret(key), plain_url(api_base), max_tokens or _MOST_TOKENS
        )
        works, message = self._validator.check(llm, trusted=self._trusted) if self._check else (None, "")
        if works is False:
            return Done(False, False, f"Fail to access {scrub(message, [llm.api_key])}")
        return self._save([llm], verified=True) if works else self._save_unverified([llm])

    def _save_unverified(self, llms: list[TenantLLM]) -> Done:
        seen, message = self._validator.look(llms[0], trusted=self._trusted)
        if seen is False:
            return Done(False, False, f"Fail to access {scrub(message, [llms[0].api_key])}")
        return self._save(llms, verified=False)

    def _save(self, llms: list[TenantLLM], *, verified: bool) -> Done:
        from dataclasses import replace

        self._service.save([replace(llm, verified=verified) for llm in llms])
        return Done(True, verified, "success" if verified else "saved, unverified: none of its models could be tried")
