"""The endpoints of RAGFlow's `llm`: keys, models, factories."""

from __future__ import annotations

from fastapi import APIRouter, Request

from ragmeter.api.access import Access, Asking, Ours
from ragmeter.api.bodies import AddLlm, LlmName, LlmStatus, SetApiKey
from ragmeter.api.envelope import REFUSALS, Code, Envelope, RefusedError, done
from ragmeter.tenants import keys, models
from ragmeter.tenants.models import NotThereError, TenantLLM, stored_name
from ragmeter.tenants.setup import Done, Setup

__all__ = ["router"]

router = APIRouter(responses=REFUSALS, tags=["llm"])


@router.post("/set_api_key")
def set_api_key(body: SetApiKey, request: Request, access: Asking, tenant_id: Ours) -> Envelope:
    """Give all models of a factory a key, if one of up to three types of model answers to it."""
    request.app.state.limiter.take(tenant_id)
    key = keys.build(body.llm_factory, "chat", body.key_fields())
    return _answer(_setup(request, access).set_api_key(tenant_id, body.llm_factory, key, body.base_url))


@router.post("/add_llm")
def add_llm(body: AddLlm, request: Request, access: Asking, tenant_id: Ours) -> Envelope:
    """Add one model, if it answers; one whose type cannot be tried is saved as unverified."""
    request.app.state.limiter.take(tenant_id)
    key = keys.build(body.llm_factory, body.model_type, body.key_fields())
    return _answer(
        _setup(request, access).add_llm(
            tenant_id,
            body.llm_factory,
            body.llm_name,
            body.model_type,
            key,
            api_base=body.api_base,
            max_tokens=body.max_tokens,
        )
    )


@router.get("/factories")
def factories(access: Asking) -> Envelope:
    """Return the factories that take a key, with the types of their models."""
    return done(access.service.catalog.factories())


@router.get("/my_llms")
def my_llms(access: Asking, tenant_id: Ours, include_details: bool = False) -> Envelope:  # noqa: FBT001, FBT002, RUF100 - a query
    """Return the models of a tenant by factory, and what each has used."""
    return done(access.service.my_llms(tenant_id, include_details=include_details))


@router.get("/list")
def list_models(access: Asking, tenant_id: Ours, model_type: str | None = None) -> Envelope:
    """Return the models that a tenant may use, by factory."""
    kind = models.model_type(model_type) if model_type else None
    found: dict[str, list[dict[str, object]]] = {}
    for llm in access.service.list(tenant_id):
        if kind in {None, llm.model_type}:
            entry = {
                "llm_name": llm.llm_name,
                "model_type": llm.model_type,
                "fid": llm.llm_factory,
                "max_tokens": llm.max_tokens,
                "available": llm.status,
                "status": "1" if llm.status else "0",
            }
            found.setdefault(llm.llm_factory, []).append(entry)
    return done(found)


@router.post("/delete_llm")
def delete_llm(body: LlmName, access: Asking, tenant_id: Ours) -> Envelope:
    """Remove a model of a tenant."""
    if body.llm_name is None:
        raise RefusedError(Code.ARGUMENT, "required argument are missing: llm_name; ")
    return _removed(access.service.delete(tenant_id, body.llm_factory, body.llm_name))


@router.post("/delete_factory")
def delete_factory(body: LlmName, access: Asking, tenant_id: Ours) -> Envelope:
    """Remove all models of a factory from a tenant."""
    return _removed(access.service.delete(tenant_id, body.llm_factory))


@router.post("/enable_llm")
def enable_llm(body: LlmStatus, access: Asking, tenant_id: Ours) -> Envelope:
    """Switch a model of a tenant on or off."""
    for llm in _named(access, tenant_id, body.llm_factory, body.llm_name):
        access.service.update(llm, status=bool(body.status))
    return done()


def _named(access: Access, tenant_id: str, factory: str, name: str) -> list[TenantLLM]:
    names = {name, stored_name(factory, name)}
    found = [llm for llm in access.service.list(tenant_id) if llm.llm_factory == factory and llm.llm_name in names]
    if not found:
        msg = f"there is no model '{name}' of {factory}"
        raise NotThereError(msg)
    return found


def _setup(request: Request, access: Access) -> Setup:
    return Setup(access.service, request.app.state.validator, trusted=access.token.superuser)


def _answer(result: Done) -> Envelope:
    if not result.saved:
        raise RefusedError(Code.DATA, f"\n{result.message}")
    return done(message=result.message)


def _removed(count: int) -> Envelope:
    if not count:
        raise RefusedError(Code.DATA, "there is no such model")
    return done()
