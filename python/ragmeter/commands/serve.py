"""`ragmeter serve`: the HTTP API of tenants."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from ragmeter.commands.chosen import add_url, complain
from ragmeter.ledger import Ledger, LedgerError

if TYPE_CHECKING:
    import argparse

    from ragmeter.tenants.service import TenantLLMService

__all__ = ["add_arguments", "application", "first_token", "run"]

_USUAL = "sqlite:ragmeter.db"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ragmeter serve`."""
    add_url(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=9384, help="port to listen on (default: 9384)")
    parser.add_argument("--openapi", action="store_true", help="print the OpenAPI document and end")


def run(arguments: argparse.Namespace) -> int:
    """Run the server; 2 if it cannot start."""
    from ragmeter.tenants.vault import VaultError

    url = arguments.ledger or _USUAL
    try:
        import uvicorn

        from ragmeter.tenants.service import TenantLLMService

        if arguments.openapi:
            return _print_openapi(TenantLLMService(Ledger(url)))
        service = TenantLLMService(Ledger.open(url))
        app = application(service)
        _ = service.vault  # the key file is made now, and not with the first key
        token = first_token(service)
        service.ledger.flush(0)  # what earlier processes have left is brought and sent from now on
    except ImportError as exc:
        print(f"ragmeter: {exc}; the server takes: pip install ragmeter[server]", file=sys.stderr)
        return 2
    except (LedgerError, VaultError, ValueError) as exc:
        return complain(exc)
    print(f"ledger  {service.ledger.url}")
    print(f"open    http://{arguments.host}:{arguments.port}/docs")
    if token is not None:
        print(f"token   {token}\n        of a superuser; it is shown this once", flush=True)
    uvicorn.run(app, host=arguments.host, port=arguments.port, log_level=os.environ.get("RAGMETER_LOG_LEVEL", "info"))
    return 0


def _print_openapi(service: TenantLLMService) -> int:
    import json

    from ragmeter.api import create_app

    print(json.dumps(create_app(service).openapi(), indent=2))
    return 0


def first_token(service: TenantLLMService) -> str | None:
    """Return a token of a superuser if there is no token yet, else None."""
    if service.tokens.list():
        return None
    return service.tokens.make(None, "first", superuser=True)[1].reveal()


def application(service: TenantLLMService, **options: Any) -> Any:
    """Return the application with the counters of this process."""
    from ragmeter.api import create_app
    from ragmeter.export.prometheus import Totals

    return create_app(service, totals=Totals(labels=["tenant", "model", "operation"]), **options)
