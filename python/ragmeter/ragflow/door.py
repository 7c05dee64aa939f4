"""install() and uninstall()."""

from __future__ import annotations

__all__ = ["install", "installed", "uninstall"]


def install() -> None:
    """Not there yet."""
    raise NotImplementedError


def installed() -> bool:
    """Return whether RAGFlow counts through ragmeter."""
    return False


def uninstall() -> None:
    """Not there yet."""
