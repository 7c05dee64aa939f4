"""TenantLLMService: the tenants, the models they have configured, and what they have used."""

from __future__ import annotations

import functools
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ragmeter._native import Usage, record
from ragmeter.ledger import Ledger, LedgerError
from ragmeter.quota import Quota
from ragmeter.tenants.catalog import Catalog
from ragmeter.tenants.limits import set_limit
from ragmeter.tenants.models import (
    MODEL_TYPES,
    NotThereError,
    Tenant,
    TenantLLM,
    model_type,
    operation,
    split_name,
    stored_name,
)
from ragmeter.tenants.rows import Rows
from ragmeter.tenants.secret import Secret
from ragmeter.tenants.stored import LLM, LLM_KEY, TENANT, llm_of, row_of, tenant_of
from ragmeter.tenants.tokens import Tokens
from ragmeter.tenants.usage import tokens, used, used_rows
from ragmeter.tenants.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TenantLLMService"]

_LONGEST_NAME = 128
_MOST_LABELS = 10_000


class TenantLLMService:
    """Configuration and usage of tenants, in the database of a ledger.

    Args:
        ledger: The ledger, or its URL.
        vault: Encrypts keys; None for the one of the environment or the ledger's key file, made at first use.

    Raises:
        ValueError: The URL is none.
        LedgerError: From every method, where the database does not answer; never from `increase_usage`.

    Attributes:
        catalog: The factories and models there are.
        tokens: Who is let in over HTTP.

    Example:
        >>> import ragmeter.tenants, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> service = ragmeter.tenants.TenantLLMService(f"sqlite:{folder.name}/ledger.db")
        >>> service.create_tenant("acme").id
        'acme'
        >>> llm = service.create("acme", "OpenAI", "gpt-5-mini", "chat", api_key="sk-0123456789abcdef")
        >>> service.get_api_key("acme", "gpt-5-mini@OpenAI").api_key
        Secret('****cdef')
        >>> service.ledger.close()
        True
        >>> folder.cleanup()
    """

    def __init__(self, ledger: Ledger | str, vault: Vault | None = None) -> None:
        self.ledger = Ledger.open(ledger) if isinstance(ledger, str) else ledger
        self._vault = vault
        self._labels: dict[tuple[str, str | None], dict[str, Any]] = {}
        self.catalog = Catalog(self.ledger)
        self.tokens = Tokens(self.ledger)
        self._tenants = Rows(self.ledger, "tenants", TENANT, ("id",))
        self._llms = Rows(self.ledger, "tenant_llm", LLM, LLM_KEY)

    def __repr__(self) -> str:
        return f"TenantLLMService({self.ledger!r})"

    @property
    def vault(self) -> Vault:
        """What encrypts the keys."""
        if self._vault is None:
            self._vault = Vault.of(self.ledger.url)
        return self._vault

    @functools.cached_property
    def quota(self) -> Quota:
        """The quota in the ledger's database, where the limits of models hold: `ragmeter.run(quota=service.quota)`."""
        return Quota.open(self.ledger)

    # Tenants

    def create_tenant(self, tenant_id: str, title: str = "") -> Tenant:
        """Add a tenant.

        Raises:
            ValueError: Its id is no name.
            LedgerError: There is one of that id (kind `duplicate`).
        """
        tenant = Tenant(_name("tenant_id", tenant_id), title, created_at=_now())
        self._tenants.insert({**vars(tenant), "status": 1, "defaults": "{}"})
        return tenant

    def tenants(self) -> list[Tenant]:
        """Return every tenant."""
        return [tenant_of(row) for row in self._tenants.find()]

    def tenant(self, tenant_id: str) -> Tenant | None:
        """Return a tenant, or None."""
        return next((tenant_of(row) for row in self._tenants.find(id=tenant_id)), None)

    def ensure_tenant(self, tenant_id: str) -> Tenant:
        """Return a tenant; make it if it is not there."""
        try:
            return self.tenant(tenant_id) or self.create_tenant(tenant_id)
        except LedgerError as exc:
            found = self.tenant(tenant_id) if exc.kind == "duplicate" else None
            if found is None:
                raise
            return found

    def change_tenant(self, tenant_id: str, *, title: str | None = None, status: bool | None = None) -> Tenant:
        """Give a tenant another title, or switch it off and on: one that is off has no models and gets in nowhere.

        Raises:
            NotThereError: There is no such tenant.
        """
        given = {"title": title, "status": None if status is None else int(status)}
        changes = {name: value for name, value in given.items() if value is not None}
        if changes:
            self._tenants.update(changes, id=tenant_id)
        tenant = self.tenant(tenant_id)
        if tenant is None:
            msg = f"there is no tenant '{tenant_id}'"
            raise NotThereError(msg)
        return tenant

    def delete_tenant(self, tenant_id: str) -> bool:
        """Remove a tenant, its models and tokens; what it has used stays in the ledger. Whether there was one."""
        self._forget_limits(self._llms.find(tenant_id=tenant_id))
        self._llms.delete(tenant_id=tenant_id)
        for token in self.tokens.list(tenant_id):
            self.tokens.revoke(token.id)
        return self._tenants.delete(id=tenant_id) > 0

    def set_default(self, tenant_id: str, kind: str, name: str) -> None:
        """Let a tenant's calls of a type go to `model@factory`, where they name no model.

        Raises:
            NotThereError: The tenant has no such model, or there is no such tenant.
        """
        tenant, kind = self.tenant(tenant_id), model_type(kind)
        llm = self.get_api_key(tenant_id, name, kind)
        if tenant is None or llm is None:
            msg = f"tenant '{tenant_id}' has no {kind} model '{name}'"
            raise NotThereError(msg)
        defaults = {**tenant.defaults, kind: f"{llm.llm_name}@{llm.llm_factory}"}
        self._tenants.update({"defaults": json.dumps(defaults)}, id=tenant_id)

    # Models

    def create(
        self,
        tenant_id: str,
        llm_factory: str,
        llm_name: str,
        kind: str,
        *,
        api_key: Secret | str | None = None,
        api_base: str | None = None,
        max_tokens: int | None = None,
        quota: int | None = None,
        verified: bool = True,
    ) -> TenantLLM:
        """Configure a model that the tenant does not have.

        Raises:
            ValueError: There is no such type, or a name is none.
            LedgerError: The tenant has it already (kind `duplicate`).
        """
        now = _now()
        llm = TenantLLM(
            _name("tenant_id", tenant_id),
            _name("llm_factory", llm_factory),
            _name("llm_name", stored_name(llm_factory, llm_name)),
            model_type(kind),
            api_key=Secret(api_key) if isinstance(api_key, str) else api_key,
            api_base=api_base or None,
            max_tokens=max_tokens or 8192,
            quota=quota,
            verified=verified,
            created_at=now,
            updated_at=now,
        )
        self._llms.insert(self._row(llm))
        if llm.quota is not None:
            set_limit(self.quota, llm)
        return llm

    def save(self, llms: Sequence[TenantLLM]) -> None:
        """Configure models, each in the place of the one that the tenant has; all or none.

        A limit and a status that were set stay.
        """
        rows, now = [], _now()
        for llm in llms:
            name = stored_name(llm.llm_factory, _name("llm_name", llm.llm_name))
            before = self.get(llm.tenant_id, llm.llm_factory, name, llm.model_type)
            kept: dict[str, Any] = {"created_at": now}
            if before is not None:
                kept = {"created_at": before.created_at, "quota": before.quota, "status": before.status}
            rows.append(self._row(replace(llm, updated_at=now, llm_name=name, **kept)))
        self._llms.put(rows)

    def get(self, tenant_id: str, llm_factory: str, llm_name: str, kind: str) -> TenantLLM | None:
        """Return a model of a tenant by its whole key, or None. Its `used_tokens` are not filled in; see `list`."""
        key = {"llm_factory": llm_factory, "llm_name": llm_name, "model_type": model_type(kind)}
        return next((self._llm(row) for row in self._llms.find(tenant_id=tenant_id, **key)), None)

    def list(self, tenant_id: str) -> list[TenantLLM]:
        """Return the models of a tenant with the tokens that each has used."""
        llms = [self._llm(row) for row in self._llms.find(tenant_id=tenant_id)]
        counts, _ = used(llms, used_rows(self.ledger, tenant_id))
        return [
            replace(llm, used_tokens=counts.get((llm.llm_factory, llm.llm_name, llm.model_type), 0)) for llm in llms
        ]

    def unconfigured(self, tenant_id: str) -> Sequence[dict[str, Any]]:
        """Return what a tenant has used of models that it has not configured; see `Ledger.usage`."""
        llms = [self._llm(row) for row in self._llms.find(tenant_id=tenant_id)]
        return used(llms, used_rows(self.ledger, tenant_id))[1]

    def update(self, llm: TenantLLM, **changes: Any) -> TenantLLM:
        """Change `api_key`, `api_base`, `max_tokens`, `status`, `verified` or `quota` of a model.

        Raises:
            NotThereError: It is not there any more.
        """
        allowed = {"api_key", "api_base", "max_tokens", "status", "verified", "quota"}
        if wrong := set(changes) - allowed:
            msg = f"these cannot be changed: {', '.join(sorted(wrong))}"
            raise ValueError(msg)
        if isinstance(changes.get("api_key"), str):
            changes["api_key"] = Secret(changes["api_key"])
        changed = replace(llm, **changes, updated_at=_now())
        row = self._row(changed)
        key = {name: row[name] for name in LLM_KEY}
        if not self._llms.update({name: row[name] for name in (*changes, "updated_at")}, **key):
            msg = f"tenant '{llm.tenant_id}' has no model '{llm.llm_name}@{llm.llm_factory}'"
            raise NotThereError(msg)
        if "quota" in changes:
            set_limit(self.quota, changed)
        return changed

    def delete(self, tenant_id: str, llm_factory: str, llm_name: str | None = None, kind: str | None = None) -> int:
        """Remove a tenant's models of a factory, or one of them; how many there were."""
        where = {"tenant_id": tenant_id, "llm_factory": llm_factory}
        if kind is not None:
            where["model_type"] = model_type(kind)
        names: set[str] | None = None if llm_name is None else {llm_name, stored_name(llm_factory, llm_name)}
        self._forget_limits([row for row in self._llms.find(**where) if names is None or row["llm_name"] in names])
        if names is None:
            return self._llms.delete(**where)
        return sum(self._llms.delete(**where, llm_name=name) for name in names)

    def _forget_limits(self, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            if row["quota"] is not None:
                set_limit(self.quota, TenantLLM(*(row[name] for name in LLM_KEY)))

    def get_api_key(self, tenant_id: str, model_name: str = "", kind: str | None = None) -> TenantLLM | None:
        """Return the model that a name means, with its key; None if the tenant has none, or may not use it.

        Args:
            tenant_id: Whose it is.
            model_name: `model` or `model@factory`, with or without RAGFlow's `___` suffix; empty for the tenant's
                default of that type.
            kind: Its type, where the tenant has several of that name.
        """
        kind, tenant = model_type(kind) if kind is not None else None, self.tenant(tenant_id)
        if tenant is not None and not tenant.status:
            return None
        if not model_name:
            model_name = tenant.defaults.get(kind or "", "") if tenant is not None else ""
            if not model_name:
                return None
        llms = [self._llm(row) for row in self._llms.find(tenant_id=tenant_id, status=1)]
        name, factory = split_name(model_name, self.catalog.known | {llm.llm_factory for llm in llms})
        found = [
            llm
            for llm in llms
            if name in {llm.llm_name, llm.model}
            and factory in {None, llm.llm_factory}
            and kind in {None, llm.model_type}
        ]
        return min(found, key=lambda llm: MODEL_TYPES.index(llm.model_type), default=None)

    def my_llms(self, tenant_id: str, *, include_details: bool = False) -> dict[str, Any]:
        """Return what RAGFlow's `my_llms` answers: factory to its tags and the tenant's models of it."""
        found: dict[str, Any] = {}
        for llm in self.list(tenant_id):
            if llm.llm_factory not in found:
                factory = self.catalog.factory(llm.llm_factory)
                found[llm.llm_factory] = {"tags": factory["tags"] if factory is not None else "", "llm": []}
            entry: dict[str, Any] = {
                "type": llm.model_type,
                "name": llm.llm_name,
                "used_token": llm.used_tokens,
                "status": "1" if llm.status else "0",
            }
            if include_details:
                masked = llm.api_key.masked if llm.api_key is not None else ""
                entry |= {"api_base": llm.api_base or "", "max_tokens": llm.max_tokens, "api_key": masked}
                entry |= {"verified": llm.verified, "quota": llm.quota}
            found[llm.llm_factory]["llm"].append(entry)
        return found

    def rotate(self) -> int:
        """Encrypt every stored key anew with the newest key of the vault; how many there were."""
        rows = [row for row in self._llms.find() if row["api_key"]]
        for row in rows:
            key = {name: row[name] for name in LLM_KEY}
            # Only if nobody has stored another key meanwhile.
            self._llms.update({"api_key": self.vault.rotated(row["api_key"])}, **key, api_key=row["api_key"])
        return len(rows)

    # Usage

    def increase_usage(
        self,
        tenant_id: str,
        llm_type: str,
        used_tokens: int,
        llm_name: str | None = None,
        *,
        output_tokens: int = 0,
    ) -> bool:
        """Count tokens that a model of a tenant has used. Never waits for the database and never raises for its sake.

        They go the way of every call: to the runs around it and to the ledger's queue, journal and batches. A model
        that is not configured is recorded under its own name.

        Args:
            tenant_id: Who pays.
            llm_type: The model's type.
            used_tokens: Tokens in all.
            llm_name: `model` or `model@factory`.
            output_tokens: How many of them came out of the model, where that is known.

        Raises:
            ValueError: There is no such type, or the numbers are none.

        Returns:
            True, as in RAGFlow.
        """
        if not 0 <= output_tokens <= used_tokens:
            msg = f"of {used_tokens} used tokens, {output_tokens} cannot be output"
            raise ValueError(msg)
        labels = self._labels.get((llm_type, llm_name)) or self._label(llm_type, llm_name)
        usage = Usage(input_tokens=used_tokens - output_tokens, output_tokens=output_tokens)
        record(usage, tenant=tenant_id, **labels)
        return True

    def _label(self, llm_type: str, llm_name: str | None) -> dict[str, Any]:
        """Find out under which names a model is recorded, and see to it that the ledger hears."""
        self.ledger.ensure_attached()
        name, factory = split_name(llm_name, self.catalog.known) if llm_name else (None, None)
        provider = factory.lower() if factory is not None else None
        labels = {"provider": provider, "model": name, "operation": operation(model_type(llm_type))}
        if len(self._labels) > _MOST_LABELS:
            self._labels.clear()
        self._labels[llm_type, llm_name] = labels
        return labels

    def usage(self, tenant_id: str) -> dict[str, Any]:
        """Return the tokens that a tenant has used: in all, by model, and of models that it has not configured."""
        llms, rows = self.list(tenant_id), used_rows(self.ledger, tenant_id)
        return {
            "tenant_id": tenant_id,
            "used_tokens": sum(map(tokens, rows)),
            "calls": sum(row["calls"] for row in rows),
            "models": [llm.as_dict() for llm in llms],
            "unconfigured": [
                {"provider": row["provider"], "llm_name": row["model"], "model_type": row["operation"],
                 "used_tokens": tokens(row), "calls": row["calls"]}
                for row in used(llms, rows)[1]
            ],
        }  # fmt: skip

    def _row(self, llm: TenantLLM) -> dict[str, Any]:
        return row_of(llm, self.vault.lock(llm.api_key) if llm.api_key is not None else None)

    def _llm(self, row: dict[str, Any]) -> TenantLLM:
        return llm_of(row, self.vault.unlock(row["api_key"]) if row["api_key"] else None)


def _name(field: str, text: str) -> str:
    if not 0 < len(text) <= _LONGEST_NAME or not text.isprintable():
        msg = f"{field} has 1 to {_LONGEST_NAME} printable characters"
        raise ValueError(msg)
    return text


def _now() -> int:
    return time.time_ns() // 1000
