"""Override: a quota whose limits do not hold, on somebody's word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ragmeter._native import Scope
    from ragmeter.quota import Quota
    from ragmeter.quota.reservation import Reservation

__all__ = ["Override"]


class Override:
    """Lets calls through whatever the limits say; made by `Quota.override`."""

    __slots__ = ("_quota", "_word")

    def __init__(self, quota: Quota, word: tuple[str, str]) -> None:
        self._quota = quota
        self._word = word

    def admit(
        self,
        scope: Scope,
        labels: Mapping[str, Any],
        request: Callable[[], Mapping[str, Any]] | None,
        instead: Reservation | None = None,
    ) -> Reservation:
        """Reserve as `Quota.admit` does, and pass every limit."""
        return self._quota.admit(scope, labels, request, instead, self._word)

    async def aadmit(
        self,
        scope: Scope,
        labels: Mapping[str, Any],
        request: Callable[[], Mapping[str, Any]] | None,
        instead: Reservation | None = None,
    ) -> Reservation:
        """Reserve as `admit` does while the event loop goes on."""
        return await self._quota.aadmit(scope, labels, request, instead, self._word)
