"""Payers: who enqueued each document, for the other processes of the server and for the time after a restart.

A document is kept here until all that it cost is in the ledger.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragmeter._native import Run, Scope, current_scope

if TYPE_CHECKING:
    import os

__all__ = ["Payers", "payers_of"]


_PATIENCE = 60.0
"""Seconds without a sign of life after which a process is taken for dead."""


class Payers:
    """A folder with a file for each document that is not done.

    Args:
        folder: Where; all processes of a server have the same. It is made when it is needed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)

    def note(self, document: str) -> None:
        """Note that whoever is in force here pays for `document`, unless somebody does already.

        Raises:
            OSError: The folder cannot be written to.
        """
        scope = current_scope()
        if scope is None or scope.run is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"run": scope.run.carry(), "name": scope.run.name, "labels": scope.labels})
        with contextlib.suppress(FileExistsError), self._file(document).open("x", encoding="utf-8") as file:
            file.write(content)

    def find(self, document: str) -> Scope | None:
        """Return who pays for `document`, None if nobody was noted.

        Raises:
            ValueError: The file is none of ours.
        """
        text = ""
        with contextlib.suppress(OSError):
            text = self._file(document).read_text(encoding="utf-8")
        if not text:
            return None
        content = json.loads(text)
        return Scope(Run.resume(content["run"], content["name"]), None, **content["labels"])

    def wait(self, document: str) -> None:
        """Say that a part of what `document` cost is still on its way to the ledger; to be said again and again.

        Raises:
            OSError: The folder cannot be written to.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file(document).touch()

    def is_waiting(self, document: str) -> bool:
        """Whether somebody has said so lately."""
        with contextlib.suppress(OSError):
            return time.time() - self._file(document).stat().st_mtime < _PATIENCE
        return False

    def forget(self, document: str) -> None:
        """Forget a document that is done and all of whose calls are in the ledger."""
        with contextlib.suppress(OSError):
            self._file(document).unlink(missing_ok=True)

    def _file(self, document: str) -> Path:
        return self._folder / f"{hashlib.sha256(document.encode()).hexdigest()[:32]}.json"


def payers_of(rag: Any) -> Payers:
    """Return those of a LightRAG: in its working directory."""
    return Payers(Path(rag.working_dir) / "ragmeter-payers")
