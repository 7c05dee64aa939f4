"""DashScope's own API: what is asked stands one level down; every piece of a stream has the counts so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter.testing import embeddings, rerank
from ragmeter.testing.call import Event, sse
from ragmeter.testing.dialects.dialect import Dialect, pieces
from ragmeter.testing.fault import Fault
from ragmeter.testing.vector import embed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ragmeter.testing.call import Call
    from ragmeter.testing.generate import Generation
    from ragmeter.testing.refusal import RefusedError

SERVICES = "/api/v1/services"


class DashScope(Dialect):
    """Generation from text and from other media, `text-embedding` and `text-rerank`."""

    PATHS = {  # noqa: RUF012
        f"{SERVICES}/aigc/(text|multimodal)-generation/generation": "chat",
        f"{SERVICES}/embeddings/text-embedding/text-embedding": "embeddings",
        f"{SERVICES}/rerank/text-rerank/text-rerank": "rerank",
    }

    def read(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The request in OpenAI's shape."""
        asked, parameters = body.get("input") or {}, body.get("parameters") or {}
        request = {"model": body.get("model"), **parameters, "media": "multimodal" in path}
        if "texts" in asked:
            return {**request, "input": asked["texts"], "dimensions": parameters.get("dimension")}
        if "query" in asked:
            return {**request, **asked}
        said = [{"role": "user", "content": asked["prompt"]}] if asked.get("prompt") else []
        said += [{**message, "content": _text(message.get("content"))} for message in asked.get("messages") or ()]
        return {**request, "messages": said}

    def streams(self, headers: Mapping[str, str]) -> bool:
        """Whether a header asks for events."""
        return headers.get("x-dashscope-sse") == "enable"

    def plain(self, call: Call, made: Generation) -> Any:
        """The body of an answer in one piece."""
        return self._answer(call, made, made.text, made.completion_tokens, made.finish)

    def stream(self, call: Call, made: Generation) -> Iterator[Event]:
        """The pieces of a streamed answer: all that was written so far, or what is new if that was asked for."""
        said, whole = "", len(made.choices[0])
        for part in pieces(call, made) if whole else [""]:
            said += part
            written = made.written - made.reasoning_tokens
            last = written == whole
            text = part if call.body.get("incremental_output") else said
            tokens = made.completion_tokens if last else written
            answer = self._answer(call, made, text, tokens, made.finish if last else "null")
            yield Event(sse(answer, "result"), counts=last and call.honest)

    def embed(self, call: Call, found: list[str | list[int]], dimensions: int) -> Any:
        """Vectors, each with the number of its text, and a total."""
        size = call.body.get("dimensions") or dimensions
        texts = [] if call.fault is Fault.EMPTY else embeddings.words(found)
        vectors = [{"text_index": index, "embedding": embed(text, size)} for index, text in enumerate(texts)]
        return self._whole(call, {"embeddings": vectors}, {"total_tokens": embeddings.tokens(call, found)})

    def rerank(self, call: Call, found: list[str]) -> Any:
        """The ranking one level down, and a total."""
        ranked = {"results": super().rerank(call, found)["results"]}
        return self._whole(call, ranked, {"total_tokens": rerank.tokens(call, found)})

    def refuse(self, refusal: RefusedError) -> tuple[dict[str, str], Any]:
        """DashScope's shape of an error."""
        return refusal.headers, {"code": "Refused", "message": str(refusal), "request_id": "r"}

    def _answer(self, call: Call, made: Generation, text: str, written: int, finish: str) -> dict[str, Any]:
        counts = {
            "input_tokens": made.prompt_tokens,
            "output_tokens": written,
            "total_tokens": made.prompt_tokens + written,
        }
        if not call.body["media"] and call.body.get("result_format") != "message":
            return self._whole(call, {"text": text, "finish_reason": finish}, counts)
        content = [{"text": text}] if call.body["media"] else text
        choice = {"finish_reason": finish, "message": {"role": "assistant", "content": content}}
        return self._whole(call, {"choices": [choice]}, counts)

    def _whole(self, call: Call, output: dict[str, Any], usage: dict[str, int]) -> dict[str, Any]:
        return {"output": output, **call.report(usage), "request_id": call.id}


def _text(content: Any) -> str:
    parts = content if isinstance(content, list) else [content]
    return "\n".join(str(part.get("text", "") if isinstance(part, dict) else part) for part in parts)
