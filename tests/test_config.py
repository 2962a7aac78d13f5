"""Settings: code before environment before file before default, and every mistake named."""

from __future__ import annotations

from pathlib import Path

import pytest

import mpreg
from mpreg._config import Surroundings, client_settings, node_settings, resolve

NOWHERE = Surroundings({}, None)


def test_code_wins_over_environment_wins_over_file_wins_over_default(tmp_path: Path) -> None:
    (tmp_path / "mpreg.toml").write_text('threads = 1\nwaiting = 1\nconcurrency = 1\nseeds = ["file:1"]\n')
    environ = {"MPREG_THREADS": "2", "MPREG_WAITING": "2", "MPREG_TLS_CA": ""}
    found = resolve({}, mpreg.Config(threads=3), Surroundings(environ, tmp_path), role="node")
    assert (found.config.threads, found.config.waiting, found.config.concurrency) == (3, 2, 1)
    assert found.config.handshake_timeout == 5.0
    assert found.config.tls_ca is None
    assert found.own["seeds"] == ("file:1",)
    assert found.sources == {
        "threads": "code",
        "waiting": "environment MPREG_WAITING",
        "concurrency": f"file {tmp_path / 'mpreg.toml'}",
        "seeds": f"file {tmp_path / 'mpreg.toml'}",
    }
    assert found.config.sources["waiting"] == "environment MPREG_WAITING"


def test_the_constructor_of_a_node_wins_over_the_environment() -> None:
    environ = {"MPREG_CLUSTER": "us", "MPREG_SEEDS": "a:1, b:2", "MPREG_RESOURCES": "gpu", "MPREG_MAX_HOPS": "3"}
    found = resolve({"cluster": "eu", "seeds": None}, None, Surroundings(environ, None), role="node")
    assert found.own["cluster"] == "eu"
    assert found.own["seeds"] == ("a:1", "b:2")
    assert found.own["resources"] == ("gpu",)
    assert found.own["max_hops"] == 3


def test_nothing_is_read_before_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPREG_THREADS", "many")
    assert mpreg.Config().threads == 40
    with pytest.raises(mpreg.ConfigError, match="MPREG_THREADS takes a number, not 'many'"):
        resolve({}, None, Surroundings.of_process(), role="client")


def test_sources_of_a_config_are_what_the_code_gave() -> None:
    config = mpreg.Config(threads=3, data_dir="~/x")
    assert dict(config.sources) == {"threads": "code", "data_dir": "code"}
    assert config.data_dir == Path("~/x").expanduser()
    assert dict(config.replace(waiting=5).sources) == {"threads": "code", "data_dir": "code", "waiting": "code"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"thread": 1}, "did you mean threads"),
        ({"threads": "3"}, "threads takes a whole number"),
        ({"threads": True}, "threads takes a whole number"),
        ({"threads": 0}, "threads takes 1 to"),
        ({"timeout": float("nan")}, "timeout takes 0.001 to 86400 seconds"),
        ({"timeout": float("inf")}, "timeout takes 0.001 to 86400 seconds"),
        ({"timeout": "30"}, "timeout takes seconds as a number"),
        ({"probe_interval": 0.1}, "probe_interval takes 0.3"),
        ({"log_level": "inf"}, "did you mean info"),
        ({"insecure": 1}, "insecure takes True or False"),
        ({"tls_ca": ""}, "tls_ca takes a path"),
        ({"advertise": 7}, "advertise takes a string"),
    ],
)
def test_a_bad_setting_is_named_at_once(given: dict[str, object], told: str) -> None:
    with pytest.raises(mpreg.ConfigError, match=told):
        mpreg.Config(**given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"tls_cert": "a", "tls_ca": "b"}, "set tls_key too"),
        ({"tls_key": "a", "tls_ca": "b"}, "set tls_cert too"),
        ({"tls_cert": "a", "tls_key": "b"}, "set tls_ca"),
        ({"tls_ca": "a", "insecure": True}, "contradicts"),
        ({"max_value_bytes": 1 << 20, "receive_bytes": 1 << 20}, "at most half of receive_bytes"),
    ],
)
def test_contradictions_are_refused_when_everything_is_known(given: dict[str, object], told: str) -> None:
    with pytest.raises(mpreg.ConfigError, match=told):
        resolve({}, mpreg.Config(**given), NOWHERE, role="node")


def test_halves_of_a_setting_may_come_from_two_places() -> None:
    environ = {"MPREG_TLS_KEY": "key", "MPREG_TLS_CA": "ca"}
    found = resolve({}, mpreg.Config(tls_cert="cert"), Surroundings(environ, None), role="node")
    assert found.config.tls_key == Path("key")


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("MPREG_THRAEDS", "1", "did you mean MPREG_THREADS"),
        ("MPREG_INSECURE", "true", "only be written in code or on the command line"),
        ("MPREG_CLUSTER", "EU", "is not a cluster name"),
        ("MPREG_TRUST", "us,E U", "is not a cluster name"),
        ("MPREG_MAX_HOPS", "17", "takes 0 to 16"),
        ("MPREG_THREADS", "1.5", "takes a whole number"),
    ],
)
def test_a_bad_variable_is_named_with_the_nearest_valid_one(variable: str, value: str, told: str) -> None:
    with pytest.raises(mpreg.ConfigError, match=told):
        resolve({}, None, Surroundings({variable: value}, None), role="node")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("threds = 1", "did you mean threads"),
        ("insecure = true", "only be written in code"),
        ("threads = ", "cannot be read"),
        ('threads = "3"', "threads in .*mpreg.toml takes a whole number"),
        ('seeds = "a:1"', "not one string"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "mpreg.toml").write_text(text)
    with pytest.raises(mpreg.ConfigError, match=told):
        resolve({}, None, Surroundings({}, tmp_path), role="node")


def test_settings_for_rust_are_plain_and_complete() -> None:
    found = resolve({"resources": {"b", "a"}}, mpreg.Config(tls_ca="ca"), NOWHERE, role="node")
    settings = node_settings(found)
    assert settings["resources"] == ["a", "b"]
    assert settings["listen"] == "127.0.0.1:0"
    assert settings["instance"] is None
    assert settings["settings"]["tls_ca"] == "ca"
    assert settings["settings"]["drain_timeout"] == 10.0
    assert "log_level" not in settings["settings"]
    assert client_settings(found, ["a:1"])["addresses"] == ["a:1"]


def test_a_program_gives_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for program, name in [("/srv/my shop.py", "my-shop"), ("/x/pkg/__main__.py", "pkg"), ("", "python")]:
        monkeypatch.setattr("sys.argv", [program])
        assert resolve({}, None, NOWHERE, role="node").own["name"] == name
