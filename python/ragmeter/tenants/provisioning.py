"""Provisioning: the models that a new tenant begins with, from a `service_conf.yaml` and the catalog."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from ragmeter.tenants.keys import NO_KEY
from ragmeter.tenants.models import TenantLLM, split_name, stored_name
from ragmeter.tenants.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ragmeter.tenants.catalog import Catalog
    from ragmeter.tenants.service import TenantLLMService

__all__ = ["get_init_tenant_llm", "provision", "read_config"]

_NAMES = {
    "chat": ("chat_model",),
    "embedding": ("embedding_model",),
    "rerank": ("rerank_model",),
    "speech2text": ("asr_model", "speech2text_model"),
    "image2text": ("vision_model", "image2text_model"),
    "tts": ("tts_model",),
}
"""Type: what RAGFlow calls its default in `default_models`."""

_MOST_TOKENS = 8192
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


class _Choice(NamedTuple):
    """What a config says of one factory."""

    factory: str
    key: str
    base_url: str
    model: str
    kind: str


def read_config(path: Path) -> dict[str, Any]:
    """Read a `service_conf.yaml`; `${NAME}` and `${NAME:-else}` are those of the environment.

    Raises:
        ValueError: It is no mapping.
    """
    import yaml

    text = _VARIABLE.sub(lambda found: os.environ.get(found[1], found[2] or ""), path.read_text(encoding="utf-8"))
    content = yaml.safe_load(text)
    if not isinstance(content, dict):
        msg = f"{path} is no configuration of RAGFlow's form"
        raise ValueError(msg)
    return content


def get_init_tenant_llm(user_id: str, config: Mapping[str, Any], catalog: Catalog) -> list[TenantLLM]:
    """Return the models that a new tenant begins with: those of the configured factories, each once.

    Each model gets the key of its own factory. The factory of the defaults comes first; a model that is named as a
    default, and that the catalog does not know, comes along.

    Args:
        user_id: The tenant.
        config: Of `service_conf.yaml`'s form: `user_default_llm: {factory, api_key, base_url, default_models}`.
        catalog: Which models a factory offers.
    """
    found: dict[tuple[str, str, str], TenantLLM] = {}

    def add(choice: _Choice, name: str, kind: str, max_tokens: int | None) -> None:
        key, url = Secret(choice.key or NO_KEY), choice.base_url or None
        llm = TenantLLM(user_id, choice.factory, name, kind, key, url, max_tokens or _MOST_TOKENS, verified=False)
        found.setdefault((llm.llm_factory, llm.llm_name, llm.model_type), llm)

    choices = list(_choices(config.get("user_default_llm") or {}, catalog))
    for choice in {choice.factory: choice for choice in reversed(choices)}.values():
        for model in catalog.models(choice.factory):
            add(choice, model["llm_name"], model["model_type"], model["max_tokens"])
    for choice in choices:
        if choice.model:
            add(choice, choice.model, choice.kind, None)
    return list(found.values())


def provision(service: TenantLLMService, user_id: str, config: Mapping[str, Any]) -> list[TenantLLM]:
    """Make a tenant with the models of `get_init_tenant_llm`, and its defaults. Doing it again adds what is missing."""
    service.ensure_tenant(user_id)
    there = {(llm.llm_factory, llm.llm_name, llm.model_type) for llm in service.list(user_id)}
    llms = [
        llm
        for llm in get_init_tenant_llm(user_id, config, service.catalog)
        if (llm.llm_factory, stored_name(llm.llm_factory, llm.llm_name), llm.model_type) not in there
    ]
    service.save(llms)
    for choice in _choices(config.get("user_default_llm") or {}, service.catalog):
        if choice.model:
            service.set_default(user_id, choice.kind, f"{choice.model}@{choice.factory}")
    return llms


def _choices(defaults: Mapping[str, Any], catalog: Catalog) -> Iterable[_Choice]:
    """Yield what the config says, the whole's factory first; what a model leaves open is that of its factory."""
    whole = str(defaults.get("factory") or "")
    keys = {whole: (str(defaults.get("api_key") or ""), str(defaults.get("base_url") or ""))}
    models = defaults.get("default_models") or {}
    entries = []
    for kind, names in _NAMES.items():
        entry = next((models[name] for name in names if models.get(name)), None)
        entry = {"name": entry} if isinstance(entry, str) else entry
        if not isinstance(entry, dict):
            continue
        name, named = split_name(str(entry.get("name") or entry.get("model") or ""), catalog.known | {whole})
        factory = str(entry.get("factory") or named or whole)
        # The key of another factory is never handed on: only its own, here or said elsewhere.
        own = (str(entry.get("api_key") or ""), str(entry.get("base_url") or ""))
        if any(own):
            keys.setdefault(factory, own)
        entries.append((factory, name, kind, own))
    if kind_of := _tei():
        entries.append(("Builtin", kind_of, "embedding", ("", "")))
    if whole:
        yield _Choice(whole, *keys[whole], "", "chat")
    for factory, name, kind, own in entries:
        if factory:
            key, url = keys.get(factory, ("", ""))
            yield _Choice(factory, own[0] or key, own[1] or url, name, kind)


def _tei() -> str:
    """Return the embedding model of the container that RAGFlow's compose file starts, if it starts one."""
    return os.environ.get("TEI_MODEL", "") if "tei-" in os.environ.get("COMPOSE_PROFILES", "") else ""
