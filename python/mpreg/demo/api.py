"""What the nodes of the demo offer: declarations only, so that a caller needs none of the code behind them."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import mpreg

functions = mpreg.Functions(prefix="demo.")

Tokens: TypeAlias = dict[str, dict[str, int]]
"""The words of each file and how often they stand in it; paths from the library's folder."""

Page: TypeAlias = dict[str, dict[str, int]]
"""Words that begin with the same character: in which files each stands, and how often."""


@dataclasses.dataclass(frozen=True)
class Index:
    """Where the words of some files stand."""

    files: int
    """How many files."""
    pages: dict[str, Page]
    """A page for every character that a word may begin with."""


@dataclasses.dataclass(frozen=True)
class Ranked:
    """A file and how often the word stands in it."""

    path: str
    count: int


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a search comes to."""

    word: str
    total: int
    """How often the word stands in all files."""
    found_in: int
    """Files that have it."""
    searched: int
    """Files looked at."""
    top: list[Ranked]
    """The files that have it most often."""


# Running one of them twice does no harm, so a step that is lost with its node may run again on another one.
@functions.function(idempotent=True)
def tokenise(shard: int) -> Tokens:
    """Reads the files of a shard; the node must have it (resource `shard/N`)."""
    raise NotImplementedError


@functions.function(idempotent=True)
def index(shards: list[Tokens]) -> Index:
    """One index over several shards."""
    raise NotImplementedError


@functions.function(idempotent=True)
def search(page: Page, word: str) -> dict[str, int]:
    """The files that have the word, by its page of an index."""
    raise NotImplementedError


@functions.function(idempotent=True)
def rank(word: str, hits: list[dict[str, int]], *, files: list[int], top: int = 10) -> Answer:
    """Puts together what the searches found; `files`: how many each index has."""
    raise NotImplementedError


@functions.function(idempotent=True)
async def grep(word: str, top: int = 10) -> Answer:
    """The whole search: a node runs the call graph, as the demo's client does."""
    raise NotImplementedError
