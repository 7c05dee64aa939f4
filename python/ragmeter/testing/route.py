"""Which API a path means: OpenAI's own paths, Azure's, and those of the other dialects."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ragmeter.testing.dialects import DIALECTS
from ragmeter.testing.refusal import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ragmeter.testing.dialects.dialect import Dialect

APIS = {
    "/chat/completions": "chat",
    "/completions": "completions",
    "/responses": "responses",
    "/embeddings": "embeddings",
    "/rerank": "rerank",
}
DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)(/.+)")


class Route(NamedTuple):
    """Where a request goes."""

    api: str
    name: str = ""
    """The deployment, model or response named in the path."""
    azure: bool = False
    dialect: Dialect | None = None
    """Whose protocol it is, if it is not OpenAI's."""


def route(method: str, path: str, query: Mapping[str, str]) -> Route:
    """Find the API.

    Raises:
        RefusedError: 404 for a path that nobody serves, 405 for a wrong method.
    """
    for dialect in DIALECTS:
        if foreign := dialect.route(path):
            return _post(method, path, foreign)
    if found := DEPLOYMENT.fullmatch(path):
        if "api-version" not in query or APIS.get(found.group(2), "rerank") == "rerank":
            raise RefusedError(404, "Resource not found", "not_found", code="404")
        return _post(method, path, Route(APIS[found.group(2)], found.group(1), azure=True))
    azure = path.startswith("/openai/v1/")
    short = re.sub(r"^(?:/openai)?/v1(?=/)", "", path)
    if short in APIS and short != path:
        return _post(method, path, Route(APIS[short], azure=azure))
    if found := re.fullmatch(r"/(models|responses)(?:/([^/]+))?", short):
        if method != "GET":
            raise RefusedError.method(method, path)
        return Route("models" if found.group(1) == "models" else "response", found.group(2) or "", azure)
    raise RefusedError.unknown_path(method, path)


def _post(method: str, path: str, found: Route) -> Route:
    if method != "POST":
        raise RefusedError.method(method, path)
    return found
