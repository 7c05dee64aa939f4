"""Observer of the `zhipuai` SDK (2.x): chat and embeddings, plain and streamed. It has no async client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragmeter.observe.stainless import plan as plan_clients
from ragmeter.observe.zhipu import ZhipuSent

if TYPE_CHECKING:
    from ragmeter.observe.patch import Patches

__all__ = ["plan"]


def plan() -> Patches:
    """Plan to observe the SDK."""
    from zhipuai.core._http_client import HttpClient

    return plan_clients(ZhipuSent, HttpClient)
