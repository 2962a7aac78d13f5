"""Looking at a real mesh: catalog, describe, explain, members, wait_for and watch, from every place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import mpreg

if TYPE_CHECKING:
    from ways import Way


async def test_looking_from_every_place(way: Way) -> None:
    @way.function("shop.price", version="1.2", resources={"eu"}, tags={"v": "blue"})
    async def price(sku: str, *, qty: int = 1) -> float:
        """What it costs.

        With tax.
        """
        return 1.0

    await way.caller.wait_for("shop.price")
    (entry,) = await way.caller.catalog(function="shop.*", resources={"eu"})
    assert (entry.name, entry.id, entry.version, entry.node, entry.cluster, entry.scope) == (
        "shop.price", "shop.price", "1.2.0", f"default/{way.server.id}", "default", "global",
    )  # fmt: skip
    assert (entry.resources, dict(entry.tags)) == ({"eu"}, {"v": "blue"})
    assert entry.signature == "(sku: str, *, qty: int = 1) -> float"
    assert entry.doc.startswith("What it costs.")
    assert await way.caller.catalog(function="nothing.*") == []
    assert await way.caller.catalog(resources={"us"}) == []

    told = await way.caller.describe(price)
    assert (told.versions, told.nodes, told.resources) == (("1.2.0",), (f"default/{way.server.id}",), {"eu"})
    with pytest.raises(mpreg.FunctionNotFoundError, match=r"shop\.price"):
        await way.caller.describe("shop.pirce")

    explained = await way.caller.explain("shop.price", resources={"eu"})
    assert explained.chosen == f"default/{way.server.id}"
    assert [(c.node, c.chosen) for c in explained.candidates] == [(f"default/{way.server.id}", True)]
    ruled_out = await way.caller.explain("shop.price", version=">=2")
    assert ruled_out.chosen is None
    assert ruled_out.candidates[0].reason

    members = await way.caller.members()
    assert {m.id for m in members} == {node.id for node in way.mesh.nodes}
    assert {m.state for m in members} == {"alive"}
    assert {m.address for m in members} == {node.address for node in way.mesh.nodes}


async def test_explain_gives_no_score_to_those_ruled_out(far: Way) -> None:
    far.server.function("f")(lambda: 1)
    await far.caller.wait_for("f")
    assert [c.score for c in (await far.caller.explain("f", version=">=2")).candidates] == [None]


@pytest.mark.parametrize("place", ["member", "client"])
async def test_wait_for_in_vain_says_what_is_missing(far: Way, place: str) -> None:
    caller = far.caller if place == "client" else far.mesh.nodes[2]
    with pytest.raises(mpreg.DeadlineExceededError, match="late"):
        await caller.wait_for("late", timeout=0.05)


async def test_wait_for_returns_when_it_can_be_called_and_gives_up_in_time(way: Way) -> None:
    waiting = asyncio.create_task(way.caller.wait_for("late", resources={"gpu"}))
    await way.caller.members()  # the question is on its way before the answer exists
    way.server.function("late")(lambda: 1)
    with pytest.raises(mpreg.DeadlineExceededError):
        await way.caller.wait_for("late", resources={"gpu"}, timeout=0.05)
    assert not waiting.done()
    way.server.function("late", version="2.0.0", resources={"gpu"})(lambda: 2)
    await waiting
    assert await way.caller.remote("late", resources={"gpu"})() == 2
    with pytest.raises(mpreg.DeadlineExceededError):
        await way.caller.wait_for("late", nodes=2, timeout=0.05)


async def test_a_watch_tells_each_change_once(way: Way) -> None:
    def add(version: str) -> None:
        way.server.function("shop.f", version=version)(lambda: 1)

    add("1.0.0")
    await way.caller.wait_for("shop.f")
    async with way.caller.watch("shop.*", existing=True) as watch:
        first = await anext(watch)
        assert (first.what, first.entry.version) == ("added", "1.0.0")
        add("1.1.0")
        way.server.function("other")(lambda: 1)
        second = await anext(watch)
        assert (second.what, second.entry.name, second.entry.version) == ("added", "shop.f", "1.1.0")
        way.server.remove("shop.f", version="1.0.0")
        third = await anext(watch)
        assert (third.what, third.entry.version, third.entry.node) == ("removed", "1.0.0", f"default/{way.server.id}")


async def test_a_watch_without_existing_tells_only_news(way: Way) -> None:
    way.server.function("shop.old")(lambda: 1)
    await way.caller.wait_for("shop.old")
    async with way.caller.watch("shop.*") as watch:
        news = asyncio.create_task(anext(watch))
        await way.caller.members()
        way.server.function("shop.new")(lambda: 1)
        change = await news
        assert (change.what, change.entry.name) == ("added", "shop.new")


async def test_a_watch_sees_a_node_leave(far: Way) -> None:
    far.server.function("shop.f")(lambda: 1)
    await far.caller.wait_for("shop.f")
    async with far.caller.watch("shop.*", existing=True) as watch:
        assert (await anext(watch)).what == "added"
        await far.server.stop()
        far.mesh._running.remove(far.server)
        gone = await anext(watch)
        assert (gone.what, gone.entry.name) == ("removed", "shop.f")
