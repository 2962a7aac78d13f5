"""One of the five processes: `python -m mpreg.demo.node NAME --shards 0 5 10 [--seed ADDRESS] [--ranks]`.

Says its address in one line on stdout, then serves until SIGTERM or until its standard input ends, which it does when
whoever started it is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import re
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

import mpreg
from mpreg.demo import api, sources

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

# Words of grep in the C locale, where every byte beyond ASCII stands between words.
_WORDS: Final = re.compile(rb"[A-Za-z0-9_]+")
_TOP_MAX: Final = 1_000


class Shelf:
    """The files of some shards and their word counts. Its methods run in the node's worker threads."""

    def __init__(self, shards: Sequence[int]) -> None:
        self._shards = sorted(shards)
        self._own = {path for path in sources.files() if sources.shard_of(path) in shards}
        self._counts: dict[str, collections.Counter[bytes]] = {}
        self._lock = threading.Lock()
        self._calls = 0
        self._seconds = 0.0

    def index(self, path: str) -> int:
        """Implements `api.index`."""
        with self._timed():
            if path not in self._own:
                raise ValueError(f"{path} is no source of the shards here, {self._shards}")
            counts = collections.Counter(_WORDS.findall((sources.folder() / path).read_bytes()))
            with self._lock:
                self._counts[path] = counts
            return counts.total()

    def count(self, word: str) -> api.Hits:
        """Implements `api.count`."""
        with self._timed():
            key = word.encode()
            with self._lock:
                found = {path: counts[key] for path, counts in self._counts.items() if key in counts}
                return api.Hits(len(self._counts), found)

    def work(self) -> api.Work:
        """Implements `api.work`."""
        with self._timed(), self._lock:
            words = sum(counts.total() for counts in self._counts.values())
            return api.Work(self._shards, len(self._counts), words, self._calls, self._seconds)

    @contextlib.contextmanager
    def _timed(self) -> Generator[None]:
        with self._lock:
            self._calls += 1
        begin = time.thread_time()
        try:
            yield
        finally:
            with self._lock:
                self._seconds += time.thread_time() - begin


async def search(ctx: mpreg.Context, word: str, top: int = 10) -> api.Answer:
    """Implements `api.search` on the node that ranks: it is a caller itself."""
    if not sources.WORD.fullmatch(word):
        raise ValueError(f"a word is letters, digits and underscores, not {word!r}")
    if not 0 <= top <= _TOP_MAX:
        raise ValueError(f"top takes 0 to {_TOP_MAX}, not {top}")
    # `.value` raises what went wrong on that node: half an answer would look like a whole one.
    hits = [outcome.value for outcome in await ctx.node.remote(api.count).call_all(word)]
    counts = {path: count for each in hits for path, count in each.counts.items()}
    ranked = sorted((api.Ranked(path, count) for path, count in counts.items()), key=lambda r: (-r.count, r.path))
    return api.Answer(
        word=word,
        total=sum(counts.values()),
        found_in=len(counts),
        searched=sum(each.searched for each in hits),
        top=ranked[:top],
    )


def make_node(name: str, shards: Sequence[int], seeds: Sequence[str], *, ranks: bool) -> mpreg.Node:
    """The node; nothing is started yet."""
    resources = {sources.resource(shard) for shard in shards}
    node = mpreg.Node(name, cluster="demo", resources=resources, listen="127.0.0.1:0", seeds=seeds)
    shelf = Shelf(shards)
    node.function(implements=api.index)(shelf.index)
    node.function(implements=api.count)(shelf.count)
    node.function(implements=api.work)(shelf.work)
    if ranks:
        node.function(implements=api.search, resources={"ranker"})(search)
    return node


async def serve(node: mpreg.Node) -> None:
    """Starts, says where, and leaves politely when told to."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, asked.set)
    # Nobody ever writes to it, so the only thing to be read is its end.
    loop.add_reader(sys.stdin.fileno(), asked.set)
    async with node:
        print(node.address, flush=True)  # noqa: T201 - what the starter waits for
        await asked.wait()
        loop.remove_reader(sys.stdin.fileno())


def main() -> None:
    """The command line of one process."""
    parser = argparse.ArgumentParser(prog="python -m mpreg.demo.node")
    parser.add_argument("name")
    parser.add_argument("--shards", type=int, nargs="+", required=True)
    parser.add_argument("--seed", action="append", default=[], metavar="ADDRESS")
    parser.add_argument("--ranks", action="store_true", help="offer demo.search")
    given = parser.parse_args()
    try:
        asyncio.run(serve(make_node(given.name, given.shards, given.seed, ranks=given.ranks)))
    except mpreg.MpregError as error:
        sys.exit(f"{given.name}: {error}")


if __name__ == "__main__":
    main()
