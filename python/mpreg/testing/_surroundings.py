"""What tests see instead of the machine: an empty environment and a secret of their own."""

from __future__ import annotations

import atexit
import functools
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from mpreg._sources import FILE_VARIABLE, PREFIX, Surroundings


@functools.cache
def secret_file() -> Path:
    """The shared secret of this test process, and of the processes it starts; gone when it ends."""
    folder = Path(tempfile.mkdtemp(prefix="mpreg-test-"))
    atexit.register(_remove, folder, os.getpid())
    path = folder / "secret"
    path.touch(mode=0o600)
    path.write_bytes(secrets.token_bytes(32))
    return path


def surroundings() -> Surroundings:
    """No setting of the machine, and the kit's own secret."""
    return Surroundings({f"{PREFIX}SECRET_FILE": str(secret_file())}, None)


def child_environment(**settings: str) -> dict[str, str]:
    """The environment for a process of the test: without the machine's `MPREG_*` and `mpreg.toml`, with the kit's secret.

    `settings` are further ones: `child_environment(seeds=address)`, `child_environment(config="mpreg.toml")`.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    own = {PREFIX + name.upper(): value for name, value in settings.items()}
    return {**kept, FILE_VARIABLE: os.devnull, **surroundings().environ, **own}


def _remove(folder: Path, owner: int) -> None:
    # A child made by fork inherits the handler, not the folder.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
