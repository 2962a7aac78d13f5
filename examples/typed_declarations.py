"""Typed calls without the implementation: a declaration that caller and server share.

In a project the first part is a module of its own, which both sides import.
"""

import asyncio
import dataclasses

import mpreg

# --- shop_api.py ---

shop = mpreg.Functions(prefix="shop.")


@dataclasses.dataclass
class Offer:
    sku: str
    price: float


@shop.function(version="1.2")
async def cheapest(skus: list[str]) -> Offer:
    """The cheapest of them."""
    raise NotImplementedError


# --- the server ---

node = mpreg.Node("shop")
PRICES = {"A1": 9.5, "B2": 4.0}


@node.function(implements=cheapest)
async def find_cheapest(skus: list[str]) -> Offer:
    sku = min(skus, key=PRICES.__getitem__)
    return Offer(sku, PRICES[sku])


# --- a caller ---


async def main() -> None:
    async with node, mpreg.connect(node.address) as client:
        offer = await client.call(cheapest, ["A1", "B2"])  # a type checker knows: Offer
        print(offer)  # Offer(sku='B2', price=4.0)
        found = await client.describe(cheapest)
        print(f"{found.name}{found.signature}")  # shop.cheapest(skus: list[str]) -> Offer
        try:
            await client.call(cheapest, ["nothing"])
        except KeyError as error:
            print(type(error).__name__, error)  # KeyError 'nothing'


asyncio.run(main())
