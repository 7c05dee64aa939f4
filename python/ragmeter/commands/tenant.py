"""`ragmeter tenant`: tenants, their models and keys, and what they have used."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragmeter.commands import tenant_limit
from ragmeter.commands.chosen import add_url, complain, open_ledger
from ragmeter.commands.table import table
from ragmeter.ledger import LedgerError
from ragmeter.tenants.models import NotThereError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from ragmeter.tenants.service import TenantLLMService

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ragmeter tenant`."""
    does = parser.add_subparsers(dest="action", metavar="action", required=True)

    def action(name: str, text: str, *arguments: str) -> argparse.ArgumentParser:
        sub = does.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        for argument in arguments:
            sub.add_argument(argument)
        add_url(sub)
        return sub

    action("add", "add a tenant", "tenant").add_argument("--title", default="", help="its name, for people")
    action("on", "let a tenant in again", "tenant")
    action("off", "let a tenant in no more: it has no models, and its tokens are refused", "tenant")
    action("list", "show the tenants").add_argument("--json", action="store_true", help="print JSON")
    key = action("key", "set the key of a factory, read from standard input or asked for", "tenant", "factory")
    key.add_argument("--model", help="one model of this name; default: every model of the catalog")
    key.add_argument("--type", default="chat", help="its type (default: chat)")
    key.add_argument("--base-url", help="URL of the API")
    key.add_argument("--max-tokens", type=int, help="size of its context")
    key.add_argument("--no-check", action="store_true", help="save without trying it; it stays unverified")
    action("usage", "show what a tenant has used", "tenant").add_argument(
        "--json", action="store_true", help="print JSON"
    )
    quota = action(
        "quota", "show or set how many tokens a model of a tenant may use; 'quota reconcile' settles what killed "
        "processes had reserved", "tenant",
    )  # fmt: skip
    quota.add_argument("model", nargs="?", help="model@factory")
    quota.add_argument("limit", nargs="?", help="tokens, or 'none'")
    quota.add_argument("--quota", help="reconcile: URL of the sums (default: the ledger's database)")
    tenant_limit.add_arguments(action("limit", "show or set what a tenant may spend, in which time", "tenant"))
    token = action("token", "make a token for the HTTP API, shown once", "tenant")
    token.add_argument("--title", default="", help="what it is for")
    token.add_argument("--superuser", action="store_true", help="let in to everything")
    action("catalog", "load factories and models from a llm_factories.json", "file")
    rotate = action("rotate", "encrypt every stored key anew")
    rotate.add_argument("--drop-old", action="store_true", help="remove older keys from the key file afterwards")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; 1 if what was named is not there, 2 if it cannot be done."""
    from ragmeter.tenants.service import TenantLLMService
    from ragmeter.tenants.vault import VaultError

    try:
        service = TenantLLMService(open_ledger(arguments.ledger))
        return _ACTIONS[arguments.action](service, arguments)
    except NotThereError as exc:
        print(f"ragmeter: {exc.args[0]}", file=sys.stderr)
        return 1
    except (LedgerError, VaultError, ValueError, OSError) as exc:
        return complain(exc)


def _add(service: TenantLLMService, arguments: argparse.Namespace) -> int:
    try:
        service.create_tenant(arguments.tenant, arguments.title)
    except LedgerError as exc:
        if exc.kind != "duplicate":
            raise
        msg = f"there is a tenant '{arguments.tenant}' already"
        raise ValueError(msg) from None
    print(f"added {arguments.tenant}")
    return 0


def _switch(service: TenantLLMService, arguments: argparse.Namespace) -> int:
    service.change_tenant(arguments.tenant, status=arguments.action == "on")
    print(f"{arguments.tenant} is {arguments.action}")
    return 0


def _list(service: TenantLLMService, arguments: argparse.Namespace) -> int:
    rows = [(tenant, service.usage(tenant.id)) for tenant in service.tenants()]
    if arguments.json:
        print(json.dumps([{**vars(tenant), "used_tokens": usage["used_tokens"]} for tenant, usage in rows], indent=2))
    elif rows:
        lines = [
            [tenant.id, tenant.title, "on" if tenant.status else "off", len(usage["models"]), usage["used_tokens"]]
            for tenant, usage in rows
        ]
        print(table(["tenant", "title", "status", "models", "used tokens"], lines))
    else:
        print("no tenants")
    return 0


def _key(service: TenantLLMService, arguments: argparse.Namespace) -> int:
    from ragmeter.tenants.keys import build
    from ragmeter.tenants.setup import Setup

    _known(service, arguments.tenant)
    # Not an argument: those stand in the list of processes and in the shell's history.
    text = getpass.getpass(f"key of {arguments.factory}: ") if sys.stdin.isatty() else sys.stdin.read().strip()
    key = build(arguments.factory, arguments.type, {"api_key": text})
    setup = Setup(service, check=not arguments.no_check, trusted=True)
    if arguments.model is None:
        done = setup.set_api_key(arguments.tenant, arguments.factory, key, arguments.base_url)
    else:
        done = setup.add_llm(
            arguments.tenant,
            arguments.factory,
            arguments.model,
            arguments.type,
            key,
            api_base=arguments.base_url,
            max_tokens=arguments.max_tokens,
        )
    print(done.message, file=sys.stdout if done.saved else sys.stderr)
    return 0 if done.saved else 2


def _usage(service: TenantLLMService, arguments: argparse.Namespace) -> int:
    _known(service, arguments.tenant)
    usage = service.usage(arguments.tenant)
    if arguments.json:
        print(json.dumps(usage, indent=2))
        return 0
    lines: list[list[Any]] = [
        [llm["llm_name"], llm["llm_factory"], llm["model_type"], llm["used_tokens"], _limit(llm["quota"])]
        for llm in usage["models"]
    ]
    lines += [
        [row["llm_name"] or "–", row["provider"] or "–", row["model_type"] or "–", row["used_tokens"], "not configured"]
        for row in usage["unconfigured"]
    ]
    lines.append(["total", "", "", usage["used_tokens"], ""])
    print(table(["model", "factory", "type", "used tokens", "quota"], lines))
    return 0


def _quota(service: TenantLLMService, arguments: argparse.Namespace) -> int:
    if arguments.tenant == "reconcile" and service.tenant("reconcile") is None:
        return _reconcile(service, arguments)
    _known(service, arguments.tenant)
    if arguments.model is None:
        return _usage(service, _with_json(arguments))
    llm = service.get_api_key(arguments.tenant, arguments.model)
    if llm is None:
        msg = f"tenant '{arguments.tenant}' has no model '{arguments.model}'"
        raise NotThereError(msg)
    if arguments.limit is not None:
        llm = service.update(llm, quota=None if arguments.limit == "none" else _tokens(arguments.limit))
    print(f"{llm.llm_name}@{llm.llm_factory}: {_limit(llm.quota)}")
    return 0


def _reconcile(service: TenantLLMService, arguments: argparse.Namespace) -> int:
    quota = tenant_limit.quota_of(service, arguments.quota)
    for tenant in service.tenants():
        quota.standing((tenant.id, None, None, None))  # whoever looks notices what has lapsed
    settled = quota.reconcile(service.ledger)
    print(f"{settled:,} calls of killed processes were settled")
    return 0


def _limit_of_tenant(service: TenantLLMService, arguments: argparse.Namespace) -> int:
    _known(service, arguments.tenant)
    return tenant_limit.run(service, arguments)


def _with_json(arguments: argparse.Namespace) -> argparse.Namespace:
    arguments.json = False
    return arguments


def _token(service: TenantLLMService, arguments: argparse.Namespace) -> int:
    _known(service, arguments.tenant)
    _, secret = service.tokens.make(arguments.tenant, arguments.title, superuser=arguments.superuser)
    print(secret.reveal())
    return 0


def _catalog(service: TenantLLMService, arguments: argparse.Namespace) -> int:
    print(f"{service.catalog.load(Path(arguments.file)):,} factories")
    return 0


def _rotate(service: TenantLLMService, arguments: argparse.Namespace) -> int:
    import os

    from ragmeter.tenants import vault

    path = vault.key_file(service.ledger.url)
    in_file = not os.environ.get("RAGMETER_SECRET_KEY")
    if in_file:
        vault.add_key(path)
    print(f"{service.rotate():,} keys were encrypted anew")
    if in_file and arguments.drop_old:
        print(f"{vault.drop_old_keys(path):,} older keys were removed from {path}")
    return 0


_ACTIONS: dict[str, Callable[[TenantLLMService, argparse.Namespace], int]] = {
    "add": _add, "list": _list, "key": _key, "usage": _usage, "quota": _quota, "token": _token, "catalog": _catalog,
    "rotate": _rotate, "limit": _limit_of_tenant, "on": _switch, "off": _switch,
}  # fmt: skip


def _known(service: TenantLLMService, tenant_id: str) -> None:
    if service.tenant(tenant_id) is None:
        msg = f"there is no tenant '{tenant_id}'"
        raise NotThereError(msg)


def _tokens(text: str) -> int:
    limit = int(text.replace(",", "").replace("_", ""))
    if limit < 0:
        msg = f"a limit is 0 tokens or more, not {limit}"
        raise ValueError(msg)
    return limit


def _limit(quota: int | None) -> str:
    return "no limit" if quota is None else f"{quota:,} tokens"
