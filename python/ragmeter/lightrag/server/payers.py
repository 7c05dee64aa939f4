"""Payers: who enqueued each document, for the other processes of the server and for the time after a restart."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ragmeter._native import Run, Scope, current_scope

if TYPE_CHECKING:
    import os

__all__ = ["Payers"]


class Payers:
    """A folder with a file for each document that waits to be worked on.

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
        try:
            content = json.loads(self._file(document).read_text(encoding="utf-8"))
        except OSError:
            return None
        return Scope(Run.resume(content["run"], content["name"]), None, **content["labels"])

    def forget(self, document: str) -> None:
        """Forget a document that is done."""
        with contextlib.suppress(OSError):
            self._file(document).unlink(missing_ok=True)

    def _file(self, document: str) -> Path:
        return self._folder / f"{hashlib.sha256(document.encode()).hexdigest()[:32]}.json"
