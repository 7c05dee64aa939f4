"""The endpoints of tenants: who they are, what they use, what they may use, who is let in."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query

from ragmeter.api.access import Asking, Superuser
from ragmeter.api.bodies import ChangeTenant, DefaultModel, MakeTenant, MakeToken, SetLimit, SetQuota
from ragmeter.api.envelope import REFUSALS, Code, Envelope, RefusedError, done
from ragmeter.tenants.limits import limits_of, put_limit, remove_limit
from ragmeter.tenants.models import MODEL_TYPES, stored_name

__all__ = ["router"]

router = APIRouter(responses=REFUSALS, tags=["tenants"])

_LABELS = ("provider", "model", "operation", "role", "user", "session", "document", "track_id")

_MOST_TOKENS = 100

Since = Annotated[str | None, Query(max_length=40, description="An age such as `7d`, or a time such as `2026-11-22`.")]
Label = Annotated[str | None, Query(max_length=128, description="For limits that count each by itself.")]


def _path(access: Asking, tenant_id: Annotated[str, Path(min_length=1, max_length=128)]) -> str:
    return access.tenant(tenant_id)


Named = Annotated[str, Depends(_path)]
"""The tenant of the path, seen by himself or by a superuser."""


@router.get("/tenants")
def list_tenants(access: Asking) -> Envelope:
    """Return every tenant for a superuser, else the one of the token."""
    if access.token.superuser:
        return done([vars(tenant) for tenant in access.service.tenants()])
    tenant = access.service.tenant(str(access.token.tenant_id))
    return done([vars(tenant)] if tenant is not None else [])


@router.post("/tenants")
def make_tenant(body: MakeTenant, access: Superuser) -> Envelope:
    """Add a tenant."""
    return done(vars(access.service.create_tenant(body.tenant_id, body.title)))


@router.get("/tenants/{tenant_id}")
def show_tenant(access: Asking, tenant_id: Named) -> Envelope:
    """Return a tenant."""
    tenant = access.service.tenant(tenant_id)
    return done(vars(tenant) if tenant is not None else None)


@router.patch("/tenants/{tenant_id}")
def change_tenant(body: ChangeTenant, access: Superuser, tenant_id: Named) -> Envelope:
    """Switch a tenant off or on, or give it another title. One that is off has no models and no way in."""
    return done(vars(access.service.change_tenant(tenant_id, title=body.title, status=body.status)))


@router.delete("/tenants/{tenant_id}")
def delete_tenant(access: Superuser, tenant_id: Named) -> Envelope:
    """Remove a tenant, its models and tokens; what it has used stays in the ledger."""
    return done(access.service.delete_tenant(tenant_id))


@router.put("/tenants/{tenant_id}/defaults")
def set_default(body: DefaultModel, access: Asking, tenant_id: Named) -> Envelope:
    """Let a tenant's calls of a type go to a model, where they name none."""
    access.service.set_default(tenant_id, body.model_type, body.model)
    return done()


@router.get("/tenants/{tenant_id}/usage")
def usage(
    access: Asking,
    tenant_id: Named,
    since: Since = None,
    until: Since = None,
    by: Annotated[str | None, Query(max_length=100, description=f"Labels: {', '.join(_LABELS)}")] = None,
    bucket: Annotated[str | None, Query(pattern="^(hour|day|month)$")] = None,
) -> Envelope:
    """Return what a tenant has used: by configured model, or by the labels and the time asked for."""
    if by is None and bucket is None and since is None and until is None:
        return done(access.service.usage(tenant_id))
    labels = [name for name in (by or "model").split(",") if name]
    if wrong := set(labels) - set(_LABELS):
        raise RefusedError(Code.ARGUMENT, f"there is no label '{min(wrong)}'; there are {', '.join(_LABELS)}")
    ledger = access.service.ledger
    rows = ledger.usage(labels, {"tenant": tenant_id}, since=since, until=until, bucket=bucket)
    return done([_plain(row) for row in rows])


@router.get("/tenants/{tenant_id}/calls")
def calls(
    access: Asking,
    tenant_id: Named,
    since: Since = None,
    until: Since = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(max_length=60, description="`next` of the page before.")] = None,
) -> Envelope:
    """Return single calls of a tenant in order of time, a page at once."""
    from ragmeter.ledger import micros

    begin = None
    if after is not None:
        call, _, part = after.partition(".")
        begin = (call, int(part) if part.isdecimal() and len(part) < 9 else 0)  # noqa: PLR2004
    where: dict[str, str | None] = {"tenant": tenant_id}
    ledger = access.service.ledger
    rows = ledger.page(where, ledger.search(where, micros(since), micros(until)), begin, limit)
    last = f"{rows[-1]['id']}.{rows[-1]['part']}" if len(rows) == limit else None
    return done({"calls": [_plain(row) for row in rows], "next": last})


