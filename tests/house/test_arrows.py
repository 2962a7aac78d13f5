"""The arrows between crates are the ones in ARCHITECTURE.md: no more, no fewer."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Crates that would bring effects into the clean room, whoever pulls them in directly.
EFFECTS = {"tokio", "pyo3", "rustix", "mio", "socket2", "parking_lot", "rustls", "getrandom"}


def metadata() -> list[dict]:
    out = subprocess.run(
        ["cargo", "metadata", "--format-version=1", "--no-deps", "--offline", "--locked"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return json.loads(out)["packages"]


def test_arrows_are_those_of_the_map() -> None:
    rows = re.findall(r"^\| (mpreg-\w+) \| ?([\w, ]*)\|$", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    table = {crate: {f"mpreg-{name}" for name in re.findall(r"\w+", uses)} for crate, uses in rows}
    real = {
        package["name"]: {
            dep["name"] for dep in package["dependencies"] if dep["name"].startswith("mpreg-") and dep["kind"] is None
        }
        for package in metadata()
    }
    assert real == table


def test_the_clean_room_has_no_effects() -> None:
    for package in metadata():
        if "/protocol/" in package["manifest_path"]:
            direct = {dep["name"] for dep in package["dependencies"] if dep["kind"] is None}
            assert not direct & EFFECTS, package["name"]


def test_clippy_reads_the_clean_rooms_own_file() -> None:
    """CLIPPY_CONF_DIR would switch rust/protocol/clippy.toml off silently."""
    import os

    assert "CLIPPY_CONF_DIR" not in os.environ
