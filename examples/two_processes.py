"""Two processes: the second one joins by the address of the first, which waits until it can be called.

Run without arguments; it starts itself once more as `two_processes.py worker ADDRESS`.
"""

import asyncio
import hashlib
import os
import sys

import mpreg


def worker(seed: str) -> None:
    node = mpreg.Node("worker", seeds=[seed], resources={"disk"})

    @node.function
    def digest(data: bytes) -> tuple[int, str]:
        return os.getpid(), hashlib.sha256(data).hexdigest()[:12]

    node.serve()  # until SIGTERM or Ctrl-C; then it drains and says goodbye


async def main() -> None:
    async with mpreg.Node("front") as front:
        process = await asyncio.create_subprocess_exec(sys.executable, __file__, "worker", front.address)
        try:
            await front.wait_for("digest", timeout=20.0)
            pid, text = await front.remote("digest", resources={"disk"}, returns=tuple[int, str])(b"some data")
            print(text)  # 1307990e6ba5
            print(pid == process.pid)  # True
        finally:
            process.terminate()
            status = await process.wait()
        print("worker ended with status", status)  # worker ended with status 0


if sys.argv[1:2] == ["worker"]:
    worker(sys.argv[2])
else:
    asyncio.run(main())
