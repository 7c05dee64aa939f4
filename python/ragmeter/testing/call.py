"""One request that costs something, on its way from the door to the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ragmeter.testing.fault import Fault, Rule
from ragmeter.testing.text import pieces

if TYPE_CHECKING:
    from ragmeter.testing.text import Tokenizer

USAGE_FAULTS = frozenset({Fault.NO_USAGE, Fault.NULL_USAGE, Fault.BAD_USAGE})


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was accepted, and the fault that it meets."""

    api: str
    body: Mapping[str, Any]
    model: str
    id: str
    created: int
    azure: bool = False
    rule: Rule | None = None
    per_chunk: int = 4
    """Tokens in a chunk of a stream."""
    tokenizer: Tokenizer = pieces
    """Cuts a text into the tokens of a model."""

    def count(self, text: str) -> int:
        """How many tokens a text has."""
        return len(self.tokenizer(text, self.model))

    @property
    def fault(self) -> Fault | None:
        """What goes wrong."""
        return self.rule.fault if self.rule else None

    @property
    def include_usage(self) -> bool:
        """Whether the client asked for usage at the end of its stream."""
        options = self.body.get("stream_options")
        return isinstance(options, Mapping) and bool(options.get("include_usage"))

    def report(self, usage: dict[str, Any]) -> dict[str, Any]:
        """The usage key of an answer, as the fault would have it; nothing for NO_USAGE."""
        if self.rule is None or self.fault not in USAGE_FAULTS:
            return {"usage": usage}
        if self.fault is Fault.NO_USAGE:
            return {}
        return {"usage": self.rule.usage if self.fault is Fault.BAD_USAGE else None}

    def counts(self, counts: dict[str, int]) -> dict[str, Any]:
        """The counts of an answer that has them among its other members, as the fault would have them."""
        reported = self.report(counts).get("usage", {})
        if isinstance(reported, Mapping) and self.fault is not Fault.BAD_USAGE:
            return dict(reported)
        wrong = list(reported.values()) if isinstance(reported, Mapping) else []
        wrong = wrong or [None if isinstance(reported, Mapping) else reported]
        return {name: wrong[number % len(wrong)] for number, name in enumerate(counts)}

    @property
    def honest(self) -> bool:
        """Whether the usage in the answer is the true one."""
        return self.fault not in USAGE_FAULTS


class Event(NamedTuple):
    """One piece of a stream as it goes over the wire, and whether the true counts are in it."""

    data: bytes
    counts: bool = False


def dump(value: Any) -> bytes:
    """JSON as providers send it: compact and in UTF-8. NaN goes out as it is."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def sse(value: Any, name: str | None = None) -> bytes:
    """A server-sent event."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + dump(value) + b"\n\n"


DONE = b"data: [DONE]\n\n"
