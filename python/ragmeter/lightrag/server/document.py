"""Document: the OpenAPI document of a server, with the numbers that are put into its answers."""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING, Any

from ragmeter.lightrag.server.numbers import of_nothing
from ragmeter.lightrag.server.pages import page_of
from ragmeter.meter import guard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ragmeter.observe.patch import Patches

__all__ = ["plan"]

_METRICS = {"$ref": "#/components/schemas/RagmeterMetrics"}
_COUNT = {"type": "integer", "minimum": 0}
_NAMES = ("prompt_tokens", "completion_tokens", "total_tokens", "call_count")

_OTHERS: dict[str, Any] = {
    "model": {"type": ["string", "null"], "description": "the model that took the most"},
    "origin": {"type": "string", "enum": ["reported", "partly_estimated"]},
    "by_role": {
        "type": "object",
        "additionalProperties": {"type": "object", "properties": dict.fromkeys(_NAMES, _COUNT)},
    },
}
"""What is no count in a metrics object."""

_NOTE = {"type": "string", "description": "where the numbers will be, or why there are none"}

_ADDED: dict[str, dict[str, Any]] = {
    "query": {"metrics": _METRICS},
    "upload": {
        "metrics": {
            "type": "object",
            "properties": {
                "status": {"type": "string", "enum": ["processing"]},
                "model": _OTHERS["model"],
                "note": _NOTE,
            },
        }
    },
    "status": {
        "metrics": {
            "allOf": [
                _METRICS,
                {
                    "properties": {
                        "status": {"type": "string", "enum": ["processing", "done", "unknown"]},
                        "note": _NOTE,
                    }
                },
            ]
        },
        "documents": {"type": "array", "items": {"type": "object", "properties": {"metrics": _METRICS}}},
    },
}
"""What a page adds to a JSON answer, by what it `says`."""

_LAST_LINE = "The last line is an object with one member, `metrics`: see RagmeterMetrics."


def plan(app: Any, patches: Patches) -> None:
    """Plan to have the OpenAPI document of a FastAPI application speak of `metrics`."""
    own: Callable[[], dict[str, Any]] = app.openapi
    made: list[tuple[object, dict[str, Any]]] = []

    @functools.wraps(own)
    def openapi() -> dict[str, Any]:
        document = own()
        with guard("describing the answers of a server"):
            if not made or made[-1][0] is not document:
                made[:] = [(document, _extended(document))]
            return made[-1][1]
        return document

    patches.plan(app, "openapi", openapi)


def _extended(document: Mapping[str, Any]) -> dict[str, Any]:
    extended: dict[str, Any] = copy.deepcopy(dict(document))
    counts = dict.fromkeys((name for name in of_nothing() if name not in _OTHERS), _COUNT)
    schemas = extended.setdefault("components", {}).setdefault("schemas", {})
    schemas["RagmeterMetrics"] = {"type": "object", "title": "Metrics", "properties": {**counts, **_OTHERS}}
    for path, operations in extended["paths"].items():
        for method, operation in operations.items():
            page = page_of(method.upper(), path)
            response = operation.get("responses", {}).get("200") if isinstance(operation, dict) else None
            if page is not None and page.says is not None and response is not None:
                _extend(response, page.says)
    return extended


def _extend(response: dict[str, Any], says: str) -> None:
    if says == "line":
        response["description"] = f"{response.get('description', '')} {_LAST_LINE}".strip()
        return
    content = response.setdefault("content", {}).setdefault("application/json", {})
    added = {"type": "object", "properties": _ADDED[says]}
    content["schema"] = {"allOf": [content["schema"], added]} if content.get("schema") else added
