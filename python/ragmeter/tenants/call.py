"""Call of a tenant's model: who pays, under which name, and what it cost by its best witness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter._native import Scope, Usage, current_scope, record
from ragmeter.meter import guard
from ragmeter.tenants.models import operation
from ragmeter.witness import OpenCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from ragmeter.quota import Quota
    from ragmeter.tenants.models import TenantLLM

__all__ = ["TenantCall", "counts_of"]


class TenantCall(OpenCall):
    """A call of a tenant's model that has begun and not ended.

    It is recorded under the names of the configuration, whoever saw it: a provider's own name for the model that
    answered would not lead back to the tenant's.

    Args:
        llm: Which model.
        measured: What was measured beside the tokens: seconds of audio, characters, pages.
        role: What it is for.
        quota: What may be spent; None for the quota of the run around it, if that has one.
    """

    records = True

    __slots__ = ("_measured",)

    _measured: Usage | None

    def __new__(
        cls, llm: TenantLLM, measured: Usage | None = None, role: str | None = None, quota: Quota | None = None
    ) -> Self:
        """Make the call; it is put in force with `with`."""
        labels = {"tenant": llm.tenant_id, **({"role": role} if role is not None else {})}
        call = super().__new__(
            cls,
            Scope(None, current_scope(), quota=quota, **labels),
            provider=llm.provider,
            model=llm.model,
            operation=operation(llm.model_type),
        )
        call._measured = measured
        return call

    def hear(self, usage: Usage, held: str | None = None) -> None:
        """Record a request that an observer saw; each attempt is one call."""
        self.heard.append(usage)
        with guard("recording a call of a tenant's model"):
            record(self._whole(usage), scope=self.scope, id=held, **self.labels)

    def said(self) -> Usage | None:
        """Return what the provider said so far, all requests together."""
        words = self.heard or self.told
        return sum(words[1:], words[0]) if words else None

    def end(self, estimate: Callable[[], Usage] | None) -> None:
        """Record the call, unless an observer did.

        Args:
            estimate: Returns the usage where the provider said nothing; None where the call failed and cost nothing.
        """
        with guard("recording a call of a tenant's model"):
            self.told[:] = [self._whole(usage) for usage in self.told]
            self.close(None if estimate is None else lambda: self._whole(estimate()))

    def _whole(self, usage: Usage) -> Usage:
        """Return the usage with what was measured beside it; what the provider said of it is better."""
        measured = self._measured
        if measured is None:
            return usage
        counts: dict[str, Any] = {**counts_of(measured), **counts_of(usage)}
        if counts == counts_of(usage):
            return usage
        return Usage(
            origin="estimated" if usage.origin == "unknown" else usage.origin,
            provider=usage.provider,
            model=usage.model,
            response_id=usage.response_id,
            **counts,
        )


def counts_of(usage: Usage) -> dict[str, Any]:
    """Return what a usage knows, by unit."""
    return {name: count for name, count in usage.as_dict().items() if name not in {"origin", "total_tokens", "flags"}}
