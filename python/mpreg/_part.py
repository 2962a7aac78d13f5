"""A node of several processes: what each of them is to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from mpreg._mpreg import NodeCore


class Part(Protocol):
    """One process of a node."""

    runs_functions: bool
    """False for the parent, whose workers do."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What `NodeCore` takes as `part`."""
        ...

    async def live(self, core: NodeCore, asked: asyncio.Event) -> None:
        """From the start of the node on: returns when it shall stop, at the latest when `asked` is set.

        Who runs functions also sees by itself when `core` ends, and why.
        """
        ...

    async def end(self) -> None:
        """When the node has stopped, or could not start."""
        ...
