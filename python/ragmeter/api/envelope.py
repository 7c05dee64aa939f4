"""Envelope: RAGFlow's form of an answer, and what each number in it means."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel

__all__ = ["REFUSALS", "Code", "Envelope", "RefusedError", "done", "refusal"]


class Code(IntEnum):
    """RAGFlow's numbers for what is wrong; 0 is none of them."""

    EXCEPTION = 100
    ARGUMENT = 101
    DATA = 102
    OPERATING = 103
    PERMISSION = 108
    UNAUTHORIZED = 401
    NOT_FOUND = 404


class Envelope(BaseModel):
    """Every answer. `code` is 0, or says what is wrong; HTTP's own status is 200 for wrong arguments and data too."""

    code: int = 0
    message: str = "success"
    data: Any = None


class RefusedError(Exception):
    """What ends a request with an envelope that says why."""

    def __init__(self, code: Code, message: str, status: int = 200, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.headers = code, message, status, headers


def done(data: Any = True, message: str = "success") -> Envelope:
    """Return the envelope of a success."""
    return Envelope(data=data, message=message)


def refusal(error: RefusedError) -> JSONResponse:
    """Return the answer that says why not."""
    content = {"code": int(error.code), "message": error.message, "data": None}
    return JSONResponse(content, error.status, error.headers)


def _says(text: str) -> dict[str, Any]:
    return {"model": Envelope, "description": text}


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: _says("The body is no JSON."),
    401: _says("There is no token, or a wrong one."),
    403: _says("The token is not for this."),
    413: _says("The body is too large."),
    422: _says("Not used: wrong arguments are answered with 200 and code 101, as RAGFlow does."),
    429: _says("Too many keys were tried; `Retry-After` says when to come back."),
    503: _says("The database does not answer."),
}
"""Statuses other than 200 that any request may meet."""
