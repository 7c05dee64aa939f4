"""Witnesses: who saw a call, and which of them is believed.

A host's model function is wrapped in an `OpenCall` for as long as it runs. An observer of an SDK that sees a request
inside it reports that request itself; what a token tracker was told counts only if no observer saw anything; an
estimate from the texts counts only if nobody else said anything. So a call is recorded once, by its best witness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragmeter._native import OpenCallCore, call_variable, open_call

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["OpenCall", "call_variable", "open_call"]


class OpenCall(OpenCallCore):
    """A call of the host's model function that has begun and not ended. `with` and `async with` put it in force."""

    __slots__ = ()

    async def aadmit(self) -> None:
        """Reserve as `admit` does while the event loop goes on."""
        quota = self.guardian()
        if quota is not None:
            self.hold = await quota.aadmit(self.scope, self.labels, None)

    async def __aenter__(self) -> Self:
        await self.aadmit()
        return self.__enter__()

    async def __aexit__(self, *exc_info: object) -> None:
        self.__exit__(*exc_info)
