"""A worker process: `python -m mpreg.cli._worker NAME`, started by `mpreg run --workers`.

It reads its order from its standard input, a socket to the parent, and writes one byte there when it takes calls.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shutil
import socket
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import mpreg
from mpreg._logging import log_to_stderr
from mpreg._node import serve_with
from mpreg.cli._load import load
from mpreg.cli._output import tell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mpreg._mpreg import NodeCore


_LOOK_EVERY: Final = 0.01
_LOOKS: Final = 100


@dataclasses.dataclass(frozen=True)
class Order:
    """What a worker is to do."""

    target: str
    overrides: Mapping[str, Any]
    defaults: Mapping[str, Any]
    log_level: str | None
    socket: str = ""
    """Where the parent takes workers."""
    instance: str = ""
    """Of the node."""
    address: str = ""
    """Where the node listens."""
    number: int = 0
    """Which worker it is, from 1 on."""

    def to_json(self) -> bytes:
        """For the worker's standard input."""
        return json.dumps(dataclasses.asdict(self)).encode()

    @classmethod
    def of_json(cls, text: bytes) -> Order:
        """What the parent wrote."""
        return cls(**json.loads(text))


class Worker:
    """The part that runs functions."""

    runs_functions = True

    def __init__(self, order: Order, parent: socket.socket) -> None:
        self._parent, self._order = parent, order
        self._orphan = False
        self.settings = {
            "worker": {"socket": order.socket, "number": order.number, "address": order.address},
        }

    async def live(self, core: NodeCore, asked: asyncio.Event) -> None:
        """Until it is asked to stop, or its parent says goodbye."""
        self._parent.sendall(b"1")
        ended, stop = asyncio.ensure_future(core.ended()), asyncio.ensure_future(asked.wait())
        try:
            await asyncio.wait({ended, stop}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                self._orphan = ended.exception() is not None
                ended.result()
        finally:
            for waiting in (ended, stop):
                waiting.cancel()

    async def end(self) -> None:
        """A parent that was killed has left the folder of its socket."""
        self._parent.close()
        if not self._orphan:
            return
        # A process that is killed closes one thing after another.
        for _ in range(_LOOKS):
            if self._is_gone():
                shutil.rmtree(Path(self._order.socket).parent, ignore_errors=True)
                return
            await asyncio.sleep(_LOOK_EVERY)

    def _is_gone(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(self._order.socket)
            except OSError:
                return True
        return False


def main() -> None:
    """Runs until the parent ends it."""
    parent = socket.socket(fileno=os.dup(sys.stdin.fileno()))
    text = bytearray()
    while part := parent.recv(65536):
        text += part
    if not text:
        sys.exit(f"{sys.argv[1]}: the parent process is gone")
    # Functions that read standard input find it empty.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    order = Order.of_json(bytes(text))
    log_to_stderr(order.log_level, sys.argv[1])
    overrides = {**order.overrides, "instance": order.instance}
    try:
        serve_with(load(order.target), overrides, order.defaults, Worker(order, parent))
    except mpreg.MpregError as error:
        tell(f"{sys.argv[1]}: {error}")
        sys.exit(1)
    except Exception:  # noqa: BLE001 - whatever it is, it is told under the worker's name
        tell(f"{sys.argv[1]}: {traceback.format_exc()}")
        sys.exit(1)


if __name__ == "__main__":
    main()
