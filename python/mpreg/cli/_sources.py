"""Source files that change: looked at twice a second, which needs nothing of the system and works on every file system."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_EVERY: Final = 0.5


async def changes(folder: Path) -> AsyncIterator[Path]:
    """The `.py` files in and below `folder` that are written, made or removed from now on: of each look the first."""
    known = await asyncio.to_thread(stamps, folder)
    while True:
        await asyncio.sleep(_EVERY)
        now = await asyncio.to_thread(stamps, folder)
        changed = sorted(path for path in known.keys() | now.keys() if known.get(path) != now.get(path))
        known = now
        if changed:
            yield Path(changed[0])


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """When each was written, and its length. Hidden folders and virtual environments are no sources."""
    found: dict[str, tuple[int, int]] = {}
    for place, folders, files in os.walk(folder):
        if "pyvenv.cfg" in files:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        for name in files:
            if name.endswith(".py"):
                path = os.path.join(place, name)  # noqa: PTH118 - a tenth of the time
                try:
                    status = os.stat(path)  # noqa: PTH116 - as above
                except OSError:
                    continue
                found[path] = (status.st_mtime_ns, status.st_size)
    return found
