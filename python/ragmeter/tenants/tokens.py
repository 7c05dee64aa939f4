"""Tokens: who is let in. Kept as digests; a token's text is shown once."""

from __future__ import annotations

import hashlib
import secrets
import time
import uuid
from typing import TYPE_CHECKING

from ragmeter.tenants.models import Token
from ragmeter.tenants.rows import Rows
from ragmeter.tenants.secret import Secret

if TYPE_CHECKING:
    from ragmeter.ledger import Ledger

__all__ = ["Tokens"]

_PREFIX = "rmk_"


class Tokens:
    """The tokens of a ledger's database."""

    def __init__(self, ledger: Ledger) -> None:
        columns = ("id", "digest", "tenant_id", "title", "superuser", "created_at")
        self._rows = Rows(ledger, "tokens", columns, ("id",))

    def make(self, tenant_id: str | None, title: str = "", *, superuser: bool = False) -> tuple[Token, Secret]:
        """Make a token for a tenant, or for a superuser; this is the only time that its text is there.

        Raises:
            ValueError: It is for neither.
        """
        if tenant_id is None and not superuser:
            msg = "a token is for a tenant or for a superuser"
            raise ValueError(msg)
        text = _PREFIX + secrets.token_urlsafe(32)
        token = Token(uuid.uuid4().hex, tenant_id, title, superuser, time.time_ns() // 1000)
        self._rows.insert({**vars(token), "superuser": int(superuser), "digest": _digest(text)})
        return token, Secret(text)

    def find(self, text: str) -> Token | None:
        """Return the token of that text, or None."""
        # The text has 256 random bits: looking up its digest gives away nothing by its time.
        rows = self._rows.find(digest=_digest(text)) if text.startswith(_PREFIX) else []
        return _token(rows[0]) if rows else None

    def list(self, tenant_id: str | None = None) -> list[Token]:
        """Return the tokens of a tenant, or all."""
        rows = self._rows.find() if tenant_id is None else self._rows.find(tenant_id=tenant_id)
        return [_token(row) for row in rows]

    def revoke(self, token_id: str, tenant_id: str | None = None) -> bool:
        """Remove a token, if it is the tenant's; whether there was one."""
        where = {"id": token_id} if tenant_id is None else {"id": token_id, "tenant_id": tenant_id}
        return self._rows.delete(**where) > 0


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _token(row: dict[str, object]) -> Token:
    row = {name: value for name, value in row.items() if name != "digest"}
    return Token(**{**row, "superuser": bool(row["superuser"])})  # type: ignore[arg-type]
