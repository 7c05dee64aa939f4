"""Webhooks: usage of finished operations on its way to your own backend. See docs/delivery.md.

What is to be sent waits in the ledger's outbox, in the same database as the calls, until the receiver has taken it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ragmeter._native import SenderCore, is_configured, post_once
from ragmeter.ledger import current_ledger
from ragmeter.meter import logger, report_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ragmeter.ledger import Ledger

__all__ = [
    "announce",
    "deliver",
    "destinations",
    "is_configured",
    "send_metrics_to_backend",
    "send_query_metrics",
    "send_upload_metrics",
    "send_when_used",
    "start_sender",
]

_PATH = "/api/v1/webhooks/knowledge/metrics"
_COUNTS = (
    "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "input_cached_tokens", "input_audio_tokens",
    "output_reasoning_tokens", "output_audio_tokens", "output_accepted_prediction_tokens",
    "output_rejected_prediction_tokens", "call_count",
)  # fmt: skip

_senders: WeakKeyDictionary[Ledger, dict[tuple[Any, ...], SenderCore]] = WeakKeyDictionary()
_said: set[str] = set()


def complete(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return a metrics object with every count, the model and the counts that are derived."""
    found: dict[str, Any] = {name: int(metrics.get(name) or 0) for name in _COUNTS}
    if not metrics.get("total_tokens"):
        found["total_tokens"] = found["prompt_tokens"] + found["completion_tokens"]
    found["cached_tokens"] = found["cached_tokens"] or found["input_cached_tokens"]
    found["input_cached_tokens"] = found["input_cached_tokens"] or found["cached_tokens"]
    return {
        **found,
        "model": metrics.get("model"),
        "input_usage": found["prompt_tokens"],
        "input": max(0, found["prompt_tokens"] - found["cached_tokens"]),
        "output_usage": found["completion_tokens"],
        "output": max(0, found["completion_tokens"] - found["output_reasoning_tokens"]),
        "total_usage": found["total_tokens"],
    }


def _destinations() -> list[tuple[str, str, str | None, str | None]]:
    """Return name, URL, bearer token and secret of those who are configured; what is missing is said once."""
    found: list[tuple[str, str, str | None, str | None]] = []
    base, token = os.environ.get("BIZNDER_API_BASE_URL"), os.environ.get("BIZNDER_SERVICE_TOKEN")
    if base and token:
        found.append(("biznder", base.rstrip("/") + _PATH, token, None))
    elif base or token:
        _say_once("BIZNDER_API_BASE_URL and BIZNDER_SERVICE_TOKEN belong together; usage is not sent there")
    url = os.environ.get("RAGMETER_WEBHOOK_URL")
    if url:
        found.append(("webhook", url, None, os.environ.get("RAGMETER_WEBHOOK_SECRET") or None))
    if not found:
        _say_once("no backend is configured (BIZNDER_API_BASE_URL, RAGMETER_WEBHOOK_URL); usage is not sent")
    return found


def destinations() -> list[str]:
    """Return the names of the backends that are configured."""
    return [name for name, *_ in _destinations()]


def _say_once(text: str) -> None:
    if text not in _said:
        _said.add(text)
        logger.warning("ragmeter: %s", text)


def start_sender(
    ledger: Ledger,
    destinations: Sequence[tuple[str, str, str | None, str | None]] | None = None,
    **patience: float,
) -> SenderCore | None:
    """Start to send what waits in the outbox of `ledger`, in this process; None if nobody is configured.

    Args:
        ledger: Whose outbox.
        destinations: Name, URL, bearer token and secret of each; those of the environment if not given.
        **patience: `timeout` of a request, `first_wait` and `most_wait` between tries, `give_up`, in seconds.

    Raises:
        ValueError: A secret is not `whsec_` and base64.
    """
    found = tuple(_destinations() if destinations is None else destinations)
    if not found:
        return None
    sender = _sender(ledger, found, patience)
    sender.start()
    return sender


def send_when_used(ledger: Ledger) -> None:
    """Have what waits in the outbox of `ledger` sent from the first call on that a process records.

    So what a process leaves behind is sent by the next one. Does nothing if nobody is configured.

    Raises:
        ValueError: The configured secret is not `whsec_` and base64.
    """
    if is_configured():
        found = tuple(_destinations())
        if found:
            _sender(ledger, found, {}).start_when_used()


