"""Two networks on one machine with a cable between them that can be pulled: what a partition is to processes. Needs root."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOSTS = ("10.99.77.1", "10.99.77.2")


class Networks:
    """One address in each, and how to run a program in it."""

    def __init__(self, holders: Sequence[subprocess.Popen[bytes]]) -> None:
        self._holders = holders

    def prefix(self, side: int) -> list[str]:
        return ["nsenter", "-t", str(self._holders[side].pid), "-n"]

    def run(self, side: int, command: str) -> None:
        subprocess.run([*self.prefix(side), *command.split()], check=True)

    def connect(self) -> None:
        self.run(0, "ip link set cable up")

    def cut(self) -> None:
        """Nothing is told to either side: frames get lost."""
        self.run(0, "ip link set cable down")


def is_possible() -> bool:
    return os.geteuid() == 0 and all(shutil.which(tool) for tool in ("ip", "unshare", "nsenter"))


@contextlib.contextmanager
def networks() -> Iterator[Networks]:
    """They are gone with the processes in them."""
    # `cat` ends with its standard input; its first line says that the network is there.
    command = ["unshare", "-n", "sh", "-c", "echo; exec cat"]
    pipe = subprocess.PIPE
    holders = [subprocess.Popen(command, stdin=pipe, stdout=pipe) for _ in HOSTS]
    try:
        for holder in holders:
            assert holder.stdout.readline()
        two = Networks(holders)
        two.run(0, f"ip link add cable type veth peer name cable netns {holders[1].pid}")
        for side, host in enumerate(HOSTS):
            two.run(side, "ip link set lo up")
            two.run(side, f"ip addr add {host}/24 dev cable")
            two.run(side, "ip link set cable up")
        yield two
    finally:
        for holder in holders:
            holder.stdin.close()
            holder.wait()
            holder.stdout.close()
