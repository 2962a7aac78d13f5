"""Calls and handles are typed by the function object, `Context` removed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypedDict, assert_type

import mpreg
from offered import anything, count, echo, node, price, rows, score, shop, squares, tail, train


class Row(TypedDict):
    name: str


async def call(client: mpreg.Client) -> None:
    assert_type(client.call(price, "A1", qty=2), mpreg.Call[float])
    assert_type(await client.call(price, "A1"), float)
    assert_type(await client.call(price, sku="A1"), float)
    assert_type(await client.call(score, [1.0], limit=2), float)
    assert_type(await client.call(train, "m"), str)
    assert_type(await client.call(count, ["a"]), int)
    assert_type(await client.call(echo, "s"), str)
    assert_type(await client.call(anything, 3), bool)
    assert_type(await client.call(shop.order, "A1", n=3), int)
    assert_type(await client.call(shop.close, "monday"), bool)
    assert_type(await client.call("shop.score", [1.0], any_key=3), Any)
    assert_type(await node.call(price, "A1"), float)


async def many(client: mpreg.Client) -> None:
    assert_type(await asyncio.gather(client.call(price, "A1"), client.call(train, "m")), tuple[float, str])
    assert_type(await asyncio.wait_for(client.call(count, ["a"]), 1.0), int)
    assert_type(asyncio.create_task(client.call(train, "m")), asyncio.Task[str])
    async with asyncio.TaskGroup() as group:
        assert_type(group.create_task(client.call(price, "A1")), asyncio.Task[float])


async def handles(client: mpreg.Client) -> None:
    f = client.remote(
        price, resources={"gpu"}, version=">=1.2,<2", cluster="us", timeout=2.0, max_hops=3, retries=2, wait=0.5,
        sticky="a", metadata={"k": 1},
    )  # fmt: skip
    assert_type(await f("A1", qty=2), float)
    assert_type(await f.call_all("A1"), list[mpreg.Outcome[float]])
    assert_type((await f.call_all("A1"))[0].value, float)
    assert_type(await client.remote(score)([1.0]), float)
    assert_type(await client.remote(train)("m"), str)
    assert_type(await client.remote(count)(["a"]), int)
    assert_type(await client.remote(anything, timeout=1.0)(3), bool)
    assert_type(await client.remote("f")(1, 2, k=3), Any)
    assert_type(await client.remote("f", returns=float)(1), float)
    assert_type(await client.remote("f", returns=int | None)(1), int | None)
    assert_type(await client.remote("f", returns=list[Row], timeout=2.0)(1), list[Row])


async def maps(client: mpreg.Client, skus: AsyncIterator[str]) -> None:
    async for value in client.map(price, ["A1"], concurrency=8, ordered=False, kwargs={"qty": 2}):
        assert_type(value, float)
    async for value in client.map(price, skus):
        assert_type(value, float)
    async for text in client.map(train, ["m"]):
        assert_type(text, str)
    async for number in client.map(count, [["a"]]):
        assert_type(number, int)
    async for outcome in client.map(score, [[1.0]], errors="yield"):
        assert_type(outcome, mpreg.Outcome[float])
    async for anyhow in client.map("shop.score", [[1.0]], errors="yield"):
        assert_type(anyhow, mpreg.Outcome[Any])
    handle = client.remote(price, timeout=2.0)
    async with client.map(handle, ["A1"]) as results:
        assert_type(results, mpreg.Map[float])
        assert_type(results.total, int | None)
        assert_type([result async for result in results], list[float])


async def looks(client: mpreg.Client) -> None:
    assert_type(await client.catalog(function="shop.*", resources={"gpu"}), list[mpreg.FunctionEntry])
    assert_type(await client.describe(price), mpreg.FunctionDescription)
    assert_type((await client.explain("shop.score", resources={"gpu"})).candidates, tuple[mpreg.Candidate, ...])
    assert_type(await client.members(), list[mpreg.Member])
    await client.wait_for(price, nodes=2, timeout=1.0, version="^1")
    async for change in client.watch("shop.*", existing=True):
        assert_type(change, mpreg.Change)


async def connecting() -> None:
    async with mpreg.connect("127.0.0.1:7000", timeout=30.0, config=mpreg.Config()) as client:
        assert_type(client, mpreg.Client)
    assert_type(await mpreg.connect(), mpreg.Client)
    async with node as started:
        assert_type(started, mpreg.Node)
        assert_type(started.address, str)
    await node.stop(reason="maintenance")


async def streams(client: mpreg.Client) -> None:
    async for line in client.stream(tail, "/var/log/x", lines=3):
        assert_type(line, str)
    assert_type(client.stream(rows, "t"), mpreg.Stream[tuple[str, int]])
    assert_type(client.stream(squares, 3), mpreg.Stream[int])
    assert_type(client.stream("tail", 1), mpreg.Stream[Any])
    assert_type(client.remote(tail).stream("x", lines=1), mpreg.Stream[str])
    assert_type(client.remote(rows).stream("t"), mpreg.Stream[tuple[str, int]])
    assert_type(client.remote("tail", returns=int).stream(1), mpreg.Stream[int])
    async with client.stream(squares, 3) as items:
        assert_type(items, mpreg.Stream[int])
        assert_type([item async for item in items], list[int])
        assert_type(await anext(items), int)
        await items.aclose()
