"""Prometheus: running totals and health of this process as its text format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragmeter._native import Run, health, listen_to_all
from ragmeter.ledger import current_ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CONTENT_TYPE", "Totals"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Value of the answer's `Content-Type`."""

_LABELS = ("provider", "model", "operation", "role", "tenant")


class Totals:
    """Totals of every call of this process since this was made. Make one, and serve `text()` at `/metrics`.

    Args:
        labels: Labels to tell apart. Each combination is a time series: leave out what takes many values.

    Example:
        >>> import ragmeter
        >>> from ragmeter.export.prometheus import Totals
        >>> totals = Totals(labels=["model"])
        >>> ragmeter.record_tokens(12, 3, "gpt-4o-mini")
        >>> 'ragmeter_calls_total{model="gpt-4o-mini",origin="reported"} 1' in totals.text()
        True
        >>> totals.close()
    """

    def __init__(self, labels: Sequence[str] = _LABELS) -> None:
        self._labels = list(labels)
        self._run = Run("prometheus")
        self._listening = listen_to_all(self._run, self._labels)

    def close(self) -> None:
        """Count no more."""
        self._listening.stop()

    def text(self) -> str:
        """Return the text that Prometheus reads."""
        calls, tokens = [], []
        groups = self._run.by(*self._labels) if self._labels else {(): self._run.totals}
        for key, totals in groups.items():
            values = key if isinstance(key, tuple) else (key,)
            labels = ",".join(
                f'{name}="{_escaped(value or "")}"' for name, value in zip(self._labels, values, strict=True)
            )
            comma = "," if labels else ""
            for origin in ("reported", "estimated", "unknown"):
                count = getattr(totals, f"{origin}_calls")
                if count:
                    calls.append(f'ragmeter_calls_total{{{labels}{comma}origin="{origin}"}} {count}')
            for unit, count in totals.usage.as_dict().items():
                if unit not in {"origin", "total_tokens"}:
                    tokens.append(f'ragmeter_usage_total{{{labels}{comma}unit="{unit}"}} {count}')
        parts = [
            "# HELP ragmeter_calls_total Calls of models, by where their counts came from.",
            "# TYPE ragmeter_calls_total counter",
            *sorted(calls),
            "# HELP ragmeter_usage_total What was used; a subset such as cache_read_tokens is also in its total.",
            "# TYPE ragmeter_usage_total counter",
            *sorted(tokens),
            "# HELP ragmeter_health_total What the meter has seen in this process.",
            "# TYPE ragmeter_health_total counter",
            *(f'ragmeter_health_total{{what="{name}"}} {count}' for name, count in health().items()),
        ]
        ledger = current_ledger()
        if ledger is not None:
            parts += [
                "# HELP ragmeter_ledger_total What happened to the ledger in this process.",
                "# TYPE ragmeter_ledger_total counter",
                *(f'ragmeter_ledger_total{{what="{name}"}} {count}' for name, count in ledger.health().items()),
            ]
        return "\n".join(parts) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
