"""What the stub server billed: bills, their sums, and the thread-safe book they stand in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True)
class Bill:
    """One attempt that a provider would have charged for.

    `prompt_tokens` and `completion_tokens` are inclusive totals; every other count is a part of one of them.
    """

    id: str
    """Id in the answer's body, such as `chatcmpl-…`; embeddings and rerank have none, so theirs is `request_id`."""
    request_id: str
    """The `x-request-id` header of the answer."""
    path: str
    api: str
    """`chat`, `completions`, `responses`, `embeddings` or `rerank`."""
    model: str
    role: str
    """What LightRAG wanted: `extract`, `glean`, `keyword`, `summary`, `query`, `vlm`, `embedding`, `rerank`,
    or `other`."""
    stream: bool
    prompt_tokens: int
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    prompt_audio_tokens: int = 0
    completion_audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0
    text: str = ""
    """The visible answer, whole, even where only a part of it was sent; empty for embeddings and rerank."""
    status: int = 200
    fault: str | None = None
    markers: tuple[str, ...] = ()
    started: float = 0.0
    """Seconds since the epoch at which the request was read."""
    retry: int = 0
    """Which retry of the SDK this attempt was; 0 for the first attempt."""
    delivered: bool = False
    """Whether the true counts were written to the connection. False as well when the client did not ask for them."""

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def marker(self) -> str | None:
        """The first marker of the request."""
        return self.markers[0] if self.markers else None


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over bills. Tokens of embeddings and rerank are kept apart from the prompt tokens of models that answer."""

    calls: int = 0
    """Of every kind."""
    model_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    """`prompt_tokens` + `completion_tokens`, without embeddings and rerank."""
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    prompt_audio_tokens: int = 0
    completion_audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0
    embedding_calls: int = 0
    embedding_tokens: int = 0
    rerank_calls: int = 0
    rerank_tokens: int = 0

    @classmethod
    def of(cls, bills: Iterable[Bill]) -> Totals:
        """Add up any bills, such as `Totals.of(b for b in server.bills if b.role == "extract")`."""
        bills = list(bills)
        rerank = [bill for bill in bills if bill.api == "rerank"]
        model = [bill for bill in bills if bill.api not in {"embeddings", "rerank"}]
        embedding = [bill for bill in bills if bill.api == "embeddings"]
        return cls(
            calls=len(bills),
            model_calls=len(model),
            prompt_tokens=sum(bill.prompt_tokens for bill in model),
            completion_tokens=sum(bill.completion_tokens for bill in model),
            total_tokens=sum(bill.total_tokens for bill in model),
            cached_tokens=sum(bill.cached_tokens for bill in model),
            reasoning_tokens=sum(bill.reasoning_tokens for bill in model),
            prompt_audio_tokens=sum(bill.prompt_audio_tokens for bill in model),
            completion_audio_tokens=sum(bill.completion_audio_tokens for bill in model),
            accepted_prediction_tokens=sum(bill.accepted_prediction_tokens for bill in model),
            rejected_prediction_tokens=sum(bill.rejected_prediction_tokens for bill in model),
            embedding_calls=len(embedding),
            embedding_tokens=sum(bill.prompt_tokens for bill in embedding),
            rerank_calls=len(rerank),
            rerank_tokens=sum(bill.prompt_tokens for bill in rerank),
        )


class Ledger:
    """The bills of one server in the order in which they were written. Safe to read from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._bills: list[Bill] = []
        self._refused: list[Bill] = []

    def write(self, bill: Bill) -> None:
        """Add a bill; one whose status is an error goes to the refused attempts, which cost nothing."""
        with self._lock:
            (self._bills if bill.status == HTTPStatus.OK else self._refused).append(bill)

    def deliver(self, bill: Bill, delivered: bool) -> None:
        """Note whether the true counts went out."""
        with self._lock:
            bill.delivered = delivered

    def break_off(self, bill: Bill, written: int) -> None:
        """Note that an answer broke off when so many of its tokens were written; the rest is not billed."""
        with self._lock:
            bill.completion_tokens = written

    def bills(self) -> list[Bill]:
        """Copies of all bills."""
        with self._lock:
            return [replace(bill) for bill in self._bills]

    def refused(self) -> list[Bill]:
        """Copies of the attempts that were answered with an error and not billed."""
        with self._lock:
            return [replace(bill) for bill in self._refused]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._bills.clear()
            self._refused.clear()
