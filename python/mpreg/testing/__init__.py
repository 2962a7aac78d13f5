"""For users' tests: meshes in one process, with faults, without ports and without sleeps.

    async with mpreg.testing.LocalMesh(nodes=3) as mesh:
        await mesh.nodes[1].call("price", "A1")
        mesh.partition(mesh.nodes[0], mesh.nodes[1:])
        await mesh.converged()

Nothing here reads `MPREG_*` or `mpreg.toml`, and the shared secret is the kit's own, so tests do not depend on the machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mpreg.testing._conditions import free_port, wait_for
    from mpreg.testing._context import context
    from mpreg.testing._mesh import LocalMesh, local_node
    from mpreg.testing._surroundings import child_environment

__all__ = ["LocalMesh", "child_environment", "context", "free_port", "local_node", "wait_for"]

_HOME_OF: Final = {
    "LocalMesh": "_mesh",
    "child_environment": "_surroundings",
    "context": "_context",
    "free_port": "_conditions",
    "local_node": "_mesh",
    "wait_for": "_conditions",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'mpreg.testing' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"mpreg.testing.{_HOME_OF[name]}"), name)
