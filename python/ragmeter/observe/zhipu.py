"""What Zhipu's two SDKs share: a client made after one of Stainless's, with retries in a place of its own."""

from __future__ import annotations

from ragmeter.observe.stainless import Sent

__all__ = ["ZhipuSent"]


class ZhipuSent(Sent):
    """A request to Zhipu, by whichever of its SDKs. Streams say their usage unasked."""

    OPERATIONS = {"/chat/completions": "chat", "/embeddings": "embeddings"}  # noqa: RUF012 - read only
    PROVIDERS = {"open.bigmodel.cn": "zhipu", "api.z.ai": "zhipu"}  # noqa: RUF012
