"""Tenants: their models and keys, what they use, and what they may use. See docs/tenants.md."""

from __future__ import annotations

from ragmeter.tenants.bundle import LLMBundle
from ragmeter.tenants.catalog import Catalog
from ragmeter.tenants.models import MODEL_TYPES, NotThereError, Tenant, TenantLLM, Token
from ragmeter.tenants.reach import Reach
from ragmeter.tenants.secret import Secret, scrub
from ragmeter.tenants.service import TenantLLMService
from ragmeter.tenants.vault import Vault, VaultError

__all__ = [
    "MODEL_TYPES",
    "Catalog",
    "LLMBundle",
    "NotThereError",
    "Reach",
    "Secret",
    "Tenant",
    "TenantLLM",
    "TenantLLMService",
    "Token",
    "Vault",
    "VaultError",
    "scrub",
]
