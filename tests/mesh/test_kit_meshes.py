"""`LocalMesh` as a user's tests meet it; its faults are used by all tests of meshes."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

import mpreg
from mpreg.testing import LocalMesh

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


@contextlib.asynccontextmanager
async def prices() -> AsyncIterator[dict]:
    yield {"A1": 9.5}


async def test_own_nodes_run_in_memory_whatever_they_say_and_are_left_as_they_were(tmp_path: Path) -> None:
    deployed = mpreg.Config(
        secret_file=tmp_path / "missing", tls_ca=tmp_path / "ca.pem", tls_cert=tmp_path / "c.pem",
        tls_key=tmp_path / "c.key", advertise="10.1.2.3:7000", timeout=3.0,
    )  # fmt: skip
    node = mpreg.Node(
        "shop", listen="10.1.2.3:7000", seeds=["10.9.9.9:7000"], links=["10.1.0.9:7000"], trust={"us"},
        lifespan=prices, config=deployed,
    )  # fmt: skip

    @node.function
    async def price(ctx: mpreg.Context, sku: str) -> float:
        return ctx.state[sku]

    before = (dict(node._given), node._config, repr(node))
    for _ in range(2):
        async with LocalMesh(nodes=[node, mpreg.Node("caller")]) as mesh:
            await mesh.converged()
            assert node.address.startswith("memory:")
            assert await mesh.nodes[1].call(price, "A1") == 9.5
        assert (dict(node._given), node._config, repr(node)) == before
        assert not node.is_started


async def test_nodes_of_several_clusters_meet_within_their_own(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=5, clusters=2) as mesh:
        assert [node.cluster for node in mesh.nodes] == ["cluster-0", "cluster-1"] * 2 + ["cluster-0"]
        mesh.nodes[0].function("where")(lambda: "here")
        await mesh.converged()
        assert await mesh.nodes[4].call("where") == "here"
        with pytest.raises(mpreg.NoRouteError, match="no link to another cluster"):
            await mesh.nodes[1].remote("where", cluster="cluster-0")()


@pytest.mark.parametrize(
    "nodes", ["3", [], mpreg, [mpreg], [mpreg.Node("a")] * 2], ids=["text", "none", "module", "modules", "twice"]
)
def test_what_is_no_list_of_nodes_is_refused(nodes: object) -> None:
    with pytest.raises(mpreg.ConfigError, match=r"nodes takes how many, or a list of your own, each once"):
        LocalMesh(nodes)


@pytest.mark.parametrize("options", [{"clusters": 2}, {"config": mpreg.Config()}])
def test_what_would_be_ignored_is_refused(options: dict) -> None:
    with pytest.raises(mpreg.ConfigError, match="your own nodes say their cluster and config themselves"):
        LocalMesh([mpreg.Node("a"), mpreg.Node("b")], **options)
    with pytest.raises(mpreg.ConfigError, match="4 clusters need as many nodes, not 3"):
        LocalMesh(3, clusters=4)


async def test_a_mesh_that_does_not_run_says_so() -> None:
    mesh = LocalMesh(2)
    with pytest.raises(mpreg.ConfigError, match=r"no node of this mesh runs: write `async with"):
        await mesh.converged()
    with pytest.raises(mpreg.ConfigError, match="does not run here"):
        mesh.pause(0)
    with pytest.raises(TypeError, match=r"needs `async with`.*mpreg_environ"), mesh:
        pass


async def test_faults_for_nodes_that_are_not_there_are_refused(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=3) as mesh:
        with pytest.raises(mpreg.ConfigError, match="this mesh has the nodes 0 to 2, not 7"):
            mesh.partition(0, [1, 7])
        with pytest.raises(mpreg.ConfigError, match=r"is no node of this mesh: .*mesh.add"):
            mesh.pause(mpreg.Node("stranger"))
        with pytest.raises(mpreg.ConfigError, match="ms takes 0 to 60000 milliseconds, not -5"):
            mesh.slow(0, 1, -5)
        await mesh.kill(2)
        with pytest.raises(mpreg.ConfigError, match=r"does not run here: .*mesh.start"):
            await mesh.kill(2)
        await mesh.start(2)
        await mesh.converged()


async def test_a_node_that_left_by_itself_is_started_again_once(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    async with mpreg_mesh(nodes=3) as mesh:
        await mesh.nodes[1].stop()
        await mesh.converged()
        assert not mesh.nodes[1].is_started
        await mesh.start(1)
        await mesh.add(mpreg.Node("more"))
        await mesh.converged()
        assert len(await mesh.nodes[1].members()) == 4
    assert not any(node.is_started for node in mesh.nodes)


async def test_what_a_lifespan_raises_at_its_end_is_raised_and_all_have_stopped() -> None:
    @contextlib.asynccontextmanager
    async def broken() -> AsyncIterator[None]:
        yield
        raise RuntimeError("the pool")

    mesh = LocalMesh([mpreg.Node("a", lifespan=broken), mpreg.Node("b")])
    with pytest.raises(RuntimeError, match="the pool"):
        async with mesh:
            pass
    assert not any(node.is_started for node in mesh.nodes)


async def test_calls_go_by_what_a_mesh_has_agreed_on(mpreg_mesh: Callable[..., LocalMesh]) -> None:
    # Changes of others are published together, some milliseconds after they are known.
    for _ in range(5):
        async with mpreg_mesh(nodes=3) as mesh:
            for node in mesh.nodes:
                node.function("f")(lambda: None)
            await mesh.converged()
            for node in mesh.nodes:
                assert len(await node.remote("f").call_all()) == 3
            await mesh.kill(2)
            await mesh.converged()
            assert len(await mesh.nodes[0].remote("f").call_all()) == 2
