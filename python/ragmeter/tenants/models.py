"""Models: what a tenant has configured, and the names that models go by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Container

    from ragmeter.tenants.secret import Secret

__all__ = [
    "MODEL_TYPES",
    "NotThereError",
    "Tenant",
    "TenantLLM",
    "Token",
    "model_type",
    "operation",
    "split_name",
    "stored_name",
]

MODEL_TYPES = ("chat", "embedding", "rerank", "image2text", "speech2text", "tts", "ocr")

_NEWER = {
    "vision": "image2text",
    "asr": "speech2text",
    "embeddings": "embedding",
    "text_embedding": "embedding",
    "vlm": "image2text",
}
"""Names of later releases of RAGFlow, and of ours, for the same types."""

_SUFFIXES = {
    "LocalAI": "___LocalAI",
    "HuggingFace": "___HuggingFace",
    "OpenAI-API-Compatible": "___OpenAI-API",
    "VLLM": "___VLLM",
}
"""Factories whose models RAGFlow stores under a name of their own, as people call theirs like somebody else's."""


class NotThereError(LookupError):
    """A tenant, a model or a factory that was named is not there."""


def model_type(name: str) -> str:
    """Return the type of model that `name` means, in any release of RAGFlow.

    Raises:
        ValueError: There is no such type.
    """
    found = _NEWER.get(name.lower(), name.lower())
    if found not in MODEL_TYPES:
        msg = f"model_type is one of {', '.join(MODEL_TYPES)}, not '{name}'"
        raise ValueError(msg)
    return found


def operation(kind: str) -> str:
    """Return what the ledger calls the work of a type of model."""
    return "embeddings" if kind == "embedding" else kind


def stored_name(factory: str, name: str) -> str:
    """Return the name that RAGFlow stores for a model of that factory: `llama` of VLLM is `llama___VLLM`."""
    suffix = _SUFFIXES.get(factory, "")
    return name if name.endswith(suffix) else name + suffix


def split_name(name: str, factories: Container[str]) -> tuple[str, str | None]:
    """Return the model and the factory of `model@factory`; the factory is None if none is named.

    An `@` belongs to the model's name where nothing known follows it.
    """
    model, at, factory = name.rpartition("@")
    return (model, factory) if at and model and factory in factories else (name, None)


@dataclass(frozen=True)
class Tenant:
    """Whoever pays.

    Attributes:
        id: Unique.
        title: Its name, for people.
        status: Whether it may do anything.
        defaults: Type of model to `model@factory`.
        created_at: Microseconds since 1970.
    """

    id: str
    title: str = ""
    status: bool = True
    defaults: dict[str, str] = field(default_factory=dict)
    created_at: int = 0


@dataclass(frozen=True)
class TenantLLM:
    """A model that a tenant has configured; unique by tenant, factory, name and type.

    Attributes:
        tenant_id: Who pays.
        llm_factory: Whose model it is: `OpenAI`.
        llm_name: The name it is stored under; see `stored_name`.
        model_type: One of `MODEL_TYPES`.
        api_key: Its key; shows itself masked.
        api_base: URL of the API; None for the factory's own.
        max_tokens: Size of its context.
        used_tokens: Tokens used so far, from the ledger; at most 2**63 - 1.
        status: Whether it may be used.
        verified: Whether the key was seen to work.
        quota: Tokens that it may use; None for no limit of its own.
    """

    tenant_id: str
    llm_factory: str
    llm_name: str
    model_type: str
    api_key: Secret | None = None
    api_base: str | None = None
    max_tokens: int = 8192
    used_tokens: int = 0
    status: bool = True
    verified: bool = True
    quota: int | None = None
    created_at: int = 0
    updated_at: int = 0

    @property
    def model(self) -> str:
        """The name that the API knows."""
        return self.llm_name.removesuffix(_SUFFIXES.get(self.llm_factory, ""))

    @property
    def provider(self) -> str:
        """The name of the factory in the ledger."""
        return self.llm_factory.lower()

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, the key masked."""
        fields = dict(vars(self))
        fields["api_key"] = self.api_key.masked if self.api_key is not None else None
        fields["status"] = "1" if self.status else "0"
        return fields


@dataclass(frozen=True)
class Token:
    """What lets somebody in. Its text is shown once, when it is made, and kept as a digest only."""

    id: str
    tenant_id: str | None
    title: str
    superuser: bool
    created_at: int
