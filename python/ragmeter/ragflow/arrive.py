"""RAGFlow is being imported in a process that `ragmeter run` has started."""

from __future__ import annotations

from ragmeter.ragflow.place import checkout

__all__ = ["arrive"]


def arrive(*, runs: bool) -> None:
    """Install, if the package `common` that is on its way is RAGFlow's."""
    if checkout() is not None:
        from ragmeter.ragflow.door import install

        install(runs=runs)
