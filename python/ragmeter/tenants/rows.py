"""Rows: the tables of the tenant layer, in the database of a ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragmeter.ledger import LedgerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ragmeter.ledger import Ledger

__all__ = ["NUMBERS", "Rows"]

_TRIES = 8

NUMBERS = frozenset(
    {
        "status", "created_at", "max_tokens", "verified", "quota", "updated_at", "superuser", "rank_at", "is_tools",
    }
)  # fmt: skip
"""Columns that hold numbers; a server may send them as texts."""

Value = int | str | None
Row = dict[str, Any]


class Rows:
    """One table. Names of columns come from code; values are never part of a statement's text.

    Args:
        ledger: Whose database it is in.
        table: Its name without `ragmeter_`.
        columns: Its columns.
        key: Those that tell rows apart.
    """

    def __init__(self, ledger: Ledger, table: str, columns: Sequence[str], key: Sequence[str]) -> None:
        self._ledger, self._table = ledger, f"ragmeter_{table}"
        self._columns, self._key = tuple(columns), tuple(key)

    def find(self, **where: Value) -> list[Row]:
        """Return the rows with these values, in order of their key."""
        sql = f"SELECT {', '.join(self._columns)} FROM {self._table}{_where(where)} ORDER BY {', '.join(self._key)}"  # noqa: S608
        return [self._row(cells) for cells in self._ledger.select(sql, list(where.values()))]

    def insert(self, row: Mapping[str, Value]) -> None:
        """Add a row.

        Raises:
            LedgerError: One of its key is there already (kind `duplicate`).
        """
        self._ledger.change([self._insertion(row)])

    def put(self, rows: Sequence[Mapping[str, Value]]) -> None:
        """Add rows, each in the place of the one that has its key; all or none."""
        statements = []
        for row in rows:
            statements.append(self._deletion({name: row[name] for name in self._key}))
            statements.append(self._insertion(row))
        self._try(statements)

    def update(self, values: Mapping[str, Value], **where: Value) -> int:
        """Change columns of the rows with these values; how many there were."""
        sets = ", ".join(f"{name} = ?" for name in values)
        return self._try(
            [(f"UPDATE {self._table} SET {sets}{_where(where)}", [*values.values(), *where.values()])]  # noqa: S608
        )

    def delete(self, **where: Value) -> int:
        """Remove the rows with these values; how many there were."""
        return self._try([self._deletion(where)])

    def _try(self, statements: Sequence[tuple[str, list[Value]]]) -> int:
        """Change what is there; somebody else may be doing the same."""
        for left in reversed(range(_TRIES)):
            try:
                return sum(self._ledger.change(statements))
            except LedgerError as exc:  # noqa: PERF203 - the statement takes a thousand times longer
                if exc.kind not in {"busy", "duplicate"} or not left:
                    raise
        return 0

    def _insertion(self, row: Mapping[str, Value]) -> tuple[str, list[Value]]:
        marks = ", ".join("?" for _ in self._columns)
        sql = f"INSERT INTO {self._table} ({', '.join(self._columns)}) VALUES ({marks})"  # noqa: S608
        return sql, [row[name] for name in self._columns]

    def _deletion(self, where: Mapping[str, Value]) -> tuple[str, list[Value]]:
        return f"DELETE FROM {self._table}{_where(where)}", list(where.values())  # noqa: S608

    def _row(self, cells: Sequence[Value]) -> Row:
        return {
            name: int(cell) if name in NUMBERS and cell is not None else cell
            for name, cell in zip(self._columns, cells, strict=True)
        }


def _where(names: Mapping[str, Value]) -> str:
    return "".join(f"{' AND' if at else ' WHERE'} {name} = ?" for at, name in enumerate(names))
