"""The kit's parts that need no mesh; meshes: mesh/test_kit_meshes.py."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

import mpreg
import mpreg.testing


async def test_a_context_calls_a_function_like_a_node() -> None:
    async def train(ctx: mpreg.Context, model: str) -> str:
        ctx.check()
        ctx.progress(1, 2, "half")
        return f"{model} {ctx.state} {ctx.function} {ctx.caller} {ctx.metadata['k']}"

    context = mpreg.testing.context(state="pool", function="train", caller="eu/a/1", metadata={"k": 3})
    assert await train(context, "m") == "m pool train eu/a/1 3"
    assert 29 < context.remaining <= 30
    assert not context.cancelled


def test_a_context_can_be_cancelled_or_late() -> None:
    with pytest.raises(mpreg.CancelledByPeerError):
        mpreg.testing.context(cancelled=True).check()
    with pytest.raises(mpreg.DeadlineExceededError):
        mpreg.testing.context(timeout=0).check()


def test_a_context_without_a_node_says_how_to_get_one() -> None:
    with pytest.raises(mpreg.ConfigError, match=r"context\(node="):
        _ = mpreg.testing.context().node


async def test_sync_on_the_loop_is_refused() -> None:
    with pytest.raises(mpreg.ConfigError, match=r"await ctx.node.call"):
        _ = mpreg.testing.context().sync


async def test_wait_for_returns_the_first_true_value() -> None:
    values = iter([0, "", None, "yes"])
    assert await mpreg.testing.wait_for(lambda: next(values)) == "yes"

    async def soon() -> int:
        return 3

    assert await mpreg.testing.wait_for(soon) == 3


async def test_wait_for_in_vain_names_the_condition() -> None:
    with pytest.raises(AssertionError, match=r"not true within 0.01 s: the impossible \(last value: 0\)"):
        await mpreg.testing.wait_for(lambda: 0, timeout=0.01, what="the impossible")


def test_children_get_the_kits_secret_and_nothing_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPREG_SEEDS", "elsewhere:1")
    environment = mpreg.testing.child_environment(cluster="eu")
    assert {name for name in environment if name.startswith("MPREG_")} == {
        "MPREG_CLUSTER", "MPREG_CONFIG", "MPREG_SECRET_FILE"
    }  # fmt: skip
    assert environment["MPREG_CONFIG"] == os.devnull
    assert environment["PATH"] == os.environ["PATH"]
    secret = Path(environment["MPREG_SECRET_FILE"])
    assert len(secret.read_bytes()) == 32
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_a_free_port_is_free() -> None:
    assert 1024 <= mpreg.testing.free_port() < 65_536


def test_the_plugin_says_how_to_repeat_a_run(pytestconfig: pytest.Config, mpreg_seed: int) -> None:
    header = pytestconfig.hook.pytest_report_header(config=pytestconfig, start_path=Path())
    assert f"mpreg: --mpreg-seed={mpreg_seed}" in str(header)


@pytest.mark.parametrize(
    ("options", "told"), [({"shape": "tree"}, "shape takes"), ({"transport": "udp"}, "transport one of"), ({"nodes": 0}, "nodes takes")]
)  # fmt: skip
def test_a_mesh_refuses_bad_options(options: dict, told: str) -> None:
    with pytest.raises(mpreg.ConfigError, match=told):
        mpreg.testing.LocalMesh(**options)


def test_a_seed_gives_the_same_nodes() -> None:
    instances = [
        [node._given["instance"] for node in mpreg.testing.LocalMesh(3, seed=seed).nodes] for seed in (7, 7, 8)
    ]
    assert instances[0] == instances[1] != instances[2]
