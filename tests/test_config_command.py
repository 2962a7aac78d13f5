"""`mpreg config show` and `check`, and that `mpreg run` and the test kit read what they say they read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

import mpreg as library
from mpreg._config import NODE_FIELDS, settings
from mpreg.cli._main import mpreg
from mpreg.testing import LocalMesh, child_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

SHOP = """
import mpreg
node = mpreg.Node("shop", cluster="eu", config=mpreg.Config(waiting=3))
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory, nothing in the environment, and no trace of the test's modules afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "shop_settings", raising=False)
    (tmp_path / "shop_settings.py").write_text(SHOP)


def command(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
    return CliRunner().invoke(mpreg, ["config", *arguments], env=env)


def shown(*arguments: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    result = command("show", "--json", *arguments, env=env)
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def test_show_says_for_each_setting_where_it_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "mpreg.toml"
    file.write_text('\ndata_dir = "data"\nthreads = 7\nwaiting = 8\nconcurrency = 9\n')
    found = shown("shop_settings:node", env={"MPREG_WAITING": "2", "MPREG_THREADS": "6", "MPREG_SEEDS": "a:1,b:2"})
    assert found["file"] == str(file)
    rows = {row["setting"]: (row["value"], row["source"], row["where"]) for row in found["settings"]}
    assert list(rows) == [*NODE_FIELDS, *settings()]
    told = {name: row for name, row in rows.items() if row[1] != "default"}
    assert told == {
        "name": ("shop", "code", None),
        "cluster": ("eu", "code", None),
        "seeds": (["a:1", "b:2"], "environment", "MPREG_SEEDS"),
        "waiting": (3, "code", None),
        "threads": (6, "environment", "MPREG_THREADS"),
        "concurrency": (9, "file", f"{file}:5"),
        "data_dir": (str(tmp_path / "data"), "file", f"{file}:2"),
    }
    assert rows["insecure"] == (False, "default", None)
    assert rows["timeout"] == (30.0, "default", None)


def test_show_for_people_names_the_file() -> None:
    Path("mpreg.toml").write_text('seeds = ["a:1", "b:2"]')
    result = command("show")
    assert f"seeds\ta:1, b:2\tfile {Path.cwd() / 'mpreg.toml'}:1\n" in result.stdout
    assert "name\t-\tdefault\n" in result.stdout
    assert "insecure\tfalse\tdefault\n" in result.stdout
    assert result.stderr == f"file: {Path.cwd() / 'mpreg.toml'}\n"


def test_a_file_in_a_folder_above_is_told_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    above = tmp_path / "mpreg.toml"
    above.write_text("threads = 7")
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path / "src")
    assert shown()["file"] is None
    assert f"{above} is read with MPREG_CONFIG={above}" in command("show").stderr
    assert shown(env={"MPREG_CONFIG": str(above)})["file"] == str(above)


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("very secret")
    env = {
        "MPREG_TLS_KEY": str(key),
        "MPREG_TLS_CERT": str(key),
        "MPREG_TLS_CA": str(key),
        "MPREG_SECRET_FILE": str(key),
    }
    assert "very secret" not in command("show", env=env).output
    pasted = command("show", env={"MPREG_TLS_KEY": "-----BEGIN PRIVATE KEY-----\nvery secret"})
    assert pasted.exit_code == 1
    assert "the path of a file" in pasted.stderr
    assert "very secret" not in pasted.output


def test_check_is_content_with_what_is_right() -> None:
    Path("mpreg.toml").write_text("threads = 7\nwaiting = 8")
    result = command("check", env={"MPREG_THREADS": "6"})
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"ok: settings by place: code 0, environment 1, file 1; file: {Path.cwd() / 'mpreg.toml'}\n"
    assert json.loads(command("check", "--json").stdout) == {
        "ok": True, "file": str(Path.cwd() / "mpreg.toml"), "problems": []
    }  # fmt: skip


def test_check_lists_everything_that_is_wrong() -> None:
    Path("other.toml").write_text('threds = 1\nwaiting = "3"\ninsecure = true')
    env = {"MPREG_SEDS": "a:1"}
    result = command("check", "other.toml", env=env)
    assert (result.exit_code, result.stdout) == (1, "")
    told = result.stderr.splitlines()
    assert [line.startswith("error: ") for line in told] == [True] * 4
    assert "did you mean MPREG_SEEDS" in told[0]
    assert "did you mean threads" in told[1]
    as_json = command("check", "other.toml", "--json", env=env)
    assert as_json.exit_code == 1
    found = json.loads(as_json.stdout)
    assert (found["ok"], found["file"]) == (False, str(Path.cwd() / "other.toml"))
    assert [problem["where"] for problem in found["problems"]] == [
        "MPREG_SEDS", *(f"{Path.cwd() / 'other.toml'}:{line}" for line in (1, 2, 3))
    ]  # fmt: skip
    assert f"error: {found['problems'][0]['message']}" == told[0]


@pytest.mark.parametrize(
    ("arguments", "env", "told"),
    [
        (["check"], {"MPREG_SEEDS": "a:1,nonsense"}, 'seeds of MPREG_SEEDS: "nonsense" is not an address'),
        (["check"], {"MPREG_LISTEN": "nonsense"}, 'listen of MPREG_LISTEN: "nonsense" is not an address'),
        (["check"], {"MPREG_ADVERTISE": "nonsense"}, 'advertise of MPREG_ADVERTISE: "nonsense" is not an address'),
        (["check"], {"MPREG_TLS_CA": "ca.pem"}, "set tls_cert and tls_key too"),
        (["check"], {"MPREG_CONFIG": "~no-such-user/x"}, "MPREG_CONFIG: nobody has the home"),
        (["check", "--json"], {"MPREG_CONFIG": "~no-such-user/x"}, "MPREG_CONFIG: nobody has the home"),
        (["check", "missing.toml"], {}, "missing.toml cannot be read: No such file"),
        (["check", "--node", "shop_settings"], {"MPREG_RECEIVE_BYTES": "200000"}, "at most half of receive_bytes"),
        (["check", "--node", "shop_setings"], {}, "there is no module 'shop_setings'"),
        (["show"], {"MPREG_THREADS": "0", "MPREG_WAITING": "x"}, "(1 more: `mpreg config check`)"),
        (["shwo"], {}, "did you mean show?"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(arguments: list[str], env: dict[str, str], told: str) -> None:
    result = command(*arguments, env=env)
    assert result.exit_code in {1, 2}
    assert told in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("options", "environment", "level"),
    [
        ([], {}, "INFO"),
        ([], {"log_level": "error"}, "ERROR"),
        (["--log-level", "debug"], {"log_level": "error"}, "DEBUG"),
    ],
)
def test_run_logs_at_the_level_that_is_set(options: list[str], environment: dict[str, str], level: str) -> None:
    Path("shop_level.py").write_text(
        "import contextlib, logging, mpreg\n"
        "@contextlib.asynccontextmanager\n"
        "async def lifespan():\n"
        "    print(logging.getLevelName(logging.getLogger('mpreg').getEffectiveLevel()))\n"
        "    raise SystemExit(0)\n"
        "    yield\n"
        "node = mpreg.Node('shop', lifespan=lifespan)\n"
    )
    run = [sys.executable, "-c", "from mpreg.cli import main; main()", "run", *options, "shop_level"]
    done = subprocess.run(run, env=child_environment(**environment), capture_output=True, text=True, check=False)
    assert done.stdout == f"{level}\n", done.stderr


@pytest.fixture
def unusable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file and a variable with which nothing starts."""
    Path("mpreg.toml").write_text("no_such_setting = 1")
    monkeypatch.setenv("MPREG_NO_SUCH_SETTING", "1")


@pytest.mark.usefixtures("unusable")
async def test_the_kit_reads_neither_file_nor_environment() -> None:
    node = library.Node("shop")

    @node.function
    def one() -> int:
        return 1

    with pytest.raises(library.ConfigError, match="MPREG_NO_SUCH_SETTING"):
        await node.start()
    async with LocalMesh(nodes=[node, library.Node("caller")]) as mesh:
        await mesh.converged()
        assert await mesh.nodes[1].call(one) == 1


def test_the_kits_children_read_no_file_of_the_machine() -> None:
    Path("mpreg.toml").write_text("no_such_setting = 1")
    program = "import mpreg; node = mpreg.Node('shop')\nwith node.running(): print(node.name)"
    child = [sys.executable, "-c", program]
    done = subprocess.run(child, env=child_environment(), capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("shop\n", "")
    own = child_environment(config="mpreg.toml")
    done = subprocess.run(child, env=own, capture_output=True, text=True, check=False)
    assert "no_such_setting" in done.stderr
