"""The command's own work: arguments, modules, findings, and how errors are told. With a mesh: test_command_mesh."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from mpreg.cli._main import mpreg

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory, and no trace of it afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in list(sys.modules):
        if name.startswith("shop_"):
            monkeypatch.delitem(sys.modules, name)


def command(*arguments: str) -> Result:
    return CliRunner().invoke(mpreg, arguments)


def refused(*arguments: str) -> str:
    result = command(*arguments)
    assert result.exit_code != 0
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def test_an_unknown_verb_names_the_nearest() -> None:
    assert "did you mean catalog?" in refused("catalogue")


def test_without_an_address_it_says_where_one_may_come_from() -> None:
    assert "MPREG_SEEDS" in refused("catalog")
    assert refused("call", "f").startswith("error: no node to connect to")


def test_an_error_shows_its_traceback_only_when_asked() -> None:
    result = command("--verbose", "catalog")
    assert "Traceback" in result.stderr
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("target", "text", "told"),
    [
        ("shop_missing", None, "no module 'shop_missing'"),
        ("shop_missing.part:node", None, "no module 'shop_missing.part'"),
        ("shop_file.py:app", None, "without .py: shop_file:app"),
        ("./app/shop_file.py", None, "without .py: app.shop_file:node"),
        ("shop_empty", "x = 1", "it makes no mpreg.Node"),
        ("shop_two", "import mpreg; one = mpreg.Node('a'); two = mpreg.Node('b')", "it has one, two"),
        ("shop_near:nod", "import mpreg; node = mpreg.Node('a')", "did you mean node?"),
    ],
)
def test_run_says_what_is_wrong_with_its_target(tmp_path: Path, target: str, text: str | None, told: str) -> None:
    if text is not None:
        (tmp_path / f"{target.partition(':')[0]}.py").write_text(text)
    assert told in refused("run", target)


def test_an_error_inside_the_module_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "shop_broken.py").write_text("import shop_not_there")
    result = command("run", "shop_broken")
    assert isinstance(result.exception, ModuleNotFoundError)
    assert result.exception.name == "shop_not_there"


def found(*arguments: str) -> dict[str, tuple[str, str]]:
    result = command("doctor", "--json", *arguments)
    findings = json.loads(result.stdout)
    assert result.exit_code == int(any(f["state"] == "failed" for f in findings))
    return {finding["what"]: (finding["state"], finding["text"]) for finding in findings}


def test_doctor_looks_at_settings_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(32))
    secret.chmod(0o600)
    monkeypatch.setenv("MPREG_SECRET_FILE", str(secret))
    monkeypatch.setenv("MPREG_LISTEN", "0.0.0.0:7000")
    findings = found()
    assert findings["settings"][1] == "listen (environment MPREG_LISTEN), secret_file (environment MPREG_SECRET_FILE)"
    assert "no mpreg.toml in" in findings["settings file"][1]
    assert findings["secret_file"] == ("ok", str(secret))
    assert "7000" in findings["firewall"][1]
    assert findings["listen"][0] == "failed"
    assert findings["mesh"][0] == "warning"
    secret.chmod(0o644)
    assert found()["secret_file"][0] == "failed"
    secret.unlink()
    assert "No such file" in found()["secret_file"][1]


def test_doctor_names_a_bad_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPREG_THRAEDS", "3")
    state, text = found()["settings"]
    assert state == "failed"
    assert "MPREG_THREADS" in text


def test_doctor_warns_of_insecure() -> None:
    assert found("--insecure")["keys"][0] == "warning"


@pytest.mark.parametrize(
    "verb",
    [
        "run",
        "call",
        "catalog",
        "config",
        "describe",
        "explain",
        "members",
        "doctor",
        "top",
        "topology",
        "bench",
        "demo",
    ],
)
def test_every_verb_has_help(verb: str) -> None:
    result = command(verb, "--help")
    assert result.exit_code == 0
    assert verb in {"run", "config"} or "--json" in result.stdout
