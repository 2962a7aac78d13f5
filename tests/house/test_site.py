"""The site can be built: no link, anchor or reference leads nowhere, no page is left out; and the reference is whole."""

from __future__ import annotations

import dataclasses
import html
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import click
import pytest

import mpreg
import mpreg.testing
from mpreg.cli._main import mpreg as command
from mpreg.testing import plugin

ROOT = Path(__file__).parents[2]
EXPORTED = [*(f"mpreg.{name}" for name in mpreg.__all__), *(f"mpreg.testing.{name}" for name in mpreg.testing.__all__)]
FIXTURES = [name for name, value in vars(plugin).items() if type(value).__name__ == "FixtureFunctionDefinition"]
# In the table of settings, not one by one.
TABLED = {f"mpreg.Config.{field.name}" for field in dataclasses.fields(mpreg.Config)}
# Of use to this package only.
INSIDE = {
    "mpreg.Config.given", "mpreg.Config.without", "mpreg.Functions.definitions", "mpreg.Functions.join", "mpreg.Functions.part",
}  # fmt: skip

# The build counts as time of the first test.
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def anchors(site: Path) -> set[str]:
    """What the reference has a place for; it shows nothing without a docstring."""
    _, _, _, _, packed = (site / "objects.inv").read_bytes().split(b"\n", 4)
    return {line.split(" ")[0] for line in zlib.decompress(packed).decode().splitlines()}


def value_of(name: str) -> object:
    value: object = sys.modules["mpreg"]
    for part in name.split(".")[1:]:
        value = getattr(value, part)
    return value


def test_every_exported_name_and_its_members_are_in_the_reference(anchors: set[str]) -> None:
    wanted = {f"mpreg.testing.plugin.{name}" for name in FIXTURES}
    for name in EXPORTED:
        value = value_of(name)
        if name == "mpreg.__version__":
            continue
        wanted.add(name)
        if isinstance(value, type):
            fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
            members = {*vars(value), *(field.name for field in fields)}
            # What an error begins with stands in the table of errors.
            given = set() if not issubclass(value, mpreg.MpregError) else {"code", "executed"}
            wanted |= {f"{name}.{member}" for member in members - given if not member.startswith("_")}
    assert sorted(wanted - anchors - TABLED - INSIDE) == []


def test_every_verb_of_the_command_is_in_the_reference(site: Path) -> None:
    page = html.unescape((site / "reference/command.html").read_text())

    def names(verb: click.Command, name: str) -> list[str]:
        below = verb.commands if isinstance(verb, click.Group) else {}
        return [name, *(each for verb_name, other in below.items() for each in names(other, f"{name} {verb_name}"))]

    assert [name for name in names(command, "mpreg") if f"<code>{name}</code>" not in page] == []


def test_every_setting_is_in_the_reference(site: Path) -> None:
    page = (site / "reference/config.html").read_text()
    assert [name for name in TABLED if f"<code>{name.rpartition('.')[2]}</code>" not in page] == []


def test_sources_that_pages_link_to_are_pages(site: Path) -> None:
    page = (site / "guides/functions-and-types.html").read_text()
    assert re.search(r'href="\.\./source/examples/typed_declarations\.py\.html"', page)
    assert "NotImplementedError" in (site / "source/examples/typed_declarations.py.html").read_text()


def test_fences_show_no_words_for_the_tests(site: Path) -> None:
    page = html.unescape((site / "guides/first-mesh.html").read_text())
    assert "file=shop.py" not in page
    assert '<span class="filename">shop.py</span>' in page
