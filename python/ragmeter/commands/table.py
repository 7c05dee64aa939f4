"""Tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import category, east_asian_width

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["table", "visible"]


def table(head: Sequence[str], rows: Sequence[Sequence[str | int]]) -> str:
    """Return the rows under their head: texts to the left, numbers to the right with a comma every three digits."""
    texts = [[f"{cell:,}" if isinstance(cell, int) else visible(cell) for cell in row] for row in rows]
    widths = [max(_width(line[column]) for line in [head, *texts]) for column in range(len(head))]
    is_number = [all(isinstance(row[column], int) for row in rows) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            " " * (width - _width(cell)) + cell if number else cell + " " * (width - _width(cell))
            for cell, width, number in zip(cells, widths, is_number, strict=True)
        )
        return "  ".join(padded).rstrip()

    return "\n".join([line(head), "  ".join("─" * width for width in widths), *map(line, texts)])


def visible(text: str) -> str:
    """Return a text whose characters can all be seen: a label is somebody's own, and no command to a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(0 if category(c) in {"Mn", "Me"} else 2 if east_asian_width(c) in "WF" else 1 for c in text)
