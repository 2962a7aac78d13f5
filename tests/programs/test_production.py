"""The guide to production is true: its certificates, settings and units are used here as they stand in it."""

from __future__ import annotations

import configparser
import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from snippets import GUIDES, blocks

import mpreg
from mpreg.testing import child_environment

if TYPE_CHECKING:
    from pathlib import Path

    from children import Children

FILES = {
    block.how.removeprefix("file="): block.code
    for block in blocks(GUIDES / "production.md")
    if block.how.startswith("file=")
}
DRAIN = mpreg.Config().drain_timeout
COMMAND = ("-c", "from mpreg.cli import main; main()")


def settings_of_the_guide() -> dict[str, str]:
    lines = FILES["shop.env"].splitlines()
    return {name.removeprefix("MPREG_").lower(): value for name, _, value in (line.partition("=") for line in lines)}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the program and its keys, made as the guide makes them."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to issue certificates")
    (tmp_path / "shop.py").write_text(FILES["shop.py"])
    (tmp_path / "certs.sh").write_text(FILES["certs.sh"])
    (told,) = [block.code for block in blocks(GUIDES / "production.md") if block.code.startswith("sh certs.sh")]
    subprocess.run(["sh", "-c", told], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


async def test_replicas_with_these_certificates_serve_a_client_with_its_own(place: Path, children: Children) -> None:
    given = {name: value.replace("/etc/mpreg", str(place)) for name, value in settings_of_the_guide().items()}
    given |= {"listen": "127.0.0.1:0"}
    given.pop("seeds")
    files = {name: place / f"web.{end}" for name, end in (("tls_cert", "pem"), ("tls_key", "key"))}
    config = mpreg.Config(tls_ca=place / "ca.pem", **files)
    own = mpreg.Config(tls_ca=place / "ca.pem", tls_cert=place / "shop.pem", tls_key=place / "shop.key")
    async with mpreg.Node("shop", cluster="eu", config=own) as first:
        children.python(*COMMAND, "run", "shop:node", seeds=first.address, **given)
        await first.wait_for("shop.price", timeout=30)
        assert [member.declared for member in await first.members()] == [False, False]
        async with mpreg.connect(first.address, config=config) as client:
            assert await client.call("shop.price", "A1", qty=2) == 19.0


def test_the_settings_are_settings(place: Path) -> None:
    checked = subprocess.run(
        [sys.executable, *COMMAND, "config", "check", "--node", "shop:node"],
        cwd=place, env=child_environment(**settings_of_the_guide()), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr


def test_the_unit_gives_running_calls_their_time(tmp_path: Path) -> None:
    unit = configparser.ConfigParser()
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(FILES["shop.service"])
    assert int(unit["Service"]["TimeoutStopSec"]) > DRAIN
    assert "mpreg run shop:node" in unit["Service"]["ExecStart"]
    if shutil.which("systemd-analyze") is not None:
        # What it starts is not on this machine.
        text = FILES["shop.service"].replace("/srv/shop/.venv/bin/mpreg", sys.executable)
        (tmp_path / "shop.service").write_text(text)
        verified = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", tmp_path / "shop.service"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "shop.service" not in verified.stderr


def test_the_manifest_gives_pods_their_time_and_an_address_of_their_own() -> None:
    service, deployment = yaml.safe_load_all(FILES["shop.yaml"])
    pod = deployment["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > DRAIN
    (container,) = pod["containers"]
    environ: dict[str, Any] = {item["name"]: item.get("value") for item in container["env"]}
    names = {name.removeprefix("MPREG_").lower() for name in environ if name.startswith("MPREG_")}
    assert names <= {*settings_of_the_guide(), "advertise"}
    assert environ["MPREG_SEEDS"].split(":")[0] == service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    port = service["spec"]["ports"][0]["port"]
    assert all(environ[name].endswith(f":{port}") for name in ("MPREG_LISTEN", "MPREG_ADVERTISE", "MPREG_SEEDS"))


def test_the_container_starts_the_command_without_a_shell() -> None:
    (command,) = [line for line in FILES["Dockerfile"].splitlines() if line.startswith("CMD ")]
    assert json.loads(command.removeprefix("CMD ")) == ["mpreg", "run", "shop:node"]
