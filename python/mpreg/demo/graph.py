"""The search as a call graph: what is done with what. Where it is done the mesh finds out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mpreg.demo import api, sources

if TYPE_CHECKING:
    import mpreg

INDEXES: Final = 4
"""Each over every fourth shard."""


def search(mesh: mpreg.Client | mpreg.Node, word: str, top: int = 10) -> mpreg.Step[api.Answer]:
    """The last of 21 steps; nothing has run yet. Of the indexes, as large as they are, only one page each is sent on."""
    shards = [mesh.remote(api.tokenise, resources={sources.resource(n)}).step(n) for n in range(sources.SHARDS)]
    indexes = [mesh.step(api.index, shards[n::INDEXES]) for n in range(INDEXES)]
    hits = [mesh.step(api.search, index["pages"][word[0]], word) for index in indexes]
    return mesh.step(api.rank, word, hits, files=[index["files"] for index in indexes], top=top)
