"""Generations: the observations that RAGFlow starts in Langfuse for a call, and what it forgets to tell them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ragmeter.ragflow.calls import BundleCall

__all__ = ["Generations"]


class Generations:
    """The generations of one call. RAGFlow updates and ends them itself when all goes well.

    Usage in `total_tokens` alone becomes the counts of the call; what is still open at the end of the call is ended.
    """

    def __init__(self) -> None:
        self._open: list[_Generation] = []

    @classmethod
    def of(cls, call: BundleCall) -> Generations:
        """Return those of `call`."""
        generations: Generations = call.generations or cls()
        call.generations = generations
        return generations

    def watch(self, generation: Any) -> Any:
        """Return `generation`, watched."""
        watched = _Generation(generation)
        self._open.append(watched)
        return watched

    def end(self, call: BundleCall, exc: BaseException | None = None) -> None:
        """End what is still open, with the usage of the call and its error."""
        for generation in self._open:
            generation.finish(call, exc)


class _Generation:
    """Stands in for a generation of the SDK; its end waits for the end of the call, which knows the usage."""

    def __init__(self, generation: Any) -> None:
        self._generation = generation
        self._end_arguments: tuple[Any, Any] = ((), {})
        self._ended = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._generation, name)

    def update(self, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("usage_details", None)
        if args or kwargs:
            self._generation.update(*args, **kwargs)
        return self

    def end(self, *args: Any, **kwargs: Any) -> Any:
        self._end_arguments = (args, kwargs)
        return self

    def finish(self, call: BundleCall, exc: BaseException | None) -> None:
        if self._ended:
            return
        self._ended = True
        more: dict[str, Any] = {"usage_details": call.details(call.reported)}
        if exc is not None:
            more |= {"level": "ERROR", "status_message": f"{type(exc).__name__}: {exc}"[:500]}
        try:
            self._generation.update(**more)
        finally:
            args, kwargs = self._end_arguments
            self._generation.end(*args, **kwargs)
