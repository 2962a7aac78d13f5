"""`watch`: each change once, also over a lost token or another entry node."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from mpreg import SyncWatch, Watch

if TYPE_CHECKING:
    from collections.abc import Mapping


def entry(name: str, *, node: str = "a/1", doc: str = "") -> dict[str, Any]:
    return {
        "name": name,
        "id": name,
        "version": "1.0.0",
        "node": node,
        "cluster": "default",
        "resources": [],
        "doc": doc,
    }


def changes(*rows: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"what": what, "entry": row} for what, row in rows]


class Node:
    """Answers in turn, and keeps what it was asked."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.asked: list[Mapping[str, Any]] = []

    def answer(self, verb: str, body: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        assert verb == "watch"
        assert timeout > 10, "longer than the node holds a poll"
        self.asked.append(body)
        return self.answers.pop(0)

    async def request(self, *question: Any) -> dict[str, Any]:
        return self.answer(*question)


FIRST = {"token": "1", "reset": True, "changes": changes(("added", entry("f")), ("added", entry("g")))}
NOTHING = {"token": "1", "reset": False, "changes": []}
SECOND = {"token": "2", "reset": False, "changes": changes(("added", entry("h")), ("removed", entry("f")))}
# What there is after another node took over: g has changed, k is new, h is gone.
MOVED = {"token": "x", "reset": True, "changes": changes(("added", entry("g", doc="new")), ("added", entry("k")))}


def seen(node: Node, count: int, *, existing: bool) -> list[tuple[str, str]]:
    watch = SyncWatch(node.answer, "*", existing=existing)
    return [(change.what, change.entry.name) for change in itertools.islice(watch, count)]


def test_only_news_unless_what_exists_is_asked_for() -> None:
    assert seen(Node(FIRST, NOTHING, SECOND, SECOND), 2, existing=False) == [("added", "h"), ("removed", "f")]
    assert seen(Node(FIRST, SECOND), 3, existing=True) == [("added", "f"), ("added", "g"), ("added", "h")]


def test_it_resumes_by_token() -> None:
    node = Node(FIRST, NOTHING, SECOND)
    seen(node, 1, existing=False)
    assert node.asked == [{"pattern": "*"}, {"pattern": "*", "token": "1"}, {"pattern": "*", "token": "1"}]


def test_a_reset_gives_the_difference_and_nothing_twice() -> None:
    found = seen(Node(FIRST, SECOND, MOVED), 5, existing=False)
    assert found == [("added", "h"), ("removed", "f"), ("removed", "h"), ("changed", "g"), ("added", "k")]


async def test_it_watches_from_the_moment_it_is_made() -> None:
    node = Node(FIRST, SECOND)
    request = asyncio.ensure_future
    watch = Watch(lambda *question: request(node.request(*question)), "*", existing=False)  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert len(node.asked) == 1
    assert (await anext(watch)).entry.name == "h"


async def test_a_cancelled_step_loses_nothing() -> None:
    node, gate = Node(FIRST, SECOND), asyncio.Event()

    async def request(*question: Any) -> dict[str, Any]:
        if len(node.asked) == 1:
            await gate.wait()
        return await node.request(*question)

    watch = Watch(request, "*", existing=False)  # type: ignore[arg-type]
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(anext(watch), 0.01)
    gate.set()
    assert (await anext(watch)).entry.name == "h"
    assert (await anext(watch)).entry.name == "f"


async def test_closing_ends_the_iteration() -> None:
    node = Node(FIRST, SECOND)
    async with Watch(node.request, "*", existing=True) as watch:  # type: ignore[arg-type]
        assert (await anext(watch)).what == "added"
    with pytest.raises(StopAsyncIteration):
        await anext(watch)
