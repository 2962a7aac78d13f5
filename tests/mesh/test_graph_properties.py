"""Random call graphs give what plain Python gives, calling the same functions one after another."""

from __future__ import annotations

import asyncio
import dataclasses
import zlib
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mpreg.testing import LocalMesh

if TYPE_CHECKING:
    from collections.abc import Callable

NODES = 3
PARTS: list[tuple[str | int, ...]] = [(), ("n",), ("rows",), ("rows", 0), ("rows", -1), ("pad",), ("nested", 0, "n")]
# Below and above what travels inline.
PADS = [0, 100, 70_000]


@dataclasses.dataclass(frozen=True)
class Ref:
    """A part of the result of an earlier step."""

    step: int
    part: tuple[str | int, ...]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A step: where it runs, what it is given, how large its result is."""

    place: int | None
    args: list[Any]
    kwargs: dict[str, Any]
    pad: int


def mix(pad: int, /, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """A result that depends on every byte of the arguments."""
    n = zlib.crc32(repr((args, sorted(kwargs.items()))).encode())
    return {"n": n, "rows": [n, (n, "mixed"), n + 1], "pad": n.to_bytes(4) * (pad // 4), "nested": [{"n": n}]}


def arguments(earlier: int) -> st.SearchStrategy[Any]:
    leaf = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.binary(max_size=5))
    if earlier:
        leaf |= st.builds(Ref, st.integers(0, earlier - 1), st.sampled_from(PARTS))

    def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        few = st.lists(inner, max_size=3)
        return few | few.map(tuple) | st.dictionaries(st.text(max_size=3), inner, max_size=3)

    return st.recursive(leaf, containers, max_leaves=6)


@st.composite
def recipes(draw: st.DrawFn) -> list[Recipe]:
    steps: list[Recipe] = []
    for index in range(draw(st.integers(1, 12))):
        args = draw(st.lists(arguments(index), max_size=3))
        kwargs = draw(st.dictionaries(st.sampled_from("abc"), arguments(index), max_size=2))
        place = draw(st.none() | st.integers(0, NODES - 1))
        steps.append(Recipe(place, args, kwargs, draw(st.sampled_from(PADS))))
    return steps


def filled(value: Any, results: list[Any]) -> Any:
    """`value` with what its references stand for."""
    if isinstance(value, Ref):
        found = results[value.step]
        for key in value.part:
            found = found[key]
        return found
    if isinstance(value, list | tuple):
        return type(value)(filled(item, results) for item in value)
    if isinstance(value, dict):
        return {key: filled(item, results) for key, item in value.items()}
    return value


def evaluated(steps: list[Recipe], call: Callable[..., Any]) -> list[Any]:
    """What `call(recipe, *args, **kwargs)` gives for each step, later ones being given what it gave for earlier ones."""
    results: list[Any] = []
    for recipe in steps:
        results.append(call(recipe, *filled(recipe.args, results), **filled(recipe.kwargs, results)))
    return results


async def through_a_mesh(steps: list[Recipe], wanted: list[Ref], *, as_client: bool) -> list[Any]:
    async with LocalMesh(NODES, shape="star") as mesh:
        for place, node in enumerate(mesh.nodes):
            node.function("mix", resources={f"place-{place}"})(mix)
        await mesh.converged()
        async with mesh.connect(1) as client:
            caller = client if as_client else mesh.nodes[0]
            await caller.wait_for("mix", nodes=NODES)

            def step(recipe: Recipe, *args: Any, **kwargs: Any) -> Any:
                resources = set() if recipe.place is None else {f"place-{recipe.place}"}
                return caller.remote("mix", resources=resources).step(recipe.pad, *args, **kwargs)

            made = evaluated(steps, step)
            return await caller.run([filled(ref, made) for ref in wanted])


@settings(deadline=None, max_examples=60)
@given(steps=recipes(), data=st.data(), whose=st.sampled_from(["node", "client"]))
def test_a_random_graph_gives_what_plain_python_gives(steps: list[Recipe], data: st.DataObject, whose: str) -> None:
    references = st.builds(Ref, st.integers(0, len(steps) - 1), st.sampled_from(PARTS))
    wanted = data.draw(st.lists(references, min_size=1, max_size=4))
    plain = evaluated(steps, lambda recipe, *args, **kwargs: mix(recipe.pad, *args, **kwargs))
    expected = [filled(ref, plain) for ref in wanted]
    assert asyncio.run(through_a_mesh(steps, wanted, as_client=whose == "client")) == expected
