"""FastAPI and Flask applications, under the servers that people run them by."""

from __future__ import annotations

import collections
import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

from mpreg.testing import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from children import Child, Children

    import mpreg


GUNICORN = ("-m", "gunicorn", "--no-control-socket", "--bind", "unix:web", "--workers", "2")


async def states(hub: mpreg.Node, name: str) -> collections.Counter:
    return collections.Counter(member.state for member in await hub.members() if member.name == name)


async def leaves(
    child: Child, hub: mpreg.Node, name: str, *, nodes: int = 1, code: int = 0, by: signal.Signals = signal.SIGTERM
) -> None:
    """Asked to end, its nodes take leave of the mesh first."""
    child.signal(by)
    assert await child.exit_code() == code, child.err
    assert "Traceback" not in child.err, child.err

    async def have_left() -> bool:
        return (await states(hub, name))["left"] == nodes

    # The word of it may be read a moment after the process has ended. Without that word they would be down.
    await wait_for(have_left, what=f"{nodes} {name} left: {child.err}")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_fastapi_offers_and_calls(
    children: Children, hub: mpreg.Node, servers: Callable, tmp_path: Path, loop: str
) -> None:
    arguments = ("-m", "uvicorn", "--loop", loop, "--uds")
    host = children.python(*arguments, "a", "pricing_api:app", seeds=hub.address)
    pricing, web = servers(tmp_path / "a"), servers(tmp_path / "b")
    assert (await pricing.get("/price/A1?qty=2")).json() == 19.0
    caller = children.python(*arguments, "b", "web_api:app", seeds=hub.address)
    assert (await web.get("/total/A1?qty=3")).json() == 28.5
    assert (await web.get("/total/C3?qty=1")).status_code == 404
    # uvicorn ends by the signal that it got.
    await leaves(host, hub, "pricing", code=-signal.SIGTERM)
    assert (await web.get("/total/A1?qty=3")).status_code == 503
    caller.signal(signal.SIGTERM)
    assert await caller.exit_code() == -signal.SIGTERM, caller.err


async def test_a_caller_without_a_mesh_does_not_start(children: Children, tmp_path: Path) -> None:
    nobody = tmp_path / "nobody"
    caller = children.python("-m", "uvicorn", "--uds", "c", "web_api:app", seeds=f"unix:{nobody}")
    assert await caller.exit_code() != 0
    assert "Application startup failed" in caller.err
    assert re.search(r"ConnectionLostError: .*nobody", caller.err), caller.err


async def test_flask_with_a_running_node(
    children: Children, hub: mpreg.Node, servers: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "0")
    child = children.python("shop_web.py", seeds=hub.address)
    await wait_for(lambda: "Running on" in child.err, what="Flask", timeout=20)
    (address,) = re.findall(r"Running on (http://\S+)", child.err)
    assert (await servers(address).get("/price/B2")).json() == {"price": 4.0}
    assert await hub.call("shop.price", "A1") == 9.5
    await leaves(child, hub, "shop", by=signal.SIGINT)


@pytest.mark.parametrize("options", ["", "--preload", "--threads=4", "--preload --threads=4"])
async def test_flask_under_gunicorn(
    children: Children, hub: mpreg.Node, servers: Callable, tmp_path: Path, options: str
) -> None:
    child = children.python(*GUNICORN, *options.split(), "shop_web:app", seeds=hub.address)
    await hub.wait_for("shop.price", nodes=2, timeout=20)
    assert (await servers(tmp_path / "web").get("/price/A1")).json() == {"price": 9.5}
    workers = {each.value: each.node for each in await hub.remote("shop.process").call_all()}
    assert len(workers) == 2, workers
    assert child.pid not in workers
    # A worker that dies is started again, as a node of its own.
    killed = next(iter(workers))
    os.kill(killed, signal.SIGKILL)
    await wait_for(lambda: _alive_again(hub, workers[killed]), timeout=20)
    assert (await servers(tmp_path / "web").get("/price/B2")).json() == {"price": 4.0}
    await leaves(child, hub, "shop", nodes=2)


async def _alive_again(hub: mpreg.Node, killed: str) -> bool:
    shops = [member for member in await hub.members() if member.name == "shop" and member.state == "alive"]
    return len(shops) == 2 and killed not in {f"{hub.cluster}/{member.id}" for member in shops}


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["", "preload"])
async def test_fastapi_under_gunicorn(
    children: Children, hub: mpreg.Node, servers: Callable, tmp_path: Path, preload: tuple
) -> None:
    # Without the hooks that Flask needs.
    (tmp_path / "gunicorn.conf.py").unlink()
    child = children.python(
        *GUNICORN, "--worker-class", "uvicorn_worker.UvicornWorker", *preload, "pricing_api:app", seeds=hub.address
    )
    await hub.wait_for("price", nodes=2, timeout=20)
    assert (await servers(tmp_path / "web").get("/price/A1?qty=2")).json() == 19.0
    await leaves(child, hub, "pricing", nodes=2)
