"""Offline token counters: exact for every encoding of OpenAI, without a download.

`get_encoding("o200k_base")` stands in for tiktoken's, also as LightRAG's `Tokenizer`.
"""

from ragmeter._native import (
    Counter,
    Encoding,
    count_tokens,
    count_tokens_batch,
    count_until,
    get_encoding,
    list_encoding_names,
    resolve_model,
    truncate_tokens,
)
from ragmeter.tokens.encoding import (
    HuggingFaceEncoding,
    decode,
    encode,
    encode_batch,
    encoding_for_model,
    load_tiktoken,
    load_tokenizer_json,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ragmeter.tokens.messages import MessageTokens, count_image_tokens, count_message_tokens
else:

    def __getattr__(name: str) -> object:
        # Counting a text needs none of it, and it takes longer to load than all the rest.
        if name not in ("MessageTokens", "count_image_tokens", "count_message_tokens"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from ragmeter.tokens import messages

        return getattr(messages, name)


__all__ = [
    "Counter",
    "Encoding",
    "HuggingFaceEncoding",
    "MessageTokens",
    "count_image_tokens",
    "count_message_tokens",
    "count_tokens",
    "count_tokens_batch",
    "count_until",
    "decode",
    "encode",
    "encode_batch",
    "encoding_for_model",
    "get_encoding",
    "list_encoding_names",
    "load_tiktoken",
    "load_tokenizer_json",
    "resolve_model",
    "truncate_tokens",
]
