"""`ragmeter tenant limit`: what a tenant may spend, in tokens, calls or money, in which time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ragmeter.commands.table import table
from ragmeter.tenants.limits import limits_of, put_limit, remove_limit
from ragmeter.tenants.models import NotThereError

if TYPE_CHECKING:
    import argparse

    from ragmeter.quota import Quota
    from ragmeter.tenants.service import TenantLLMService

__all__ = ["add_arguments", "quota_of", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ragmeter tenant limit`."""
    parser.add_argument("name", nargs="?", help="the limit to set or remove; without one they are shown")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--tokens", type=_whole, help="input and output tokens that may be spent")
    what.add_argument("--calls", type=_whole, help="requests that may be made")
    what.add_argument("--money", help="dollars that may be spent")
    what.add_argument("--remove", action="store_true", help="remove it")
    parser.add_argument("--per", default="month", help="day, month, total, or a window such as 24h (default: month)")
    for label in ("user", "model", "operation"):
        parser.add_argument(f"--{label}", help=f"one {label}, or '*' for each by itself (default: all together)")
    parser.add_argument("--policy", choices=["block", "warn", "finish"], default="block", help="(default: block)")
    parser.add_argument("--unknown-price", choices=["refuse", "allow"], default="refuse", help="(default: refuse)")
    parser.add_argument("--quota", metavar="URL", help="where the sums are (default: in the ledger's database)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(service: TenantLLMService, arguments: argparse.Namespace) -> int:
    """Run the command."""
    quota, tenant, name = quota_of(service, arguments.quota), arguments.tenant, arguments.name
    who = {label: getattr(arguments, label) for label in ("user", "model", "operation")}
    amounts = {measure: getattr(arguments, measure) for measure in ("tokens", "calls", "money")}
    if name is None:
        rows = limits_of(quota, tenant, shared=True, **who)
        print(json.dumps(rows, indent=2) if arguments.json else _page(rows))
        return 0
    if arguments.remove:
        if not remove_limit(quota, tenant, name):
            msg = f"tenant '{tenant}' has no limit '{name}'"
            raise NotThereError(msg)
        print(f"removed {name}")
        return 0
    if all(amount is None for amount in amounts.values()):
        msg = "how much? give --tokens, --calls or --money"
        raise ValueError(msg)
    options = {"per": arguments.per, "policy": arguments.policy, "unknown_price": arguments.unknown_price}
    put_limit(quota, tenant, name, **amounts, **who, **options)
    print(_page([row for row in limits_of(quota, tenant) if row["name"] == name]))
    return 0


def quota_of(service: TenantLLMService, url: str | None) -> Quota:
    """Return the quota at a URL, or the one in the ledger's database."""
    from ragmeter.quota import Quota

    return Quota.open(url) if url else service.quota


def _page(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "no limits"
    lines = []
    for row in rows:
        scope = ", ".join(f"{name}={row[name]}" for name in ("tenant", "user", "model", "operation") if row[name])
        amounts = [_cell(row[name]) for name in ("limit", "used", "reserved", "remaining")]
        resets = row["resets_at"][:16].replace("T", " ") if row["resets_at"] else "–"
        lines.append([row["name"], scope, row["measure"], row["per"], row["policy"], *amounts, resets])
    head = ["limit", "for", "in", "per", "policy", "may be", "used", "reserved", "left", "resets (UTC)"]
    return table(head, lines)


def _cell(amount: Any) -> Any:
    return "–" if amount is None else amount


def _whole(text: str) -> int:
    return int(text.replace(",", "").replace("_", ""))
