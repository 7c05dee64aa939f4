"""Limits: the quota of a configured model as a limit of a `ragmeter.Quota`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ragmeter.tenants.models import operation

if TYPE_CHECKING:
    from ragmeter.quota import Quota
    from ragmeter.tenants.models import TenantLLM

__all__ = ["set_limit"]

_MOST = 10**18
"""The largest limit of a quota; what is beyond it is none."""
_LONGEST_NAME = 255
"""Bytes that the name of a limit may have."""


def set_limit(quota: Quota, llm: TenantLLM) -> None:
    """Let the limit of a model hold in `quota`, in tokens from the first call under it on; None takes it away.

    Raises:
        LedgerError: The sums of the quota cannot be reached.
    """
    name = _name(llm)
    if llm.quota is None:
        quota.remove(name)
        return
    quota.limit(
        name,
        tokens=min(llm.quota, _MOST),
        per="total",
        tenant=llm.tenant_id,
        model=llm.model,
        operation=operation(llm.model_type),
    )


def _name(llm: TenantLLM) -> str:
    text = f"{llm.tenant_id}: {llm.model}@{llm.llm_factory} ({llm.model_type})"
    if len(text.encode()) <= _LONGEST_NAME:
        return text
    return f"{text[:50]}… {hashlib.sha256(text.encode()).hexdigest()[:32]}"
