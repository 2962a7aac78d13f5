"""One node of `mesh.py`: `python mesh_process.py NUMBER ADDRESS [SEED ...]`.

Takes commands on stdin and prints what it sees: lines of JSON `[CLOCK_MONOTONIC, what, subject]`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time

import mpreg

number, address, *seeds = sys.argv[1:]
# In networks of its own (`mesh_split.py`) it has no certificate either.
config = mpreg.Config(insecure=not address.startswith("127."))
node = mpreg.Node(f"node-{number}", listen=address, seeds=seeds, config=config)
background: dict[str, asyncio.Task[None]] = {}
calls = {"done": 0, "lost": 0}


@node.function(f"f.{number}")
async def offered() -> str:
    return number


@node.function("any", idempotent=True)
async def anyone(x: int) -> int:
    return x


def tell(what: str, subject: str = "") -> None:
    print(json.dumps([time.monotonic(), what, subject]), flush=True)


async def watch() -> None:
    """Functions that appear and disappear: those of a node that is down are hidden."""
    async for change in node.watch("f.*", existing=True):
        tell(change.what, change.entry.name)


async def poll() -> None:
    """States of members, looked at every 10 ms (of many nodes less often): suspicion is no change of the catalog."""
    states: dict[str, str] = {}
    while True:
        members = await node.members()
        for member in members:
            if states.get(member.id) != member.state:
                states[member.id] = member.state
                tell(member.state, member.id)
        await asyncio.sleep(max(0.01, len(members) / 1000))


async def load() -> None:
    """Calls that anybody may answer, and that may be sent again: none may fail."""
    calls.update(done=0, lost=0)
    while True:
        x = calls["done"]
        try:
            right = await node.call("any", x) == x
        except mpreg.MpregError as error:
            right = False
            print(f"lost: {error!r} by {error.node}", file=sys.stderr, flush=True)
        calls["done" if right else "lost"] += 1
        await asyncio.sleep(0.02)


WORK = {"watch": watch, "poll": poll, "load": load}


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
    elif verb in WORK:
        background[verb] = asyncio.create_task(WORK[verb]())
    elif verb == "calls":
        tell("calls", json.dumps(calls))
    elif verb == "view":
        # How many it calls, itself included.
        alive = [member for member in await node.members() if member.state in ("alive", "busy")]
        tell("view", str(len(alive)))
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
