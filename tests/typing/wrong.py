"""What must not type-check. Both checkers report an ignore that is not needed, so each line here is a test."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

import mpreg
from offered import count, node, price, tail, train


async def arguments(client: mpreg.Client) -> None:
    await client.call(price, 3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await client.call(price)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await client.call(price, "A1", quantity=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await client.call(train, 3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await client.call(train, "m", "n")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await client.call(3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await client.remote(price)(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.remote(count)("a", 3)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]


async def streams(client: mpreg.Client) -> None:
    client.stream(price, "A1")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    client.stream(tail, 3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def options(client: mpreg.Client) -> None:
    client.remote(price, retires=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    client.remote(price, timeout="2")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    client.map(price, [3])  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await node.stop(reason="bored")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@node.function(idempotnet=True)  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportCallIssue, reportUntypedFunctionDecorator]
def misspelt() -> None: ...


mpreg.Node(nam="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
mpreg.Config(thread=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def graphs(client: mpreg.Client) -> None:
    step = client.step(price, "A1")
    step[1.5]  # type: ignore[index]  # pyright: ignore[reportArgumentType]
    len(step)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    list(step)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    _ = "rows" in step  # type: ignore[misc]  # pyright: ignore[reportOperatorIssue]
    await client.run(step, retries=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await client.run(price)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await client.run()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await client.step(3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
