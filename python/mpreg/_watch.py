"""Changes of the catalog as they happen, each once, by long polls that can be resumed.

The node answers with what changed after a token. When it cannot (the token is too old, or another entry node took
over) it answers with everything there is, and the difference to what is known here is what happened meanwhile.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Any, Final, Self

from mpreg._views import Change, FunctionEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mpreg._mpreg import Call

# Nodes answer after 10 s at the latest; the rest is for a client that has to find another entry node.
POLL_TIMEOUT: Final = 30.0

_Key = tuple[str, str, str, str]


class _Seen:
    """What was reported already, and what is to be."""

    def __init__(self, pattern: str, *, existing: bool) -> None:
        self.ready: collections.deque[Change] = collections.deque()
        self._pattern = pattern
        self._token: str | None = None
        # Without `existing` the first full answer only says what is not news.
        self._report_first = existing
        self._known: dict[_Key, FunctionEntry] = {}

    def question(self) -> dict[str, Any]:
        question = {"pattern": self._pattern}
        return question if self._token is None else {**question, "token": self._token}

    def absorb(self, answer: Mapping[str, Any]) -> None:
        changes = [Change.of(row) for row in answer["changes"]]
        if answer["reset"]:
            changes = self._difference({_key(change.entry): change.entry for change in changes})
        silent = self._token is None and not self._report_first
        self._token = answer["token"]
        for change in changes:
            self._apply(change)
            if not silent:
                self.ready.append(change)

    def _difference(self, now: Mapping[_Key, FunctionEntry]) -> list[Change]:
        gone = [Change(what="removed", entry=entry) for key, entry in self._known.items() if key not in now]
        new = [
            Change(what="changed" if key in self._known else "added", entry=entry)
            for key, entry in now.items()
            if self._known.get(key) != entry
        ]
        return gone + new

    def _apply(self, change: Change) -> None:
        if change.what == "removed":
            self._known.pop(_key(change.entry), None)
        elif change.what != "conflict":
            self._known[_key(change.entry)] = change.entry


class Watch:
    """`async for change in caller.watch("shop.*")`. It watches from the moment it is made; `aclose()` ends it."""

    def __init__(
        self, request: Callable[[str, Mapping[str, Any], float], Call[Any]], pattern: str, *, existing: bool
    ) -> None:
        self._request = request
        self._seen = _Seen(pattern, existing=existing)
        self._closed = False
        self._under_way: Call[Any] | None = request("watch", self._seen.question(), POLL_TIMEOUT)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while not self._seen.ready:
            if self._closed:
                raise StopAsyncIteration
            # Cancelled while it waits, the same question is asked again next time: nothing is lost.
            call = self._under_way or self._request("watch", self._seen.question(), POLL_TIMEOUT)
            self._under_way = None
            self._seen.absorb(await call)
        return self._seen.ready.popleft()

    async def aclose(self) -> None:
        """Ends the iteration; what was not read is dropped."""
        self._closed = True
        self._seen.ready.clear()
        if self._under_way is not None:
            self._under_way.close()
            self._under_way = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class SyncWatch:
    """`for change in caller.watch("shop.*")`: the same for a thread; each step waits for the next change."""

    def __init__(
        self, request: Callable[[str, Mapping[str, Any], float], Any], pattern: str, *, existing: bool
    ) -> None:
        self._request = request
        self._seen = _Seen(pattern, existing=existing)
        self._seen.absorb(request("watch", self._seen.question(), POLL_TIMEOUT))
        self._closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Change:
        while not self._seen.ready:
            if self._closed:
                raise StopIteration
            self._seen.absorb(self._request("watch", self._seen.question(), POLL_TIMEOUT))
        return self._seen.ready.popleft()

    def close(self) -> None:
        """Ends the iteration; what was not read is dropped."""
        self._closed = True
        self._seen.ready.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _key(entry: FunctionEntry) -> _Key:
    return (entry.cluster, entry.node, entry.name, entry.version)