@router.get("/tenants/{tenant_id}/quotas")
def quotas(access: Asking, tenant_id: Named) -> Envelope:
    """Return how many tokens each model of a tenant may use and has used."""
    names = ("llm_factory", "llm_name", "model_type", "quota", "used_tokens")
    found = [llm.as_dict() for llm in access.service.list(tenant_id)]
    return done([{name: llm[name] for name in names} for llm in found])


@router.put("/tenants/{tenant_id}/quotas")
def set_quota(body: SetQuota, access: Superuser, tenant_id: Named) -> Envelope:
    """Say how many tokens a model of a tenant may use. A tenant does not set its own limits."""
    name = stored_name(body.llm_factory, body.llm_name)
    llm = access.service.get(tenant_id, body.llm_factory, name, body.model_type)
    if llm is None:
        raise RefusedError(Code.DATA, "there is no such model")
    access.service.update(llm, quota=body.tokens)
    return done()


@router.get("/tenants/{tenant_id}/limits")
def limits(
    access: Asking, tenant_id: Named, user: Label = None, model: Label = None, operation: Label = None
) -> Envelope:
    """Return what a tenant may spend and has spent, and when that begins anew."""
    who = {"user": user, "model": model, "operation": operation}
    return done(limits_of(access.service.quota, tenant_id, shared=access.token.superuser, **who))


@router.put("/tenants/{tenant_id}/limits")
def set_limit(body: SetLimit, access: Superuser, tenant_id: Named) -> Envelope:
    """Say what a tenant may spend. A tenant does not set its own limits."""
    put_limit(access.service.quota, tenant_id, **body.model_dump())
    return done()


@router.delete("/tenants/{tenant_id}/limits/{name}")
def drop_limit(
    access: Superuser, tenant_id: Named, name: Annotated[str, Path(min_length=1, max_length=255)]
) -> Envelope:
    """Remove a limit of a tenant."""
    if not remove_limit(access.service.quota, tenant_id, name):
        raise RefusedError(Code.DATA, "there is no such limit")
    return done()


@router.get("/tenants/{tenant_id}/tokens")
def list_tokens(access: Asking, tenant_id: Named) -> Envelope:
    """Return the tokens of a tenant, without their texts."""
    return done([vars(token) for token in access.service.tokens.list(tenant_id)])


@router.post("/tenants/{tenant_id}/tokens")
def make_token(body: MakeToken, access: Asking, tenant_id: Named) -> Envelope:
    """Make a token; this answer is the only one that has its text."""
    if body.superuser and not access.token.superuser:
        raise RefusedError(Code.PERMISSION, "this takes the token of a superuser", 403)
    if len(access.service.tokens.list(tenant_id)) >= _MOST_TOKENS:
        raise RefusedError(Code.DATA, f"a tenant has at most {_MOST_TOKENS} tokens: remove one")
    token, secret = access.service.tokens.make(tenant_id, body.title, superuser=body.superuser)
    return done({**vars(token), "token": secret.reveal()})


@router.delete("/tenants/{tenant_id}/tokens/{token_id}")
def revoke_token(
    access: Asking, tenant_id: Named, token_id: Annotated[str, Path(min_length=1, max_length=64)]
) -> Envelope:
    """Remove a token of a tenant; that of a superuser is not the tenant's to remove."""
    theirs = (token for token in access.service.tokens.list(tenant_id) if token.id == token_id)
    if not access.token.superuser and any(token.superuser for token in theirs):
        raise RefusedError(Code.PERMISSION, "this takes the token of a superuser", 403)
    if not access.service.tokens.revoke(token_id, tenant_id):
        raise RefusedError(Code.DATA, "there is no such token")
    return done()


@router.get("/usage")
def all_usage(access: Superuser, since: Since = None, until: Since = None) -> Envelope:
    """Return what every tenant has used, the largest first."""
    rows = access.service.ledger.usage(["tenant"], since=since, until=until)
    return done([_plain(row) for row in rows])


@router.get("/model_types")
def model_types(_: Asking) -> Envelope:
    """Return the types of model there are."""
    return done(list(MODEL_TYPES))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the ledger as JSON has it; money is text, so that no reader makes a float of it."""
    return {**row, "reported_cost": str(row["reported_cost"]) if row["reported_cost"] is not None else None}
