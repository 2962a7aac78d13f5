"""What the nodes of the demo offer: declarations only, so that a caller needs none of the code behind them."""

from __future__ import annotations

import dataclasses

import mpreg

functions = mpreg.Functions(prefix="demo.")


@dataclasses.dataclass(frozen=True)
class Hits:
    """What one node found."""

    searched: int
    """Files it has indexed."""
    counts: dict[str, int]
    """How often the word stands in each file that has it; paths from the library's folder."""


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


@dataclasses.dataclass(frozen=True)
class Work:
    """What one node did so far."""

    shards: list[int]
    files: int
    words: int
    calls: int
    seconds: float
    """CPU time spent in its functions."""


# Running it twice does no harm, so a call that is lost with its connection may be sent again.
@functions.function(idempotent=True)
def index(path: str) -> int:
    """Reads one file of the library, counts its words and keeps the counts; returns how many words it has."""
    raise NotImplementedError


@functions.function(idempotent=True)
def count(word: str) -> Hits:
    """How often the word stands in the files of this node."""
    raise NotImplementedError


@functions.function(idempotent=True)
async def search(word: str, top: int = 10) -> Answer:
    """Asks every node for its counts and ranks the files."""
    raise NotImplementedError


@functions.function(idempotent=True)
def work() -> Work:
    """What this node did so far."""
    raise NotImplementedError
