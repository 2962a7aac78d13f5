"""The wheel that the test command has built is small."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WHEELS = sorted((ROOT / "target/wheels").glob("mpreg-*.whl"))
MEGABYTES_MAX = 10


@pytest.mark.skipif(not WHEELS, reason="no wheel here: tests/run builds one")
def test_a_wheel_has_at_most_ten_megabytes_and_one_extension() -> None:
    for wheel in WHEELS:
        assert wheel.stat().st_size <= MEGABYTES_MAX * 1_000_000, wheel.name
        names = zipfile.ZipFile(wheel).namelist()
        extensions = [name for name in names if name.endswith(".so")]
        assert len(extensions) == 1, extensions
        assert extensions[0].startswith("mpreg/_mpreg.")
        assert "mpreg/py.typed" in names
