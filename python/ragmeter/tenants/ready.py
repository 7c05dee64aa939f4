"""Ready: which class of ours can talk to a model, and makes it."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from ragmeter.tenants.litellm_models import PREFIXES, LiteLLMModel
from ragmeter.tenants.openai_models import OpenAIModel

if TYPE_CHECKING:
    from ragmeter.tenants.careful import Care
    from ragmeter.tenants.catalog import Catalog
    from ragmeter.tenants.models import TenantLLM
    from ragmeter.tenants.reach import Reach

__all__ = ["ready_model"]

_OTHER_PROTOCOLS = frozenset({"Tencent Hunyuan", "Tencent Cloud", "BaiduYiyan", "Fish Audio", "MinerU", "PaddleOCR"})
_TYPES = frozenset({"chat", "embedding", "rerank", "image2text", "speech2text", "tts"})


def ready_model(llm: TenantLLM, catalog: Catalog, care: Care | None = None, reach: Reach | None = None) -> Any:
    """Return an object that talks to a model, or None if none of ours can.

    Args:
        llm: The model.
        catalog: Says where factories are.
        care: Limits for a server that is not known yet.
        reach: What may be called, where there is no `care`; None for anything.
    """
    factory = catalog.factory(llm.llm_factory)
    url = llm.api_base or (factory["url"] if factory is not None else "") or None
    if llm.llm_factory in _OTHER_PROTOCOLS or llm.model_type not in _TYPES:
        return None
    if llm.llm_factory == "XunFei Spark":
        if llm.model_type != "chat":
            return None
        url = url or "https://spark-api-open.xf-yun.com/v1"
    # A URL that the tenant gives is taken for OpenAI's protocol, but for factories that are known to speak another.
    speaks_openai = url is not None and llm.llm_factory not in (PREFIXES.keys() - {"Cohere", "HuggingFace", "NVIDIA"})
    if speaks_openai and url is not None and importlib.util.find_spec("openai"):
        import openai  # noqa: F401 - a second, now and not on the time of the first call

        return OpenAIModel(llm, url, care, reach)
    # litellm's clients look a name up by themselves: what a stranger names is not called through them.
    is_free = reach is None and (care is None or care.reach is None)
    if llm.llm_factory in PREFIXES and is_free and importlib.util.find_spec("litellm"):
        return LiteLLMModel(llm, url, care)
    return None
