"""Where RAGFlow is installed, found without importing it."""

from __future__ import annotations

import os
import sys

from ragmeter.meter import guard

__all__ = ["checkout", "prepare_cache", "source"]

_VOCABULARY = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
"""tiktoken's name for the file of `cl100k_base`: the SHA-1 of its address."""


def checkout() -> str | None:
    """Return the directory that RAGFlow would be imported from, or None if there is none on the path."""
    for entry in sys.path:
        if all(os.path.isfile(os.path.join(entry, *path)) for path in _MARKS):
            return os.path.abspath(entry)
    return None


_MARKS = (("agent", "canvas.py"), ("rag", "llm", "chat_model.py"))


def source(module: str) -> str | None:
    """Return the file that `module` would be imported from, without importing anything."""
    base = checkout()
    path = os.path.join(base or "", *module.split(".")) + ".py"
    return path if base is not None and os.path.isfile(path) else None


def prepare_cache() -> str:
    """Make RAGFlow's directory tiktoken's cache, as the original does when it is imported; return its path.

    Other modules of RAGFlow, and what they use, ask tiktoken for vocabularies and rely on it. Where there is no RAGFlow
    nothing is changed.
    """
    base = checkout()
    if base is None:
        return os.environ.get("TIKTOKEN_CACHE_DIR", "")
    directory = os.environ.get("RAG_PROJECT_BASE") or os.environ.get("RAG_DEPLOY_BASE") or base
    os.environ["TIKTOKEN_CACHE_DIR"] = directory
    with guard("copying RAGFlow's vocabulary"):
        bundled = os.path.join(directory, "ragflow_deps", "cl100k_base.tiktoken")
        cached = os.path.join(directory, _VOCABULARY)
        if os.path.exists(bundled) and not os.path.exists(cached):
            import shutil

            shutil.copyfile(bundled, cached)
    return directory
