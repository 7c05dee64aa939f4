"""Families: the generations of LightRAG that are hooked alike, told apart by what they have, not by their number.

    roles      a queue a role, each rebuilt by one method                   1.5.0 and later
    queue      one queue with priorities for every model call               1.3.7 to 1.4
    semaphore  a semaphore in place of the queue; calls have no priority    1.2.6 to 1.3.5

Not here: what is put in place (`hooks.py`).
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Family", "family"]


class Family(NamedTuple):
    """A generation of LightRAG.

    Attributes:
        name: `roles`, `queue` or `semaphore`.
        releases: Which releases of LightRAG it was made for, in words.
        attributes: Attributes of `LightRAG` that its hooks need.
        limiter: Function of `lightrag.utils` that makes what limits the calls of a function, and stands in front of it.
    """

    name: str
    releases: str
    attributes: tuple[str, ...]
    limiter: str

    def missing(self, lightrag: type) -> list[str]:
        """Return what the hooks need and this class and its package do not have."""
        missing = [f"LightRAG.{name}" for name in self.attributes if not hasattr(lightrag, name)]
        if not callable(getattr(_utils(), self.limiter, None)):
            missing.append(f"utils.{self.limiter}")
        return missing

    def limited(self, function: Any) -> bool:
        """Whether LightRAG has put its limiter in front of a function."""
        return getattr(function, "__globals__", None) is vars(_utils()) and hasattr(function, "__wrapped__")

    def limit(self, function: Callable[..., Any], most: int, **options: Any) -> Any:
        """Put a limiter of its own in front of `function`, with as many of the options as this release knows."""
        limiter = getattr(_utils(), self.limiter)
        accepted = inspect.signature(limiter).parameters
        return limiter(most, **{name: value for name, value in options.items() if name in accepted})(function)


FAMILIES = (
    Family(
        "roles",
        "1.5.0 and later",
        ("_wrap_llm_role_func", "_rebuild_single_role_llm_func", "process_single_document"),
        "priority_limit_async_func_call",
    ),
    Family(
        "queue",
        "1.3.7 to 1.4",
        ("llm_model_func", "apipeline_process_enqueue_documents"),
        "priority_limit_async_func_call",
    ),
    Family(
        "semaphore",
        "1.2.6 to 1.3.5",
        ("llm_model_func", "apipeline_process_enqueue_documents"),
        "limit_async_func_call",
    ),
)
"""Newest first; the first one that fits is taken."""


def family(lightrag: type | None = None) -> Family:
    """Return the family whose hooks fit a LightRAG class; the installed one if none is given.

    Raises:
        ImportError: LightRAG is not installed.
        RuntimeError: No hook fits this release; the text says what each family would need.
    """
    from lightrag import LightRAG

    wanted: type = LightRAG if lightrag is None else lightrag
    found: list[str] = []
    for candidate in FAMILIES:
        missing = candidate.missing(wanted)
        if not missing:
            return candidate
        found.append(f"{candidate.releases}: it has no {', '.join(missing)}")
    msg = f"ragmeter cannot meter this release of LightRAG ({wanted.__name__}). {'; '.join(found)}"
    raise RuntimeError(msg)


def _utils() -> Any:
    from lightrag import utils

    return utils
