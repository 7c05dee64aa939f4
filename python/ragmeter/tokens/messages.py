"""What a request costs beside its text: messages, tool calls, functions and images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ragmeter._native import Encoding, get_encoding, resolve_model

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ESTIMATED", "EXACT", "RULE", "MessageTokens", "count_message_tokens"]

EXACT, RULE, ESTIMATED = "exact", "family rule", "estimated"
_BASES = (EXACT, RULE, ESTIMATED)


class MessageTokens(NamedTuple):
    """The tokens of a request, and what the number rests on.

    `exact`: text in roles, as the provider itself counts it. `family rule`: the model's tokenizer, and a rule for the
    rest (functions, tool calls, names, images) that is published or was found by comparing counts. `estimated`: the
    tokenizer of the model is not public, or something in the request cannot be counted offline.
    """

    tokens: int
    basis: str


class _Family(NamedTuple):
    """What a chat costs beside its contents."""

    message: int
    reply: int
    """Tokens that open the answer, once a request."""
    name: int = 1
    functions: int = 9
    """Tokens around the functions, once a request that has some."""
    result: int = 2
    """Tokens of a tool's result beside the name of the tool."""
    role: bool = True


# The published rule: OpenAI cookbook, "How to count tokens with tiktoken". Models that reason open their answer with a
# token less, and say more around functions: found in 27 recorded requests of o3 and gpt-5 models.
_CHAT = _Family(message=3, reply=3)
_OLDEST = _Family(message=4, reply=3, name=-1)
_REASONING = _Family(message=3, reply=2, functions=90, result=9)
# Calls that are made at the same time stand in one more call. Found in recorded requests, as the two numbers above.
_PARALLEL = 15
# Rough values from recorded requests; the tokenizers are not public or not here.
_OTHERS: tuple[tuple[str, _Family], ...] = (
    ("claude", _Family(message=4, reply=3, role=False)),
    ("gemini", _Family(message=0, reply=0, role=False)),
    ("gemma", _Family(message=4, reply=3)),
    ("nova", _Family(message=0, reply=0, role=False)),
    ("deepseek", _Family(message=1, reply=2, role=False)),
    ("mistral", _Family(message=3, reply=1, role=False)),
    ("llama", _Family(message=4, reply=5)),
    ("qwen", _Family(message=4, reply=3)),
    ("glm", _Family(message=2, reply=3)),
)
# The system message that the template of gpt-oss writes before all others.
_HARMONY_SYSTEM = (
    "You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: 2024-06\n"
    "Current date: 2026-01-01\n\n"
    "Reasoning: medium\n\n# Valid channels: analysis, commentary, final. Channel must be included for every message."
)
_HARMONY_TOOLS = "\nCalls to these tools must go to the commentary channel: 'functions'."
_SYSTEM_ROLES = ("system", "developer")


def count_message_tokens(
    messages: Iterable[Any],
    model: str,
    tools: Iterable[Any] | None = None,
    *,
    functions: Iterable[Any] | None = None,
    response_format: Any = None,
) -> MessageTokens:
    """Count the input tokens of a chat request.

    Args:
        messages: Messages of the OpenAI API, as mappings or as objects of an SDK.
        model: Model that is asked, as the provider names it.
        tools: Tools of the request; those that are no functions cannot be counted.
        functions: Functions in the older form.
        response_format: Schema that the answer must have.
    """
    counter = _Counter(model)
    offered = [_mapping(tool) for tool in tools or ()]
    known = [_mapping(tool.get("function", tool)) for tool in offered if tool.get("type", "function") == "function"]
    known += [_mapping(function) for function in functions or ()]
    if len(known) - len(list(functions or ())) < len(offered):
        counter.limit(ESTIMATED)
    for message in messages:
        counter.add(_mapping(message))
    if known:
        counter.add_functions(known)
    if response_format is not None:
        counter.add_format(_mapping(response_format))
    return counter.finish()


def count_image_tokens(model: str, width: int, height: int, detail: str = "auto") -> MessageTokens:
    """Count the tokens of an image of so many pixels; `detail` is `auto`, `high` or `low`."""
    from ragmeter.tokens import images

    rule, published = images.rule_for(model)
    return MessageTokens(images.image_tokens(rule, width, height, detail), RULE if published else ESTIMATED)


