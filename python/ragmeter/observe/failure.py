"""Failure: what the error of a request says about its bill."""

from __future__ import annotations

__all__ = ["may_be_billed", "refused"]

_NEVER_SENT = frozenset({
    "ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol", "InvalidURL",  # httpx, httpx2
    "ClientConnectorError", "ClientConnectorDNSError", "ConnectionTimeoutError",  # aiohttp
    "NewConnectionError", "ConnectTimeoutError", "MissingSchema", "InvalidSchema",  # urllib3, requests
    "EndpointConnectionError", "ProxyConnectionError", "ParamValidationError", "NoCredentialsError",  # botocore
})  # fmt: skip
"""Errors after which the server cannot have billed anything, by name: none of the packages need be there."""

_FIRST_ERROR = 400


def refused(exc: BaseException) -> bool:
    """Whether the server itself answered that it would not serve the request; what it refuses it does not bill."""
    response = getattr(exc, "response", None)
    if isinstance(response, dict):  # botocore
        return bool(response.get("Error"))
    if any(isinstance(getattr(thing, "status_code", None), int) for thing in (exc, response)):
        return True
    codes = (getattr(exc, name, None) for name in ("code", "http_status", "status"))
    return any(isinstance(code, int) and code >= _FIRST_ERROR for code in codes)


def may_be_billed(exc: BaseException) -> bool:
    """Whether the request may have reached a server that worked on it; a connection never made is not billed."""
    if refused(exc):
        return False
    cause: BaseException | None = exc
    while cause is not None:
        kinds = [*type(cause).__mro__, *(type(inner) for inner in _inner(cause))]
        if any(kind.__name__ in _NEVER_SENT for kind in kinds):
            return False
        cause = cause.__cause__
    return True


def _inner(exc: BaseException) -> list[object]:
    """The errors that `requests` and `urllib3` wrap into theirs without saying so."""
    wrapped = exc.args[0] if exc.args else None
    return [wrapped, getattr(wrapped, "reason", None), getattr(exc, "reason", None)]
