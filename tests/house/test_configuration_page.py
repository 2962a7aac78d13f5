"""docs/guides/configuration.md has every setting, with what the code takes, has by default, and says about it."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import mpreg
from mpreg._config import NODE_FIELDS, LogLevel, settings
from mpreg._fields import INTEGER_BOUNDS, SECONDS_BOUNDS

ROOT = Path(__file__).parents[2]
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "": 1}
ROW = re.compile(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*) \|$", re.MULTILINE)
TABLE = {row[0]: row[1:] for row in ROW.findall((ROOT / "docs/guides/configuration.md").read_text())}


def number(text: str) -> float:
    digits, _, unit = text.replace(",", "").partition(" ")
    return float(digits) * UNITS[unit]


def docstrings() -> dict[str, str]:
    """What stands below each field of `Config`."""
    source = ast.parse((ROOT / "python/mpreg/_config.py").read_text())
    (body,) = [item.body for item in source.body if isinstance(item, ast.ClassDef) and item.name == "Config"]
    return {
        field.target.id: below.value.value
        for field, below in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
    }


def test_every_setting_is_documented_and_nothing_else() -> None:
    assert list(TABLE) == [*NODE_FIELDS, *settings()]


@pytest.mark.parametrize("name", list(settings()))
def test_a_setting_of_a_config_is_documented_as_it_is(name: str) -> None:
    takes, default, told = TABLE[name]
    value = getattr(mpreg.Config(), name)
    kind = get_type_hints(mpreg.Config)[name]
    assert f"{told}." == docstrings()[name]
    bounds = {**INTEGER_BOUNDS, **SECONDS_BOUNDS}.get(name)
    if bounds:
        assert tuple(number(bound) for bound in takes.split(" to ")) == bounds
        assert number(default) == value
    elif kind == Path | None:
        assert (takes, value) == ("a path", None)
    elif kind is bool:
        assert (takes, default) == ("true or false", str(value).lower())
    elif kind == LogLevel:
        assert (takes, default) == (", ".join(get_args(LogLevel)), f"`{value}`")
    else:
        assert (takes, value) == ("an address", None)


@pytest.mark.parametrize("name", list(NODE_FIELDS))
def test_an_argument_of_a_node_is_documented_with_its_default(name: str) -> None:
    shown = {"name": "the program's name", "instance": "generated", "max_hops": "1"}
    value = NODE_FIELDS[name].default
    assert TABLE[name][1] == (shown.get(name) or (f"`{value}`" if value else "none"))
    if value is not None:
        assert NODE_FIELDS[name].convert(value, name) == value