class _Counter:
    def __init__(self, model: str) -> None:
        name, exact = resolve_model(model)
        self.model = model
        self.encoding: Encoding = get_encoding(name)
        self.family = _family(model, name, exact=exact)
        self.harmony = name == "o200k_harmony"
        self.basis = EXACT if exact else ESTIMATED
        self.tokens = self.family.reply
        self.has_system = False
        self.called: dict[str, Any] = {}
        if self.harmony:
            # How the host fills the template in (date, effort) is not known.
            self.limit(RULE)
            self.tokens += 4 + self.encoding.count(_HARMONY_SYSTEM)

    def limit(self, basis: str) -> None:
        """The result rests on no more than this."""
        self.basis = max(self.basis, basis, key=_BASES.index)

    def text(self, text: Any) -> int:
        return self.encoding.count(text) if isinstance(text, str) else 0

    def add(self, message: Mapping[str, Any]) -> None:
        role = message.get("role")
        self.tokens += self.family.message + (self.text(role) if self.family.role else 0)
        self.has_system |= role in _SYSTEM_ROLES
        if role not in (*_SYSTEM_ROLES, "user", "assistant"):
            self.limit(RULE)
        self.content(message.get("content"))
        if message.get("name"):
            self.limit(RULE)
            self.tokens += self.family.name + self.text(message["name"])
        self.calls(message)
        if message.get("refusal"):
            self.tokens += self.text(message["refusal"])
        if message.get("audio"):
            self.limit(ESTIMATED)

    def calls(self, message: Mapping[str, Any]) -> None:
        made = [_mapping(call) for call in message.get("tool_calls") or ()]
        calls = [_mapping(call.get("function")) for call in made]
        self.called |= {str(call.get("id")): found.get("name") for call, found in zip(made, calls, strict=True)}
        if message.get("function_call"):
            calls.append(_mapping(message["function_call"]))
        for call in calls:
            self.limit(RULE)
            self.tokens += 3 + self.text(call.get("name")) + self.text(call.get("arguments"))
        self.tokens += _PARALLEL if len(calls) > 1 else 0
        if message.get("tool_call_id"):
            self.tokens += self.family.result + self.text(self.called.get(str(message["tool_call_id"])))

    def content(self, content: Any) -> None:
        if content is None or isinstance(content, str):
            self.tokens += self.text(content)
            return
        for part in content if isinstance(content, Iterable) else ():
            if isinstance(part, str):
                self.tokens += self.text(part)
            else:
                self.part(_mapping(part))

    def part(self, part: Mapping[str, Any]) -> None:
        kind = part.get("type")
        if kind in ("text", "input_text", "output_text", "refusal"):
            self.tokens += self.text(part.get("text") or part.get("refusal"))
        elif kind in ("image_url", "input_image"):
            image = part.get("image_url")
            url = image if isinstance(image, str) else _mapping(image).get("url")
            detail = part.get("detail") or (_mapping(image).get("detail") if not isinstance(image, str) else None)
            self.image(str(url or ""), str(detail or "auto"))
        else:
            self.limit(ESTIMATED)

    def image(self, url: str, detail: str) -> None:
        from ragmeter.tokens import images

        rule, published = images.rule_for(self.model)
        size = images.size_of(url)
        fixed = detail == "low" and isinstance(rule, images.Tiles)
        self.limit(RULE if published and (size or fixed) else ESTIMATED)
        self.tokens += images.image_tokens(rule, *(size or images.UNKNOWN_SIZE), detail)

    def add_functions(self, functions: Sequence[dict[str, Any]]) -> None:
        from ragmeter.tokens.functions import render, undescribed

        self.limit(RULE)
        written = list(functions)
        self.tokens += self.text(render(written)) - undescribed(written)
        if self.harmony:
            self.tokens += 6 + self.text(_HARMONY_TOOLS)
        else:
            # The functions are part of the system message, if there is one.
            self.tokens += self.family.functions - (4 if self.has_system else 0)

    def add_format(self, response_format: Mapping[str, Any]) -> None:
        schema = response_format.get("json_schema") or response_format.get("schema")
        if schema is not None:
            import json

            self.limit(ESTIMATED)
            self.tokens += self.text(json.dumps(schema, separators=(",", ":"), default=str, ensure_ascii=False))

    def finish(self) -> MessageTokens:
        return MessageTokens(max(0, self.tokens), self.basis)


def _family(model: str, encoding: str, *, exact: bool) -> _Family:
    name = model.rsplit("/", 1)[-1].lower()
    if not exact:
        return next((family for part, family in _OTHERS if part in name), _CHAT)
    if encoding == "o200k_harmony":
        return _Family(message=3, reply=2)
    if name == "gpt-3.5-turbo-0301":
        return _OLDEST
    reasons = name.removeprefix("ft:").startswith(("o1", "o3", "o4", "gpt-5", "codex-")) and "chat" not in name
    return _REASONING if reasons else _CHAT


def _mapping(thing: Any) -> dict[str, Any]:
    """A mapping, or the fields of an object of an SDK."""
    if isinstance(thing, Mapping):
        return dict(thing)
    dump = getattr(thing, "model_dump", None)
    if callable(dump):
        fields = dump()
        return fields if isinstance(fields, dict) else {}
    return dict(vars(thing)) if hasattr(thing, "__dict__") else {}
