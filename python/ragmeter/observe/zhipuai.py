"""Observer of the `zhipuai` SDK (2.x): chat and embeddings, plain and streamed. It has no async client.

Its client was made after one of Stainless's and retries in a place of its own. Streams say their usage unasked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragmeter.observe.stainless import Sent
from ragmeter.observe.stainless import plan as plan_clients

if TYPE_CHECKING:
    from ragmeter.observe.patch import Patches

__all__ = ["ZhipuSent", "plan"]


def plan() -> Patches:
    """Plan to observe the SDK."""
    from zhipuai.core._http_client import HttpClient

    return plan_clients(ZhipuSent, HttpClient)


class ZhipuSent(Sent):
    """A request to Zhipu, by whichever of its SDKs."""

    OPERATIONS = {"/chat/completions": "chat", "/embeddings": "embeddings"}  # noqa: RUF012 - read only
    PROVIDERS = {"open.bigmodel.cn": "zhipu", "api.z.ai": "zhipu"}  # noqa: RUF012
