"""Observer of the `zai` SDK (`zai-sdk` 0.2), which follows `zhipuai`: chat and embeddings, plain and streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragmeter.observe.stainless import plan as plan_clients
from ragmeter.observe.zhipu import ZhipuSent

if TYPE_CHECKING:
    from ragmeter.observe.patch import Patches

__all__ = ["plan"]


def plan() -> Patches:
    """Plan to observe the SDK."""
    from zai.core._http_client import HttpClient

    return plan_clients(ZhipuSent, HttpClient)
