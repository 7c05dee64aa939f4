"""Stored: how a tenant and its models stand in the database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ragmeter.tenants.models import Tenant, TenantLLM
from ragmeter.tenants.secret import plain_url

if TYPE_CHECKING:
    from ragmeter.tenants.secret import Secret

__all__ = ["LLM", "LLM_KEY", "TENANT", "llm_of", "row_of", "tenant_of"]

TENANT = ("id", "title", "status", "defaults", "created_at")
LLM_KEY = ("tenant_id", "llm_factory", "llm_name", "model_type")
LLM = (
    *LLM_KEY, "api_key", "api_base", "max_tokens", "status", "verified", "quota", "created_at", "updated_at",
)  # fmt: skip

_MOST_TOKENS = 2**63


def tenant_of(row: dict[str, Any]) -> Tenant:
    """Return the tenant of a row."""
    return Tenant(**{**row, "status": bool(row["status"]), "defaults": json.loads(row["defaults"])})


def llm_of(row: dict[str, Any], key: Secret | None) -> TenantLLM:
    """Return the model of a row, with its key in plain."""
    fields = {**row, "api_key": key, "status": bool(row["status"]), "verified": bool(row["verified"])}
    return TenantLLM(**fields)


def row_of(llm: TenantLLM, locked: str | None) -> dict[str, Any]:
    """Return the row of a model, with its key encrypted.

    Raises:
        ValueError: Its quota is none.
    """
    if llm.quota is not None and not 0 <= llm.quota < _MOST_TOKENS:
        msg = f"a quota is 0 tokens or more, not {llm.quota}"
        raise ValueError(msg)
    row = {name: value for name, value in vars(llm).items() if name in LLM}
    return {
        **row,
        "api_base": plain_url(llm.api_base),
        "api_key": locked,
        "status": int(llm.status),
        "verified": int(llm.verified),
    }
