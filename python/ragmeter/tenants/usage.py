"""Usage: what the models of a tenant have used, from the ledger, whoever recorded it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter.ledger import LedgerError
from ragmeter.tenants.models import operation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ragmeter.ledger import Ledger
    from ragmeter.tenants.models import TenantLLM

__all__ = ["used", "used_rows"]

_MOST = 2**63 - 1


def used_rows(ledger: Ledger, tenant_id: str, **when: Any) -> list[dict[str, Any]]:
    """Return what a tenant has used, by provider, model and operation; see `Ledger.usage`."""
    try:
        return ledger.usage(by=["provider", "model", "operation"], where={"tenant": tenant_id}, **when)
    except LedgerError as exc:
        if exc.kind == "unavailable" and "there is no ledger" in str(exc):
            return []
        raise


def used(
    llms: Sequence[TenantLLM], rows: Iterable[dict[str, Any]]
) -> tuple[dict[tuple[str, str, str], int], list[dict[str, Any]]]:
    """Tell whose tokens the rows are.

    A row that names no provider belongs to a model if only one of that name and type is configured: it never counts
    twice.

    Returns:
        Tokens by factory, name and type; and the rows of models that are not configured.
    """
    found: dict[tuple[str, str, str], int] = {}
    others = []
    for row in rows:
        fitting = [
            llm
            for llm in llms
            if row["model"] in {llm.model, llm.llm_name}
            and row["operation"] == operation(llm.model_type)
            and row["provider"] in {None, llm.provider}
        ]
        if len(fitting) == 1:
            llm = fitting[0]
            key = (llm.llm_factory, llm.llm_name, llm.model_type)
            found[key] = min(found.get(key, 0) + tokens(row), _MOST)
        else:
            others.append(row)
    return found, others


def tokens(row: dict[str, Any]) -> int:
    """Return the tokens of a row."""
    return int(row["usage"].get("input_tokens") or 0) + int(row["usage"].get("output_tokens") or 0)
