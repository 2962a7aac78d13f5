"""Two nodes in one process: one offers a function, the other finds and calls it."""

import asyncio

import mpreg

greeter = mpreg.Node("greeter")


@greeter.function
async def greet(name: str) -> str:
    return f"Hello, {name}!"


async def main() -> None:
    async with greeter, mpreg.Node("caller", seeds=[greeter.address]) as caller:
        print(await caller.call(greet, "mesh"))  # Hello, mesh!
        print(await caller.call("greet", "by name"))  # Hello, by name!
        print(sorted(member.name for member in await caller.members()))  # ['caller', 'greeter']


asyncio.run(main())
