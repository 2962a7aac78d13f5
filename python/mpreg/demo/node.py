"""One of the five processes: `python -m mpreg.demo.node NAME [--shards 0 3 6 9] [--desk] [--seed ADDRESS]`.

A shelf has shards of the files and tokenises them, a desk does the rest. Says its address in one line on stdout, then
serves until SIGTERM or until its standard input ends, which it does when whoever started it is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import re
import signal
import string
import sys
from typing import TYPE_CHECKING, Final

import mpreg
from mpreg.demo import api, graph, sources

if TYPE_CHECKING:
    from collections.abc import Sequence

# Words of grep in the C locale, where every byte beyond ASCII stands between words.
_WORDS: Final = re.compile(rb"[A-Za-z0-9_]+")
_INITIALS: Final = string.ascii_letters + string.digits + "_"
_TOP_MAX: Final = 1_000
_TELL_EVERY: Final = 10


class Shelf:
    """The files of some shards."""

    def __init__(self, shards: Sequence[int]) -> None:
        self._files: dict[int, list[str]] = {shard: [] for shard in shards}
        for path in sources.files():
            if (shard := sources.shard_of(path)) in self._files:
                self._files[shard].append(path)

    def tokenise(self, ctx: mpreg.Context, shard: int) -> api.Tokens:
        """Implements `api.tokenise`; runs in a worker thread."""
        if shard not in self._files:
            raise ValueError(f"shard {shard} is not here; those here are {sorted(self._files)}")
        files, tokens = self._files[shard], api.Tokens()
        for path in files:
            words = collections.Counter(_WORDS.findall((sources.folder() / path).read_bytes()))
            tokens[path] = {word.decode(): count for word, count in words.items()}
            if len(tokens) % _TELL_EVERY == 0 or len(tokens) == len(files):
                ctx.progress(len(tokens), len(files), f"shard {shard}")
                ctx.check()
        return tokens


def index(shards: list[api.Tokens]) -> api.Index:
    """Implements `api.index`."""
    pages: dict[str, api.Page] = {initial: {} for initial in _INITIALS}
    for tokens in shards:
        for path, words in tokens.items():
            for word, count in words.items():
                pages[word[0]].setdefault(word, {})[path] = count
    return api.Index(sum(map(len, shards)), pages)


def search(page: api.Page, word: str) -> dict[str, int]:
    """Implements `api.search`."""
    return page.get(word, {})


def rank(word: str, hits: list[dict[str, int]], *, files: list[int], top: int = 10) -> api.Answer:
    """Implements `api.rank`."""
    counts = {path: count for found in hits for path, count in found.items()}
    ranked = sorted((api.Ranked(path, count) for path, count in counts.items()), key=lambda r: (-r.count, r.path))
    return api.Answer(word, sum(counts.values()), len(counts), sum(files), ranked[:top])


async def grep(ctx: mpreg.Context, word: str, top: int = 10) -> api.Answer:
    """Implements `api.grep`: a node runs graphs as a client does."""
    if not sources.WORD.fullmatch(word):
        raise ValueError(f"a word is letters, digits and underscores, not {word!r}")
    if not 0 <= top <= _TOP_MAX:
        raise ValueError(f"top takes 0 to {_TOP_MAX}, not {top}")
    return await ctx.node.run(graph.search(ctx.node, word, top))


def make_node(name: str, seeds: Sequence[str], *, shards: Sequence[int] = (), desk: bool = False) -> mpreg.Node:
    """The node; nothing is started yet."""
    resources = {sources.resource(shard) for shard in shards}
    node = mpreg.Node(name, cluster="demo", resources=resources, listen="127.0.0.1:0", seeds=seeds)
    if shards:
        node.function(implements=api.tokenise)(Shelf(shards).tokenise)
    if desk:
        node.function(implements=api.index)(index)
        node.function(implements=api.search)(search)
        node.function(implements=api.rank)(rank)
        node.function(implements=api.grep)(grep)
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
    parser.add_argument("--shards", type=int, nargs="+", default=[], help="offer demo.tokenise for these")
    parser.add_argument("--desk", action="store_true", help="offer demo.index, search, rank and grep")
    parser.add_argument("--seed", action="append", default=[], metavar="ADDRESS")
    given = parser.parse_args()
    try:
        asyncio.run(serve(make_node(given.name, given.seed, shards=given.shards, desk=given.desk)))
    except mpreg.MpregError as error:
        sys.exit(f"{given.name}: {error}")


if __name__ == "__main__":
    main()
