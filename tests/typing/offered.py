"""Functions of every kind, for the other files of this folder."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar, assert_type

import mpreg

T = TypeVar("T")


@dataclass
class Pool:
    size: int


@asynccontextmanager
async def open_pool() -> AsyncGenerator[Pool, None]:
    yield Pool(3)


node = mpreg.Node(
    "pricing", instance="a", cluster="eu", resources={"gpu"}, listen="127.0.0.1:0", seeds=["127.0.0.1:7000"], links=(),
    trust={"us"}, max_hops=1, lifespan=open_pool, config=mpreg.Config(threads=3, log_level="info"),
)  # fmt: skip
group = mpreg.Functions(prefix="shop.", resources=["eu"], tags={"v": "blue"})


class OutOfStock(Exception):
    pass


@node.function
async def price(sku: str, *, qty: int = 1) -> float:
    return 2.0 * qty


@node.function("shop.score", version="1.2.0", id="s", resources={"gpu"}, idempotent=True, concurrency=8, timeout=5.0,
               inline=False, raises=[OutOfStock], scope="global", tags={"v": "blue"}, doc="d")  # fmt: skip
def score(rows: list[float], limit: int = 3) -> float:
    return sum(rows[:limit])


@node.function()
async def train(ctx: mpreg.Context, model: str) -> str:
    ctx.progress(3, 10, "epoch 3")
    assert_type(await ctx.node.call(price, "A1"), float)
    return model


@group.function(inline=True)
def count(ctx: mpreg.Context, words: list[str]) -> int:
    assert_type(ctx.sync.call(price, "A1"), float)
    return len(words)


@group.function
def echo(x: T, y: object = None) -> T:
    return x


@group.function
def anything(x: object) -> bool:
    return bool(x)


class Shop:
    async def order(self, sku: str, *, n: int = 1) -> int:
        return n

    @staticmethod
    def close(day: str) -> bool:
        return bool(day)


shop = Shop()
node.function("shop.order")(shop.order)
node.include(group)
node.remove("shop.score", version="1.2.0")
node.remove(group)


@node.function
async def tail(path: str, *, lines: int = 10) -> AsyncIterator[str]:
    yield path * lines


@node.function
def rows(ctx: mpreg.Context, table: str) -> Iterator[tuple[str, int]]:
    yield table, 1


@node.function
async def squares(to: int) -> AsyncGenerator[int, None]:
    yield to
