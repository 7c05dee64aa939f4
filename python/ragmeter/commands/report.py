"""`ragmeter report`: what was spent, by whom and for what, from the ledger."""

from __future__ import annotations

import csv
import json
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ragmeter.commands.chosen import add_url, complain, open_ledger
from ragmeter.commands.table import table
from ragmeter.ledger import LedgerError
from ragmeter.quantity import moment

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["add_arguments", "run"]

_BAR = 24
_SUMMED = ("calls", "estimated_calls", "unknown_calls", "cache_hits", "saved_tokens")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_url(parser)
    parser.add_argument("--by", default="model", help="labels to tell apart: tenant,model (default: model)")
    parser.add_argument("--where", action="append", default=[], metavar="LABEL=TEXT", help="only calls with this label")
    parser.add_argument("--since", default=None, help="an age such as 7d or 12h, or a time such as 2026-11-22")
    parser.add_argument("--until", default=None, help="the same")
    parser.add_argument("--bucket", choices=["hour", "day", "month"], help="one row for each, in order of time")
    parser.add_argument(
        "--prices", metavar="FILE", help="JSON table of prices; 'genai-prices' for those of that package"
    )
    parser.add_argument("--limit", type=int, default=40, help="rows of the table (default: 40)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV")
    form.add_argument("--plot", metavar="FILE", help="draw tokens over time: FILE ends in .svg or .png")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; 2 if the ledger cannot be read."""
    try:
        by = [name for name in arguments.by.split(",") if name]
        where = dict(_condition(text) for text in arguments.where)
        bucket = arguments.bucket or ("day" if arguments.plot else None)
        rows = open_ledger(arguments.ledger).usage(
            by,
            where,
            since=arguments.since,
            until=arguments.until,
            bucket=bucket,
            prices=_prices(arguments.prices),
        )
        if arguments.plot:
            from ragmeter.commands.plot import draw

            draw(arguments.plot, rows, by, bucket or "day")
            return 0
    except (LedgerError, ValueError, TypeError, OSError, ImportError) as exc:
        return complain(exc)
    if arguments.json:
        print(json.dumps([_plain(row) for row in rows], indent=2, default=str))
    elif arguments.csv:
        _csv(rows, by)
    else:
        print(_page(rows, by, arguments.limit))
    return 0


def _condition(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        msg = f"--where is LABEL=TEXT, not '{text}'"
        raise ValueError(msg)
    return name, value


def _prices(name: str | None) -> Any:
    if name is None:
        return None
    from ragmeter.prices import Prices

    return Prices.bundled() if name == "genai-prices" else Prices.read(name)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with times as text; money is text too, so that no reader makes a float of it."""
    return {name: _time(value) if name == "at" else value for name, value in row.items()}


def _time(at: int) -> str:
    return moment(at).isoformat().replace("+00:00", "Z")


def _csv(rows: Sequence[dict[str, Any]], by: Sequence[str]) -> None:
    units = list(dict.fromkeys(unit for row in rows for unit in row["usage"]))
    heads = [name for name in (rows[0] if rows else dict.fromkeys(by)) if name != "usage"]
    writer = csv.writer(sys.stdout)
    writer.writerow([*heads, *units])
    for row in rows:
        plain = _plain(row)
        writer.writerow([*(plain[name] for name in heads), *(row["usage"].get(unit) for unit in units)])


def _tokens(row: dict[str, Any]) -> int:
    return int(row["usage"].get("input_tokens") or 0) + int(row["usage"].get("output_tokens") or 0)


def _page(rows: Sequence[dict[str, Any]], by: Sequence[str], limit: int) -> str:
    if not rows:
        return "no calls"
    timed, priced = "at" in rows[0], "cost" in rows[0]
    said = any(row["reported_cost"] is not None for row in rows)
    spared = any(row["cache_hits"] for row in rows)
    doubtful = [kind for kind in ("estimated", "unknown") if any(row[f"{kind}_calls"] for row in rows)]
    head = [*(["time"] if timed else []), *by, "calls", *doubtful, "input", "cached", "output", "reasoning"]
    head += [
        *(["cost $"] if priced else []),
        *(["provider's $"] if said else []),
        *(["saved"] if spared else []),
        "tokens",
        "",
    ]
    most = max(map(_tokens, rows)) or 1

    def line(row: dict[str, Any], name: str | None = None) -> list[str | int]:
        usage = row["usage"]
        counts = (
            usage.get(unit) for unit in ("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens")
        )
        cells: list[str | int] = [_time(row["at"])[:16].replace("T", " ")] if timed and name is None else []
        cells += [name or "", *([""] * (len(by) + timed - 1))] if name is not None else [row[key] or "–" for key in by]
        cells += [row["calls"], *(row[f"{kind}_calls"] for kind in doubtful)]
        cells += [*(count if count is not None else "–" for count in counts)]
        cells += [_money(row["cost"])] if priced else []
        cells += [_money(row["reported_cost"])] if said else []
        cells += [row["saved_tokens"]] if spared else []
        return [*cells, _tokens(row), "" if name is not None else _bar(_tokens(row), most)]

    lines = [line(row) for row in rows[:limit]]
    if by or timed:
        lines.append(line(_whole(rows), "total" if len(rows) <= limit else f"total of {len(rows):,} rows"))
    return table(head, lines)


def _whole(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    usage: dict[str, int] = {}
    for row in rows:
        for unit, count in row["usage"].items():
            if unit != "origin":
                usage[unit] = usage.get(unit, 0) + count
    costs = [row.get("cost") for row in rows]
    said = [row["reported_cost"] for row in rows if row["reported_cost"] is not None]
    return {
        **{name: sum(row[name] for row in rows) for name in _SUMMED},
        "usage": usage,
        "cost": None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0)),
        "reported_cost": sum(said, Decimal(0)) if said else None,
    }


def _money(amount: Decimal | None) -> str:
    return "unknown" if amount is None else f"{amount:,.6f}"


def _bar(count: int, most: int) -> str:
    eighths = round(count * _BAR * 8 / most)
    whole, part = divmod(eighths, 8)
    return "█" * whole + " ▏▎▍▌▋▊▉"[part].strip()
