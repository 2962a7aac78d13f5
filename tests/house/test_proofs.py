"""docs/limits.md says what the code does, and docs/guarantees.md names tests that exist."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

import mpreg

ROOT = Path(__file__).parents[2]
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "s": 1, "h": 3600, "": 1}
PROOF = re.compile(r"`([\w/]+\.(?:py|rs))::(\w+)`")
# Settings that bound nothing.
NO_LIMITS = {
    "data_dir", "advertise", "insecure", "secret_file", "tls_ca", "tls_cert", "tls_key", "log_level",
}  # fmt: skip


def rows(page: str, columns: int) -> list[list[str]]:
    lines = [line for line in (ROOT / "docs" / page).read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if len(row) == columns and not row[0].startswith("--")]


def number(text: str) -> float:
    digits, _, unit = text.replace(",", "").partition(" ")
    return float(digits) * UNITS[unit]


def in_rust(place: str) -> float:
    """The value of a constant, or what the first `Self { .. }` of the file gives a field."""
    path, _, name = place.strip("`").partition("::")
    source = (ROOT / "rust" / path).read_text()
    found = re.search(rf"\bconst {name}: \w+ = (.+?);", source) or re.search(
        rf"^ *(?:.*[{{,] )?{name}: ((?:\d|Duration|[KMG]IB)[^,}}]*)[,}}\n]", source, re.MULTILINE
    )
    assert found, f"{place} is not there"
    value = re.sub(
        r"Duration::from_(secs|millis)\((\d+)\)", lambda m: m[2] if m[1] == "secs" else f"{m[2]} / 1000", found[1]
    )
    value = re.sub(r"(?<=\d)_(?=\d)", "", value)
    for unit in ("KIB", "MIB", "GIB"):
        value = re.sub(rf"\b(\d+ \* )?{unit}\b", lambda m, unit=unit: f"{m[1] or ''}{UNITS[unit[0] + 'iB']}", value)
    assert re.fullmatch(r"[\d\s*/<.]+", value), f"{place} = {value}"
    return float(eval(value))  # digits and operators only


SETTINGS = rows("limits.md", 4)[1:]
FIXED = rows("limits.md", 5)[1:]


def test_defaults_of_settings_are_those_of_the_table() -> None:
    table = {row[0].strip("`"): number(row[1]) for row in SETTINGS}
    config = mpreg.Config()
    fields = {field.name for field in dataclasses.fields(config)} - NO_LIMITS
    assert table == {name: getattr(config, name) for name in fields}


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row[0])
def test_rust_has_the_same_defaults(row: list[str]) -> None:
    name = row[0].strip("`")
    if name != "timeout":  # which Python alone knows
        assert in_rust(f"node/src/config.rs::{name}") == number(row[1])


@pytest.mark.parametrize("row", FIXED, ids=lambda row: row[0])
def test_fixed_limits_are_those_of_the_code(row: list[str]) -> None:
    assert in_rust(row[2]) == number(row[1])


@pytest.mark.parametrize("page", ["limits.md", "guarantees.md"])
def test_every_test_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    proofs = PROOF.findall(text)
    constants = {tuple(row[2].strip("`").split("::")) for row in FIXED}
    missing = []
    for path, name in proofs:
        if page == "limits.md" and (path, name) in constants:
            continue
        file = ROOT / ("tests" if path.endswith(".py") else "rust") / path
        # Scenarios of the simulator are listed in a macro: `name: seeds,`.
        shown = rf"^(async )?def {name}\(" if path.endswith(".py") else rf"\bfn {name}\(|^    {name}: \d+,"
        if not file.is_file() or not re.search(shown, file.read_text(), re.MULTILINE):
            missing.append(f"{path}::{name}")
    assert missing == []


@pytest.mark.parametrize("page", ["limits.md", "guarantees.md"])
def test_every_promise_has_its_proof_or_says_that_it_is_not_kept(page: str) -> None:
    table = SETTINGS + FIXED if page == "limits.md" else [row for row in rows(page, 2) if row[0] != "promise"]
    assert len(table) > 25
    bare = [row[0] for row in table if not PROOF.search(row[-1]) and not row[-1].startswith("not kept yet: ")]
    assert bare == []
