"""Measure: what is billed beside tokens: seconds of audio, characters spoken, pages read."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

from ragmeter._native import Usage

__all__ = ["audio", "characters", "pages"]


def audio(sound: Any) -> Usage | None:
    """Return how long a WAV file or its bytes play; None for other forms, whose length only the provider tells."""
    try:
        source = io.BytesIO(sound) if isinstance(sound, (bytes, bytearray)) else str(Path(sound))
        with wave.open(source) as file:
            milliseconds = round(file.getnframes() * 1000 / file.getframerate())
    except (OSError, EOFError, TypeError, ValueError, ZeroDivisionError, wave.Error):
        return None
    return Usage(audio_milliseconds=milliseconds, origin="estimated")


def characters(text: str) -> Usage:
    """Return how many characters are spoken."""
    return Usage(characters=len(text), origin="estimated")


def pages(document: Any) -> Usage | None:
    """Return how many pages a document has; None where that is not known.

    An image is a page; the pages of a PDF are counted by `pypdf`, where that is installed.
    """
    content = document if isinstance(document, (bytes, bytearray)) else b""
    if isinstance(document, (str, Path)):
        try:
            content = Path(document).read_bytes()
        except OSError:
            return None
    if isinstance(document, (list, tuple)):
        return Usage(pages=len(document), origin="estimated")
    if content.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF")):
        return Usage(pages=1, origin="estimated")
    if not content.startswith(b"%PDF"):
        return None
    try:
        from pypdf import PdfReader

        return Usage(pages=len(PdfReader(io.BytesIO(content)).pages), origin="estimated")
    except Exception:  # noqa: BLE001 - not installed, or a file that it cannot read
        return None
