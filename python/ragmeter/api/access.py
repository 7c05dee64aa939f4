"""Access: who is asking, and what he may see. Every request but `health` passes here."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Annotated, NamedTuple

from fastapi import Depends, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ragmeter.api.envelope import Code, RefusedError

if TYPE_CHECKING:
    from ragmeter.tenants.models import Token
    from ragmeter.tenants.service import TenantLLMService

__all__ = ["Access", "Asking", "Limiter", "Ours", "Superuser", "TenantName"]

_bearer = HTTPBearer(auto_error=False, description="A token of `ragmeter tenant token`, or the first one.")


class Access(NamedTuple):
    """Who is asking."""

    token: Token
    service: TenantLLMService

    def tenant(self, asked: str | None) -> str:
        """Return the tenant that a request is about.

        Raises:
            RefusedError: It is somebody else's, there is none of that name, or a superuser must say which.
        """
        if not self.token.superuser:
            if asked not in {None, self.token.tenant_id}:
                raise RefusedError(Code.PERMISSION, "the token is for another tenant", 403)
            return str(self.token.tenant_id)
        asked = asked if asked is not None else self.token.tenant_id
        if asked is None:
            raise RefusedError(Code.ARGUMENT, "required argument are missing: tenant_id; ")
        if self.service.tenant(asked) is None:
            raise RefusedError(Code.DATA, f"there is no tenant '{asked}'")
        return asked


def _asking(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None
) -> Access:
    service: TenantLLMService = request.app.state.service
    token = service.tokens.find(credentials.credentials) if credentials is not None else None
    if token is not None and not token.superuser:
        tenant = service.tenant(str(token.tenant_id))
        token = token if tenant is not None and tenant.status else None
    if token is None:
        raise RefusedError(
            Code.UNAUTHORIZED, "a valid token is needed: Authorization: Bearer …", 401, {"WWW-Authenticate": "Bearer"}
        )
    return Access(token, service)


Asking = Annotated[Access, Depends(_asking)]
"""Somebody with a valid token."""


def _superuser(access: Asking) -> Access:
    if not access.token.superuser:
        raise RefusedError(Code.PERMISSION, "this takes the token of a superuser", 403)
    return access


Superuser = Annotated[Access, Depends(_superuser)]
"""Somebody who may do everything."""

TenantName = Annotated[str, Query(min_length=1, max_length=128, description="Whose; a superuser must say.")]


def _ours(access: Asking, tenant_id: TenantName | None = None) -> str:
    return access.tenant(tenant_id)


Ours = Annotated[str, Depends(_ours)]
"""The tenant that a request is about, by the token or by `tenant_id`."""


class Limiter:
    """How often a tenant may do something, in this process.

    Args:
        times: How often at once.
        seconds: After how long that many are allowed again.
    """

    def __init__(self, times: int, seconds: float) -> None:
        self._times, self._rate = times, times / seconds
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, who: str) -> None:
        """Count one.

        Raises:
            RefusedError: That was one too many.
        """
        now = time.monotonic()
        with self._lock:
            left, at = self._left.get(who, (float(self._times), now))
            left = min(float(self._times), left + (now - at) * self._rate)
            if left < 1:
                wait = str(int((1 - left) / self._rate) + 1)
                message = f"too many keys were tried; come back in {wait} s"
                raise RefusedError(Code.OPERATING, message, 429, {"Retry-After": wait})
            self._left[who] = (left - 1, now)
