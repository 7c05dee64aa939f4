"""Whether a release of RAGFlow fits, by its source before it is imported or by its modules after."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ragmeter.ragflow.place import checkout, source

if TYPE_CHECKING:
    import ast
    from collections.abc import Iterable, Mapping

__all__ = ["TOKEN_UTILS", "Misfit", "public_names", "require"]

TOKEN_UTILS = "common.token_utils"  # noqa: S105 - a module


class Misfit(RuntimeError):  # noqa: N818 - reads as what it is
    """This release of RAGFlow does not fit; the text says what is missing."""


def require(needed: Mapping[str, Iterable[str]], unknown: Iterable[str] = ()) -> None:
    """Raise `Misfit` unless everything needed is there, as far as it can be seen now.

    Args:
        needed: Names that each module must have; `"Class.method"` for a method.
        unknown: Names that `common.token_utils` has and ragmeter has not.
    """
    missing = []
    for module, names in {TOKEN_UTILS: (), **needed}.items():
        there = _names_in(module)
        if there is not None:
            missing += [f"{module} has no {name}" for name in names if name not in there]
        elif checkout() is not None:
            missing.append(f"it has no {module}")
    missing += [f"{TOKEN_UTILS} has {name}, which ragmeter has not" for name in unknown]
    if missing:
        msg = f"ragmeter does not fit this release of RAGFlow: {'; '.join(missing)}. Nothing was changed."
        raise Misfit(msg)


def public_names(module: str) -> set[str] | None:
    """Return the names without an underscore that a module defines itself; None if it cannot be seen."""
    names = _names_in(module)
    if names is None:
        return None
    return {name for name in names if not name.startswith("_") and "." not in name}


def _names_in(module: str) -> set[str] | None:
    """Names of functions, classes, their methods and variables; None for a module that is not to be found."""
    loaded = sys.modules.get(module)
    path = getattr(loaded, "__file__", None) if loaded is not None else source(module)
    if path is None:
        return _names_of_object(loaded) if loaded is not None else None
    import ast
    from pathlib import Path

    return set(_defined(ast.parse(Path(path).read_bytes()).body))


def _names_of_object(module: object) -> set[str]:
    names = set()
    for name, value in vars(module).items():
        names.add(name)
        if isinstance(value, type):
            names |= {f"{name}.{member}" for cls in value.__mro__ for member in vars(cls)}
    return names


def _defined(body: list[ast.stmt], prefix: str = "") -> Iterable[str]:
    import ast

    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield prefix + node.name
        elif isinstance(node, ast.ClassDef):
            yield prefix + node.name
            yield from _defined(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.Assign):
            yield from (prefix + target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield prefix + node.target.id
        elif isinstance(node, (ast.If, ast.Try)):
            yield from _defined([*node.body, *node.orelse], prefix)
