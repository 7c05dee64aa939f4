"""App: puts the endpoints together, and sees to it that every answer has one form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from ragmeter.api import llm, tenants
from ragmeter.api.access import Limiter, Superuser
from ragmeter.api.envelope import REFUSALS, Code, Envelope, RefusedError, done, refusal
from ragmeter.export.prometheus import CONTENT_TYPE
from ragmeter.ledger import LedgerError
from ragmeter.meter import logger
from ragmeter.tenants.models import NotThereError
from ragmeter.tenants.validation import Validator
from ragmeter.tenants.vault import VaultError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ragmeter.export.prometheus import Totals
    from ragmeter.tenants.service import TenantLLMService

__all__ = ["create_app"]

_MOST_BODY = 1 << 20
_TRIES_A_MINUTE = 10


def create_app(
    service: TenantLLMService,
    *,
    validator: Validator | None = None,
    tries_a_minute: int = _TRIES_A_MINUTE,
    totals: Totals | None = None,
) -> FastAPI:
    """Return the application.

    Args:
        service: What it serves.
        validator: Tries keys; None for one with the usual time-out.
        tries_a_minute: How many keys a tenant may try in a minute.
        totals: Counts of this process for `metrics`.
    """
    app = FastAPI(
        title="ragmeter",
        description="Tenants, their models and keys, and what they use.",
        version="1",
        responses=REFUSALS,
        redirect_slashes=False,
    )
    app.state.service = service
    app.state.validator = validator if validator is not None else Validator(service.catalog)
    app.state.limiter = Limiter(tries_a_minute, 60)
    for prefix in ("/api/v1/llm", "/v1/llm"):
        app.include_router(llm.router, prefix=prefix)
    app.include_router(tenants.router, prefix="/api/v1")
    app.add_middleware(_SmallBodies)
    _add_handlers(app)

    @app.get("/api/v1/health", tags=["server"])
    def health() -> Envelope:
        """Return whether the database answers. Takes no token and tells nothing else."""
        service.ledger.check()
        return done({"status": "ok"})

    @app.get("/api/v1/metrics", tags=["server"], responses={200: {"content": {"text/plain": {}}}}, response_model=None)
    def metrics(_: Superuser) -> PlainTextResponse:
        """Return the counters of this process in Prometheus' form."""
        return PlainTextResponse(totals.text() if totals is not None else "", media_type=CONTENT_TYPE)

    return app


def _add_handlers(app: FastAPI) -> None:
    handlers: list[tuple[type[Exception], Any]] = [
        (RefusedError, lambda exc: exc),
        (RequestValidationError, _wrong_arguments),
        (HTTPException, lambda exc: RefusedError(_code(exc.status_code), str(exc.detail), exc.status_code)),
        (LedgerError, _ledger_error),
        (NotThereError, lambda exc: RefusedError(Code.DATA, str(exc))),
        (ValueError, lambda exc: RefusedError(Code.ARGUMENT, str(exc))),
        (VaultError, lambda exc: RefusedError(Code.EXCEPTION, str(exc), 503)),
    ]

    def add(kind: type[Exception], translate: Any) -> None:
        @app.exception_handler(kind)
        async def handle(_: Request, exc: Exception) -> JSONResponse:
            return refusal(translate(exc))

    for kind, translate in handlers:
        add(kind, translate)


def _wrong_arguments(exc: RequestValidationError) -> RefusedError:
    """What is wrong, in RAGFlow's words where it is missing; never what came, which may be a key."""
    missing = [str(error["loc"][-1]) for error in exc.errors() if error["type"] == "missing"]
    if missing:
        return RefusedError(Code.ARGUMENT, f"required argument are missing: {','.join(missing)}; ")
    errors = exc.errors()
    if any(error["type"] == "json_invalid" for error in errors):
        return RefusedError(Code.ARGUMENT, "the body is no JSON", 400)
    where = [f"{'.'.join(map(str, error['loc'][1:]))}: {error['msg']}" for error in errors]
    return RefusedError(Code.ARGUMENT, "; ".join(where))


def _ledger_error(exc: LedgerError) -> RefusedError:
    if exc.kind == "duplicate":
        return RefusedError(Code.DATA, "there is one of that name already")
    if exc.kind == "unfit":
        return RefusedError(Code.ARGUMENT, "the database cannot hold this value")
    logger.error("ragmeter: the database failed a request: %s", exc)
    return RefusedError(Code.EXCEPTION, "the database does not answer", 503)


def _code(status: int) -> Code:
    return {401: Code.UNAUTHORIZED, 403: Code.PERMISSION, 404: Code.NOT_FOUND}.get(status, Code.ARGUMENT)


class _SmallBodies:
    """Refuses bodies that are larger than any of ours, before they are in memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        size, messages = 0, []
        while True:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            if size > _MOST_BODY:
                error = RefusedError(Code.ARGUMENT, f"a body has at most {_MOST_BODY:,} bytes", 413)
                await refusal(error)(scope, receive, send)
                return
            if message["type"] != "http.request" or not message.get("more_body"):
                break

        async def replay() -> Message:
            return messages.pop(0) if messages else await receive()

        await self._app(scope, replay, send)
