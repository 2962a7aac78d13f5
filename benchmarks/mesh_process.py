"""One node of `mesh.py`: `python mesh_process.py NUMBER ADDRESS SEED|-`.

Takes commands on stdin and prints what it sees: lines of JSON `[CLOCK_MONOTONIC, what, subject]`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time

import mpreg

number, address, seed = sys.argv[1:]
node = mpreg.Node(f"node-{number}", listen=address, seeds=[] if seed == "-" else [seed])
background: dict[str, asyncio.Task[None]] = {}


@node.function(f"f.{number}")
async def offered() -> str:
    return number


def tell(what: str, subject: str = "") -> None:
    print(json.dumps([time.monotonic(), what, subject]), flush=True)


async def watch() -> None:
    """Functions that appear and disappear: those of a node that is down are hidden."""
    async for change in node.watch("f.*", existing=True):
        tell(change.what, change.entry.name)


async def poll() -> None:
    """States of members, looked at every 10 ms: suspicion is no change of the catalog."""
    states: dict[str, str] = {}
    while True:
        for member in await node.members():
            if states.get(member.id) != member.state:
                states[member.id] = member.state
                tell(member.state, member.id)
        await asyncio.sleep(0.01)


async def command(verb: str, subject: str) -> None:
    if verb == "start":
        tell("starting")
        await node.start()
        tell("started", node.id)
        if subject:
            await node.call(subject)
            tell("called", subject)
    elif verb == "add":
        tell("adding", subject)
        node.function(subject)(offered_again)
        tell("returned", subject)
    elif verb in ("watch", "poll"):
        background[verb] = asyncio.create_task(watch() if verb == "watch" else poll())
    elif verb == "quiet":
        for task in background.values():
            task.cancel()
        await asyncio.gather(*background.values(), return_exceptions=True)
        background.clear()
        tell("quiet")
    elif verb == "leave":
        tell("leaving")
        await node.stop()
        tell("stopped")


async def offered_again() -> str:
    return number


async def main() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tell("ready")
    while line := await reader.readline():
        verb, _, subject = line.decode().strip().partition(" ")
        await command(verb, subject)
    with contextlib.suppress(mpreg.MpregError):
        await node.stop()


asyncio.run(main())