def _sender(ledger: Ledger, destinations: tuple[Any, ...], patience: Mapping[str, float]) -> SenderCore:
    """Return the sender for these, one for each ledger and way to send."""
    known, key = _senders.setdefault(ledger, {}), (destinations, *sorted(patience.items()))
    if key not in known:
        known[key] = SenderCore(ledger, list(destinations), **patience)
    return known[key]


def _body(destination: str, track_id: str, metrics: Mapping[str, Any], operation_type: str) -> str:
    if destination == "biznder":
        return json.dumps({"track_id": track_id, "metrics": complete(metrics)})
    data = {"track_id": track_id, "operation": operation_type, "metrics": {**metrics, **complete(metrics)}}
    return json.dumps({"type": f"ragmeter.usage.{operation_type}", "data": data})


def deliver(
    track_id: str,
    metrics: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
    operation_type: str,
    ledger: Ledger | None = None,
) -> list[str]:
    """Put the usage of a finished operation into the outbox and see to it that it is sent. Never raises.

    Args:
        track_id: What it is about; the events of one are sent in order.
        metrics: A metrics object such as `TokenTracker.get_usage()` returns, or a function that returns it, which is
            called only if somebody wants to know.
        operation_type: `upload`, `query`, …
        ledger: Whose outbox; that of the ledger in use if not given.

    Returns:
        Ids of the events, one for each configured backend; empty if there is none.
    """
    try:
        book = ledger if ledger is not None else current_ledger()
        destinations = _destinations()
        if not destinations:
            return []
        if book is None:
            _say_once("usage is sent from a ledger's outbox and there is no ledger (RAGMETER_LEDGER); it is not sent")
            return []
        numbers = metrics() if callable(metrics) else metrics
        ids = [
            book.send(name, track_id, operation_type, _body(name, track_id, numbers, operation_type))
            for name, *_ in destinations
        ]
        start_sender(book)
    except Exception as exc:  # noqa: BLE001 - the user's operation is over and well
        report_error("sending usage", exc)
        return []
    return ids


def announce(subject: str, kind: str, data: Mapping[str, Any]) -> None:
    """Put an event for `RAGMETER_WEBHOOK_URL` into the outbox of the ledger in use, if there are both."""
    ledger = current_ledger()
    if ledger is None or not os.environ.get("RAGMETER_WEBHOOK_URL"):
        return
    ledger.send("webhook", subject, kind, json.dumps({"type": f"ragmeter.{kind}", "data": data}))
    start_sender(ledger)


async def send_metrics_to_backend(track_id: str, metrics: Mapping[str, Any], operation_type: str = "upload") -> bool:
    """Send the usage of an operation to every configured backend. Never raises.

    With a ledger it is put into the outbox, which sends it until it is taken. Without one it is posted once.

    Returns:
        Whether it is in the outbox, or was taken by every backend; False if none is configured.
    """
    if current_ledger() is not None:
        return bool(deliver(track_id, metrics, operation_type))
    import asyncio  # 50 ms, for those who await

    try:
        destinations = _destinations()
        answers = [
            await asyncio.to_thread(
                post_once,
                destination,
                track_id,
                operation_type,
                _body(destination[0], track_id, metrics, operation_type),
            )
            for destination in destinations
        ]
    except Exception as exc:  # noqa: BLE001 - the user's operation is over and well
        report_error("sending usage", exc)
        return False
    for answer in answers:
        if answer is not None:
            logger.warning("ragmeter: usage of %s was not sent: %s", track_id, answer)
    return bool(answers) and not any(answers)


async def send_upload_metrics(track_id: str, metrics: Mapping[str, Any]) -> bool:
    """Send the usage of an upload; see `send_metrics_to_backend`."""
    return await send_metrics_to_backend(track_id, metrics, "upload")


async def send_query_metrics(track_id: str, metrics: Mapping[str, Any]) -> bool:
    """Send the usage of a query; see `send_metrics_to_backend`."""
    return await send_metrics_to_backend(track_id, metrics, "query")
