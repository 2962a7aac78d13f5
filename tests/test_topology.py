"""`mpreg topology`: the picture of a cluster, put together from what its nodes say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

import mpreg
from mpreg.cli._main import mpreg as command
from mpreg.cli._topology_svg import drawing
from mpreg.cli._topology_view import Topology, ranges

if TYPE_CHECKING:
    from pathlib import Path


def member(name: str, state: str = "alive") -> mpreg.Member:
    return mpreg.Member(id=name, name=name.split("/", maxsplit=1)[0], cluster="eu", state=state, address="127.0.0.1:1")


def stats(name: str, *others: str, trip: float | None = 0.001, **more: object) -> mpreg.NodeStats:
    links = tuple(mpreg.ConnectionStats(node=f"eu/{other}", round_trip=trip) for other in others)
    return mpreg.NodeStats(node=f"eu/{name}", connections=links, **more)


def offered(node: str, name: str, *resources: str) -> mpreg.FunctionEntry:
    return mpreg.FunctionEntry(
        name=name, id=name, version="1.0.0", node=f"eu/{node}", cluster="eu", resources=frozenset(resources)
    )


def three() -> Topology:
    """c does not answer, d is gone; a and b are connected, and c with a."""
    return Topology.of(
        "eu/b/1",
        [member("d/1", "down"), member("a/1"), member("c/1", "suspect"), member("b/1")],
        [offered("a/1", "f", "gpu"), offered("a/1", "g"), offered("b/1", "f")],
        [
            stats("a/1", "b/1", "c/1", trip=0.004, clients=2),
            stats("b/1", "a/1", trip=0.002),
            mpreg.NodeStats(node="eu/c/1", error="2 s <passed>"),
        ],
    )


def test_nodes_links_and_offers_are_put_together() -> None:
    seen = three()
    assert [place.id for place in seen.places] == ["a/1", "b/1", "c/1", "d/1"]
    assert seen.links == {(1, 2): 0.002, (1, 3): 0.004}
    assert (seen.places[0].functions, seen.places[0].resources) == (("f", "g"), ("gpu",))
    assert [place.is_entry for place in seen.places] == [False, True, False, False]
    assert [seen.meets_all(number) for number in (1, 2, 3)] == [True, False, False]
    assert seen.places[2].shown_state == "suspect, no answer"
    assert seen.places[3].shown_state == "down"
    assert "2 of 3 pairs are connected" in seen.summary()


def test_the_matrix_shows_who_is_connected() -> None:
    assert three().matrix() == ["  123", "1 \\●●", "2 ●\\·", "3 ●·\\"]


def test_fifty_nodes_stay_readable() -> None:
    names = [f"node/{number:02}" for number in range(50)]
    full = Topology.of(None, [member(n) for n in names], [], [stats(n, *(o for o in names if o != n)) for n in names])
    assert full.is_full
    assert len(full.links) == 1225
    lines = full.matrix()
    assert len(lines) == 52
    assert max(map(len, lines)) == 53
    assert drawing(full).count('class="node"') == 50


@pytest.mark.parametrize(
    ("numbers", "told"), [([], "-"), ([3], "3"), ([1, 2, 3, 7], "1-3 7"), ([1, 3, 5, 6], "1 3 5-6")]
)
def test_numbers_are_told_as_ranges(numbers: list[int], told: str) -> None:
    assert ranges(numbers) == told


@pytest.mark.parametrize("count", [0, 1, 2, 3, 13, 50])
def test_the_picture_is_xml_whatever_the_names(count: int) -> None:
    names = [f"<n&{number}>/{number}\x00" for number in range(count)]
    seen = Topology.of(
        f"eu/{names[0]}" if names else None,
        [member(name) for name in names],
        [offered(name, "f<\x1b>") for name in names],
        [stats(name, *(other for other in names if other != name), trip=None) for name in names],
    )
    root = ET.fromstring(drawing(seen))
    shapes = [each.tag.rpartition("}")[2] for each in root.iter()]
    assert shapes.count("line") == count * (count - 1) // 2
    assert shapes.count("circle") == count + bool(count)


def test_the_picture_tells_what_does_not_answer() -> None:
    text = drawing(three())
    assert "2 s &lt;passed&gt;" in text
    assert text.count("silent") == text.count(".silent") + 1
    assert 'class="link regional"' in text


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(command, ["topology", *arguments])
    assert "Traceback" not in done.stderr
    return done.exit_code, done.stdout, done.stderr


def test_the_command_on_a_real_mesh(tmp_path: Path) -> None:
    first = mpreg.Node("first", resources={"gpu"})
    first.function("shop.price")(lambda: 1)
    with first.running() as mesh:
        second = mpreg.Node("second", seeds=[first.address])
        second.function("shop.stock")(lambda: 1)
        with second.running():
            mesh.wait_for("shop.stock")
            picture = tmp_path / "mesh.svg"
            status, out, told = run("--connect", first.address, "--svg", str(picture))
            assert status == 0
            rows = [line.split("\t") for line in out.splitlines()]
            assert [row[:4] for row in rows] == [["1*", first.id, "alive", "all"], ["2", second.id, "alive", "all"]]
            assert [row[6:] for row in rows] == [["shop.price", "gpu"], ["shop.stock", "-"]]
            assert "every pair is connected" in told
            assert first.id in picture.read_text()
            status, out, _ = run("--json", "--connect", second.address)
            seen = json.loads(out)
            assert (status, seen["cluster"]) == (0, "default")
            assert [node["is_entry"] for node in seen["nodes"]] == [False, True]
            assert [link["between"] for link in seen["connections"]] == [[first.id, second.id]]
            status, out, told = run("--connect", first.address, "--svg", str(tmp_path / "none" / "mesh.svg"))
            assert (status, out) == (1, "")
            assert "cannot be written" in told
