"""Functions on the nodes of a mesh for the tests of call graphs, and one who calls them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import mpreg
    from mpreg.testing import LocalMesh


@dataclasses.dataclass
class Clean:
    rows: list[float]
    n: int


VALUE = {
    "list": [1, 2.5, "three"],
    "tuple": ("a", ("b", "c")),
    "field": Clean([4.0, 5.0], 2),
    "nothing": None,
    "big": 1 << 100,
    "text": "x" * 100_000,
    8: {"deep": {"deeper": [{"deepest": True}]}},
}


class Shop:
    """Functions on the nodes of a mesh, and one who calls them."""

    def __init__(self, mesh: LocalMesh, caller: mpreg.Node | mpreg.Client) -> None:
        self.mesh, self.caller = mesh, caller
        self.step, self.run = caller.step, caller.run
        one, two, three = mesh.nodes

        @one.function
        def ingest(sensor: int) -> bytes:
            return bytes([sensor, 2, 3])

        @two.function
        async def clean(raw: bytes) -> Clean:
            return Clean([float(value) for value in raw], len(raw))

        @three.function
        def score(rows: list[float], *, limit: int) -> float:
            return sum(rows[:limit])

        @two.function("any")
        def anything(value: Any = None, /, *args: Any, **kwargs: Any) -> list[Any]:
            return [value, *args, kwargs]

        @three.function("give")
        def give(value: Any) -> Any:
            return value

        @one.function("add")
        def add(*numbers: int) -> int:
            return sum(numbers)

        self.ingest, self.clean, self.score, self.give = ingest, clean, score, give
