"""Steps know what their functions return; parts of a result are `Any`."""

from typing import Any, assert_type

import mpreg
from offered import anything, count, node, price, score, train


async def steps(client: mpreg.Client) -> None:
    assert_type(client.step(price, "A1", qty=2), mpreg.Step[float])
    assert_type(client.step(score, client.step("rows")), mpreg.Step[float])
    assert_type(client.step(train, "m"), mpreg.Step[str])
    assert_type(client.step(count, ["a"]), mpreg.Step[int])
    assert_type(client.step(anything, 3), mpreg.Step[bool])
    assert_type(client.step("shop.score", [1.0], limit=3), mpreg.Step[Any])
    assert_type(client.step(price, "A1")["rows"][0], mpreg.Step[Any])
    assert_type(client.remote(price, timeout=2.0).step("A1"), mpreg.Step[float])
    assert_type(client.remote(train).step(client.step(price, "A1")), mpreg.Step[str])
    assert_type(client.remote("f", returns=int | None).step(1), mpreg.Step[int | None])
    assert_type(client.remote("f").step(1), mpreg.Step[Any])
    assert_type(node.step(price, "A1"), mpreg.Step[float])


async def runs(client: mpreg.Client) -> None:
    f, s, i = client.step(price, "A1"), client.step(train, "m"), client.step(count, ["a"])
    assert_type(client.run(f), mpreg.Call[float])
    assert_type(await client.run(f, timeout=60.0), float)
    assert_type(await client.run(f["rows"]), Any)
    assert_type(await client.run(f, s), tuple[float, str])
    assert_type(await client.run(f, s, i), tuple[float, str, int])
    assert_type(await client.run(f, s, i, f, timeout=1.0), tuple[float, str, int, float])
    assert_type(await client.run(f, s, i, f, s), tuple[float, str, int, float, str])
    assert_type(await client.run([f, f]), list[float])
    assert_type(await client.run((f,)), list[float])
    assert_type(await client.run([client.step(price, sku) for sku in "abc"], timeout=3.0), list[float])


async def reports(client: mpreg.Client) -> None:
    f, s = client.step(price, "A1"), client.step(train, "m")
    report = await client.run(f, s, report=True)
    assert_type(report, mpreg.RunReport)
    assert_type(report.value(f), float)
    assert_type(report.value(s), str)
    assert_type(report.steps[0], mpreg.StepReport)
    assert_type(report.steps[0].seconds, float)
    assert_type(report.critical_path, tuple[str, ...])
    assert_type(report.svg(), str)
    assert_type(await client.run([f, f], report=True, timeout=2.0), mpreg.RunReport)


async def events(client: mpreg.Client) -> None:
    f, s = client.step(price, "A1"), client.step(train, "m")
    event: mpreg.RunEvent = await anext(client.run_events(f, timeout=2.0))
    async for event in client.run_events([f, s]):
        match event:
            case mpreg.StepStarted(name, where):
                assert_type((name, where), tuple[str, str])
            case mpreg.StepFinished():
                assert_type(event.seconds, float)
            case mpreg.StepFailed(error=error):
                assert_type(error, BaseException)
            case mpreg.RunFinished(report):
                assert_type(report.value(f), float)


def watching(client: mpreg.SyncClient) -> None:
    for event in client.run_events(client.step(price, "A1")):
        if not isinstance(event, mpreg.StepStarted | mpreg.StepFinished | mpreg.StepFailed):
            assert_type(event, mpreg.RunFinished)


def blocking(client: mpreg.SyncClient) -> None:
    f, s = client.step(price, "A1"), client.remote(train, timeout=2.0).step("m")
    assert_type(f, mpreg.Step[float])
    assert_type(s, mpreg.Step[str])
    assert_type(client.run(f, timeout=60.0), float)
    assert_type(client.run(f, s), tuple[float, str])
    assert_type(client.run([f]), list[float])
    assert_type(client.run(f, s, report=True).value(s), str)


async def failures(client: mpreg.Client) -> None:
    try:
        await client.run(client.step(price, "A1"))
    except mpreg.GraphError as error:
        assert_type(error.step, str | None)
