"""Limits: what a tenant may spend, in a `ragmeter.Quota`; the quota of a configured model is one of them."""

from __future__ import annotations

import hashlib
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ragmeter.tenants.models import operation

if TYPE_CHECKING:
    from ragmeter.quota import Quota
    from ragmeter.tenants.models import TenantLLM

__all__ = ["limits_of", "put_limit", "remove_limit", "set_limit"]

_MOST = 10**18
"""The largest limit of a quota; what is beyond it is none."""
_EACH = ("user", "model", "operation")
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


def limits_of(quota: Quota, tenant_id: str, *, shared: bool = False, **who: str | None) -> list[dict[str, Any]]:
    """Return the limits that calls of a tenant fall under, and how they stand, as JSON has them.

    Args:
        quota: Where they are.
        tenant_id: Whose.
        shared: Whether to return those too that tenants share; what others spend shows in them.
        who: `user`, `model` and `operation` to look at, for limits that count each by itself.

    Returns:
        For each what `Quota.usage` says of it. Where it counts each user or model by itself and none is named,
        `used`, `reserved` and `remaining` are None.
    """
    found = []
    for row in quota.list():
        if row["tenant"] not in ({tenant_id, "*", None} if shared else {tenant_id, "*"}):
            continue
        names = {name: who.get(name) if row[name] == "*" else row[name] for name in _EACH}
        unknown: dict[str, Any] = dict.fromkeys(("used", "reserved", "remaining", "resets_at", "counted_for"))
        standing: dict[str, Any] = {**row, **unknown}
        if all(names[name] is not None for name in _EACH if row[name] == "*"):
            rows = quota.usage(tenant_id, **names)
            standing = next((found for found in rows if found["name"] == row["name"]), standing)
        found.append({name: _plain(value) for name, value in standing.items()})
    return found


def put_limit(quota: Quota, tenant_id: str, name: str, **what: Any) -> None:
    """Set a limit of a tenant; see `Quota.limit`.

    Raises:
        ValueError: It makes no sense, or there is one of that name that is not the tenant's.
        LedgerError: The sums cannot be reached.
    """
    _own(quota, tenant_id, name)
    quota.limit(name, tenant=tenant_id, **what)


def remove_limit(quota: Quota, tenant_id: str, name: str) -> bool:
    """Remove a limit of a tenant; whether there was one.

    Raises:
        ValueError: It is not the tenant's.
        LedgerError: The sums cannot be reached.
    """
    _own(quota, tenant_id, name)
    return quota.remove(name)


def _own(quota: Quota, tenant_id: str, name: str) -> None:
    if any(row["name"] == name and row["tenant"] != tenant_id for row in quota.list()):
        msg = f"the limit '{name}' is not one of tenant '{tenant_id}': names are unique, take another"
        raise ValueError(msg)


def _plain(value: Any) -> Any:
    """Money as text, so that no reader makes a float of it, and times as ISO 8601 has them."""
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _name(llm: TenantLLM) -> str:
    text = f"{llm.tenant_id}: {llm.model}@{llm.llm_factory} ({llm.model_type})"
    if len(text.encode()) <= _LONGEST_NAME:
        return text
    return f"{text[:50]}… {hashlib.sha256(text.encode()).hexdigest()[:32]}"
