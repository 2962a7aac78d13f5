"""The plugin in somebody's test suite, run side by side; the guide's own tests are run so by test_docs."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SUITE = """
import os
import pathlib
import pytest
from mpreg.testing import LocalMesh, child_environment

@pytest.mark.parametrize("number", range(8))
async def test_a_mesh(mpreg_mesh, mpreg_seed, number):
    async with mpreg_mesh(nodes=3) as mesh:
        mesh.nodes[0].function("double")(lambda x: 2 * x)
        await mesh.converged()
        assert await mesh.nodes[2].call("double", number) == 2 * number
    with pathlib.Path("told").open("a") as told:
        secret = child_environment()["MPREG_SECRET_FILE"]
        told.write(f"{os.environ['PYTEST_XDIST_WORKER']} {mpreg_seed} {LocalMesh(1, seed=mpreg_seed).nodes[0].instance} {secret}\\n")
"""


def test_workers_share_the_seed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    )
    (tmp_path / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    workers, seeds, instances, secrets = (
        set(column) for column in zip(*map(str.split, (tmp_path / "told").read_text().splitlines()), strict=True)
    )
    assert workers == {"gw0", "gw1"}
    assert len(secrets) == 2
    assert len(instances) == 1
    (seed,) = seeds
    assert f"--mpreg-seed={seed}" in done.stdout
    # What a run left behind is gone with it.
    assert not any(map(os.path.exists, secrets))
