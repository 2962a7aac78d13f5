"""The pytest plugin: fixtures `mpreg_mesh`, `mpreg_node` and `mpreg_environ`. Imports nothing but pytest until one is used.

The first two are factories of async context managers, so they work with every asyncio plugin and in any loop:

    async def test_price(mpreg_mesh):
        async with mpreg_mesh(nodes=3) as mesh: ...
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from mpreg._node import Node
    from mpreg.testing._mesh import LocalMesh


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--mpreg-seed`: repeats a run's choices."""
    parser.getgroup("mpreg").addoption("--mpreg-seed", type=int, default=None, help="seed of mpreg's meshes")


def pytest_configure(config: pytest.Config) -> None:
    """Draws the seed once; workers of xdist take the controller's."""
    drawn = config.getoption("mpreg_seed")
    if drawn is None:
        given = getattr(config, "workerinput", {}).get("mpreg_seed")
        drawn = int.from_bytes(os.urandom(4)) if given is None else given
    config.stash[_SEED] = drawn


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hands the seed to a worker of xdist."""
    node.workerinput["mpreg_seed"] = node.config.stash[_SEED]


def pytest_report_header(config: pytest.Config) -> str:
    """One line to repeat the run."""
    return f"mpreg: --mpreg-seed={config.stash[_SEED]}"


@pytest.fixture
def mpreg_seed(request: pytest.FixtureRequest) -> int:
    """The seed of this run."""
    return request.config.stash[_SEED]


@pytest.fixture
def mpreg_mesh(mpreg_seed: int) -> Callable[..., LocalMesh]:
    """`mpreg.testing.LocalMesh` with this run's seed."""
    from mpreg.testing import LocalMesh

    def make(*args: Any, **options: Any) -> LocalMesh:
        return LocalMesh(*args, **{"seed": mpreg_seed, **options})

    return make


@pytest.fixture
def mpreg_node() -> Callable[..., AbstractAsyncContextManager[Node]]:
    """`mpreg.testing.local_node`: one node, alone, in memory."""
    from mpreg.testing import local_node

    return local_node


@pytest.fixture
def mpreg_environ(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """For programs that start their nodes and clients themselves: this process, too, sees nothing of the machine.

    Neither its `MPREG_*` nor its `mpreg.toml`, and the kit's secret. Called, it sets what a deployment would:
    `mpreg_environ(seeds=mesh.nodes[0].address)` is `MPREG_SEEDS`.
    """
    from mpreg.testing import child_environment

    def set_environ(**settings: str) -> None:
        environ = child_environment(**settings)
        for name in set(os.environ).difference(environ):
            monkeypatch.delenv(name)
        for name, value in environ.items():
            if os.environ.get(name) != value:
                monkeypatch.setenv(name, value)

    set_environ()
    return set_environ


_SEED = pytest.StashKey[int]()
