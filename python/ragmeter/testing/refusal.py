"""Errors as OpenAI answers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

SHORT_KEY = 16
"""Keys shorter than this are hidden whole."""


class RefusedError(Exception):
    """A request that is answered with an error and not billed."""

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = "invalid_request_error",
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.body: dict[str, Any] = {"error": {"message": message, "type": kind, "param": param, "code": code}}

    @classmethod
    def invalid(cls, message: str, param: str | None = None, code: str | None = None) -> RefusedError:
        """400: something in the request is wrong."""
        return cls(400, message, param=param, code=code)

    @classmethod
    def missing(cls, param: str) -> RefusedError:
        """400: a parameter is not there."""
        return cls.invalid(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")

    @classmethod
    def key(cls, given: str) -> RefusedError:
        """401: no key, or a wrong one, of which the error shows the ends at most."""
        if not given:
            return cls(
                401, "You didn't provide an API key. You need to provide your API key in an Authorization header."
            )
        shown = "*" * len(given) if len(given) < SHORT_KEY else f"{given[:4]}{'*' * 8}{given[-4:]}"
        return cls(401, f"Incorrect API key provided: {shown}.", code="invalid_api_key")

    @classmethod
    def rate_limit(cls, model: str) -> RefusedError:
        """429 that may be tried again at once; only clients that do not know `retry-after-ms` wait a second."""
        message = f"Rate limit reached for {model} on tokens per min (TPM): Limit 200000. Please try again in 10ms."
        headers = {"retry-after": "1", "retry-after-ms": "10"}
        return cls(429, message, "tokens", code="rate_limit_exceeded", headers=headers)

    @classmethod
    def server_error(cls) -> RefusedError:
        """500."""
        message = "The server had an error while processing your request. Sorry about that!"
        return cls(500, message, "server_error", headers={"retry-after-ms": "10"})

    @classmethod
    def unknown_path(cls, method: str, path: str) -> RefusedError:
        """404."""
        return cls(404, f"Invalid URL ({method} {path})")

    @classmethod
    def method(cls, method: str, path: str) -> RefusedError:
        """405."""
        message = f"Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP method?)"
        return cls(405, message, code="method_not_supported")


def whole(body: Mapping[str, Any], key: str) -> int | None:
    """A parameter that has to be an integer above 0, or None where it is not given.

    Raises:
        RefusedError: 400 for anything else.
    """
    value = body.get(key)
    if value is None:
        return None
    if type(value) is not int or value < 1:
        raise RefusedError.invalid(f"Invalid '{key}': expected an integer above 0, but got {value!r:.40}.", key)
    return value
