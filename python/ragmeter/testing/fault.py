"""Faults: what a provider, or the network before it, does wrong, and when."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Fault(str, Enum):
    """One way in which an answer can go wrong."""

    RATE_LIMIT = "rate_limit"
    """429 with `retry-after`; not billed."""
    SERVER_ERROR = "server_error"
    """500; not billed."""
    REJECT_STREAM_OPTIONS = "reject_stream_options"
    """400 for a request with `stream_options`, as some compatible servers answer; not billed."""
    CUT = "cut"
    """Stream: connection reset after `after` chunks; what was written until then is billed. Plain: body shorter than
    its content-length, billed whole."""
    STALL = "stall"
    """Stream: nothing more after `after` chunks until the client leaves; what was written until then is billed."""
    NO_USAGE = "no_usage"
    """No usage in the answer, even when `include_usage` asked for it."""
    NULL_USAGE = "null_usage"
    """`"usage": null` where the counts belong."""
    BAD_USAGE = "bad_usage"
    """`usage=` of the rule stands where the counts belong; see `BAD_USAGES`."""
    EMPTY = "empty"
    """Empty text that is billed all the same: every completion token was reasoning."""
    TRUNCATED = "truncated"
    """Half the text, `finish_reason` `length`; Responses: `response.incomplete`. Half the text is billed."""
    SLOW = "slow"
    """Waits `delay` seconds before the first byte and `pause` seconds before each further chunk."""
    USAGE_EVERY_CHUNK = "usage_every_chunk"
    """Running totals on every chunk of a stream, as vLLM does with `continuous_usage_stats`."""
    USAGE_ON_FINISH = "usage_on_finish"
    """The usage on the chunk with `finish_reason`, whose `choices` are not empty, as DeepSeek does."""


STREAM_ONLY = frozenset({Fault.USAGE_EVERY_CHUNK, Fault.USAGE_ON_FINISH})

BAD_USAGES: Mapping[str, Any] = {
    "strings": {"prompt_tokens": "12", "completion_tokens": "many", "total_tokens": ""},
    "negative": {"prompt_tokens": -12, "completion_tokens": -3, "total_tokens": -15},
    "floats": {"prompt_tokens": 12.5, "completion_tokens": 3.0, "total_tokens": 1e300},
    "nan": {"prompt_tokens": float("nan"), "completion_tokens": float("inf"), "total_tokens": float("-inf")},
    "bools": {"prompt_tokens": True, "completion_tokens": False, "total_tokens": True},
    "huge": {"prompt_tokens": 10**30, "completion_tokens": 2**63, "total_tokens": 2**64},
    "nulls": {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None},
    "list": [12, 3, 15],
    "text": "15 tokens",
    "number": 15,
    "empty": {},
    "nested": {
        "prompt_tokens": {"value": 12},
        "completion_tokens": [3],
        "total_tokens": 15,
        "prompt_tokens_details": 7,
        "completion_tokens_details": "none",
    },
}
"""Usage objects that no provider should send, by name."""


@dataclass(slots=True)
class Rule:
    """A fault and the requests it is meant for."""

    fault: Fault
    times: int | None = 1
    match: str | None = None
    role: str | None = None
    api: str | None = None
    after: int = 2
    delay: float = 0.5
    pause: float = 0.05
    usage: Any = field(default_factory=lambda: BAD_USAGES["strings"])
    hits: int = 0
    """How many requests met this fault so far."""

    def possible(self, *, api: str, body: Mapping[str, Any]) -> bool:
        """Whether this can happen to the request at all."""
        if self.fault is Fault.REJECT_STREAM_OPTIONS:
            return "stream_options" in body
        if self.fault is Fault.STALL:
            return bool(body.get("stream"))
        if self.fault in STREAM_ONLY:
            return bool(body.get("stream")) and api in {"chat", "completions"}
        return self.fault is not Fault.TRUNCATED or api in {"chat", "completions", "responses"}

    def meets(self, *, api: str, role: str, text: str, body: Mapping[str, Any]) -> bool:
        """Whether this rule is meant for the request, and not used up."""
        if self.times is not None and self.hits >= self.times:
            return False
        return self.possible(api=api, body=body) and (
            (self.match is None or self.match in text)
            and (self.role is None or self.role == role)
            and (self.api is None or self.api == api)
        )


class Faults:
    """The faults of one server. A request meets at most one: the next of the script, else the first rule that fits."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._rules: list[Rule] = []
        self._script: deque[Rule | None] = deque()

    def add(
        self,
        fault: Fault,
        *,
        times: int | None = 1,
        match: str | None = None,
        role: str | None = None,
        api: str | None = None,
        after: int = 2,
        delay: float = 0.5,
        pause: float = 0.05,
        usage: Any = BAD_USAGES["strings"],
    ) -> Rule:
        """Switch a fault on.

        Args:
            fault: What goes wrong.
            times: How many requests meet it; None for every one.
            match: Only requests whose text (or marker header) contains this.
            role: Only requests of this role, such as `"extract"`.
            api: Only `"chat"`, `"completions"`, `"responses"`, `"embeddings"` or `"rerank"`.
            after: CUT, STALL: events sent before the connection is reset or nothing more comes; the last two are
                never sent.
            delay: SLOW: seconds before the first byte.
            pause: SLOW: seconds before each further chunk. CUT: seconds before the reset, which takes from the client
                what it has not read.
            usage: BAD_USAGE: what to send instead of the counts; any JSON value, NaN included.

        Returns:
            The rule; its `hits` says how often it was used.
        """
        rule = Rule(fault, times, match, role, api, after, delay, pause, usage)
        with self._lock:
            self._rules.append(rule)
        return rule

    def script(self, *faults: Fault | Rule | None) -> None:
        """Say what happens to the next requests, one by one; None answers properly.

        A fault that cannot happen to its request is used up all the same.

        Example:
            >>> server.faults.script(Fault.RATE_LIMIT, Fault.SERVER_ERROR, None, Fault.CUT)  # doctest: +SKIP
        """
        with self._lock:
            self._script.extend(Rule(fault) if isinstance(fault, Fault) else fault for fault in faults)

    def pick(self, *, api: str, role: str, text: str, body: Mapping[str, Any]) -> Rule | None:
        """The fault that this request meets, counted as used."""
        with self._lock:
            if self._script:
                rule = self._script.popleft()
                if rule is not None and not rule.possible(api=api, body=body):
                    return None
            else:
                fitting = (rule for rule in self._rules if rule.meets(api=api, role=role, text=text, body=body))
                rule = next(fitting, None)
            if rule is not None:
                rule.hits += 1
            return rule

    def clear(self) -> None:
        """Switch every fault off and forget the script."""
        with self._lock:
            self._rules.clear()
            self._script.clear()
