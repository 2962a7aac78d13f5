"""Settings: code before environment before file before default, and every mistake named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mpreg
from mpreg._config import NODE_FIELDS, settings
from mpreg._sources import Surroundings, client_settings, examine, node_settings, resolve
from mpreg._toml import line_of

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
        "concurrency": f"file {tmp_path / 'mpreg.toml'}:3",
        "seeds": f"file {tmp_path / 'mpreg.toml'}:4",
    }
    assert found.config.sources["waiting"] == "environment MPREG_WAITING"


def test_the_constructor_of_a_node_wins_over_the_environment() -> None:
    environ = {
        "MPREG_CLUSTER": "us",
        "MPREG_SEEDS": "b:2, a:1,b:2",
        "MPREG_RESOURCES": "ssd,gpu",
        "MPREG_MAX_HOPS": "3",
    }
    found = resolve({"cluster": "eu", "seeds": None}, None, Surroundings(environ, None), role="node")
    assert found.own["cluster"] == "eu"
    assert found.own["seeds"] == ("b:2", "a:1"), "the order given is the order tried"
    assert found.own["resources"] == ("gpu", "ssd")
    assert resolve({"seeds": {"b:2", "a:1"}}, None, NOWHERE, role="node").own["seeds"] == ("a:1", "b:2")
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
        ({"listen": "a:1"}, r"Node\(..., listen=...\)"),
        ({"tls_key": "-----BEGIN PRIVATE KEY-----\nMC4"}, "the path of a file, not what stands in the file$"),
        ({"data_dir": "~no-such-user/x"}, "data_dir: nobody has the home"),
        ({"threads": 16**6000}, "not a very large int"),
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
        ({"tls_cert": "a", "tls_key": "b"}, "set tls_ca too"),
        ({"tls_ca": "a"}, "set tls_cert and tls_key too"),
        ({"tls_ca": "a", "tls_cert": "b", "tls_key": "c", "insecure": True}, "contradicts"),
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
        ("MPREG_threads", "1", "MPREG_threads in the environment is not a setting"),
        ("MPREG_PORT", "7000", "did you mean MPREG_LISTEN"),
        ("MPREG_CONFIG", "~no-such-user/x", "MPREG_CONFIG: nobody has the home"),
        ("MPREG_CONFIG", "/no-such-folder/mpreg.toml", "/no-such-folder/mpreg.toml cannot be read: No such file"),
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
        ('threads = "3"', "threads in .*mpreg.toml:1 takes a whole number"),
        ('seeds = "a:1"', "not one string: write"),
        ("# first\ncluster = 'EU x'", "cluster in .*mpreg.toml:2: .*is not a cluster name"),
        ("name = ''", "name in .*mpreg.toml:1 takes a string"),
        ("[mpreg]\nthreads = 1", r"\[mpreg\] in .*mpreg.toml:1 is no heading"),
        ("threads = {}", "threads in .*mpreg.toml:1 takes a whole number"),
        ("host = '::'", "did you mean listen"),
        ("a = 1\na = [", "mpreg.toml cannot be read: .*"),
        ("threads = 0x" + "f" * 6000, "not a very large int"),
        ("a = " + "[" * 50_000, "cannot be read"),
        ("#" * (1 << 20) + "\n", "larger than 1 MiB"),
        ("threads = 0\nwaiting = -1\nhalf_open = 0", r"threads in .* \(2 more: `mpreg config check`\)"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "mpreg.toml").write_text(text)
    with pytest.raises(mpreg.ConfigError, match=told):
        resolve({}, None, Surroundings({}, tmp_path), role="node")


def test_settings_for_rust_are_plain_and_complete() -> None:
    found = resolve(
        {"resources": {"b", "a"}}, mpreg.Config(tls_ca="ca", tls_cert="cert", tls_key="~/key"), NOWHERE, role="node"
    )
    settings = node_settings(found)
    assert settings["resources"] == ["a", "b"]
    assert settings["listen"] == "127.0.0.1:0"
    assert settings["instance"] is None
    assert settings["settings"]["tls_ca"] == "ca"
    assert settings["settings"]["tls_key"] == str(Path.home() / "key")
    assert settings["settings"]["drain_timeout"] == 10.0
    assert "log_level" not in settings["settings"]
    assert client_settings(found, ["a:1"])["addresses"] == ["a:1"]


def test_a_program_gives_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for program, name in [("/srv/my shop.py", "my-shop"), ("/x/pkg/__main__.py", "pkg"), ("", "python")]:
        monkeypatch.setattr("sys.argv", [program])
        assert resolve({}, None, NOWHERE, role="node").own["name"] == name


@pytest.mark.parametrize("target", ["folder", "nowhere"])
def test_a_file_that_is_there_and_cannot_be_read_is_no_missing_file(tmp_path: Path, target: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "mpreg.toml").symlink_to(target)
    with pytest.raises(mpreg.ConfigError, match=r"mpreg\.toml cannot be read"):
        resolve({}, None, Surroundings({}, tmp_path), role="node")


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "mpreg.toml").write_text("threads = 1")
    (tmp_path / "etc").mkdir()
    named = tmp_path / "etc" / "shop.toml"
    named.write_text("threads = 2\ntls_ca = 'ca.pem'\ntls_cert = '/c.pem'\ntls_key = '~/key'")
    for told in ("etc/shop.toml", str(named)):
        found = resolve({}, None, Surroundings({"MPREG_CONFIG": told}, tmp_path), role="node")
        assert found.sources["threads"] == f"file {named}:1"
        assert found.file == named
        # Meant from where the file is.
        assert found.config.tls_ca == tmp_path / "etc" / "ca.pem"
        assert found.config.tls_cert == Path("/c.pem")
        assert found.config.tls_key == Path.home() / "key"
    for told, threads in (("", 1), ("/dev/null", 40)):
        found = resolve({}, None, Surroundings({"MPREG_CONFIG": told}, tmp_path), role="node")
        assert found.config.threads == threads


def test_folders_above_are_not_searched(tmp_path: Path) -> None:
    (tmp_path / "mpreg.toml").write_text("threads = 1")
    (tmp_path / "src").mkdir()
    assert resolve({}, None, Surroundings({}, tmp_path / "src"), role="node").file is None


def test_a_process_whose_directory_is_gone_has_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert Surroundings.of_process().file is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\n# threads = 0\nthreads = 1", 3),
        ('listen = """\nthreads = 1\n"""\nthreads = 1', 4),
        ("resources = [\n  'threads',\n'x',\n]\r\n\tthreads=1", 5),
        ('"threads" = 1', 1),
        ("threads = 1\n[other]\nthreads = 2", 1),
        ('"\\u0074hreads" = 1', None),
    ],
)
def test_a_key_is_found_on_its_line(text: str, line: int | None) -> None:
    assert line_of("threads", text) == line


def test_what_kubernetes_says_about_services_is_no_setting() -> None:
    environ = {
        "MPREG_PORT": "tcp://10.0.0.1:7000",
        "MPREG_SERVICE_HOST": "10.0.0.1",
        "MPREG_SERVICE_PORT": "7000",
        "MPREG_SERVICE_PORT_MESH": "7000",
        "MPREG_PORT_7000_TCP": "tcp://10.0.0.1:7000",
        "MPREG_PORT_7000_TCP_ADDR": "10.0.0.1",
        "MPREG_HUB_SERVICE_HOST": "10.0.0.2",
        "MPREG_HUB_PORT": "udp://10.0.0.2:53",
        "MPREG_HUB_PORT_53_UDP_PROTO": "udp",
    }
    assert dict(resolve({}, None, Surroundings(environ, None), role="node").sources) == {}


def test_everything_that_is_wrong_is_found_at_once(tmp_path: Path) -> None:
    (tmp_path / "mpreg.toml").write_text("threads = 0\nthreds = 1\ninsecure = true\nwaiting = 1")
    found, problems = examine({}, None, Surroundings({"MPREG_TIMEOUT": "x"}, tmp_path), role="node")
    assert found is None
    file = tmp_path / "mpreg.toml"
    assert [(problem.setting, problem.where) for problem in problems] == [
        ("timeout", "MPREG_TIMEOUT"), ("threads", f"{file}:1"), (None, f"{file}:2"), ("insecure", f"{file}:3")
    ]  # fmt: skip


def test_a_programs_own_default_is_less_than_what_anyone_says(tmp_path: Path) -> None:
    def level(environ: dict[str, str], config: mpreg.Config | None = None) -> str:
        found = resolve({}, config, Surroundings(environ, tmp_path), role="node", defaults={"log_level": "info"})
        return found.config.log_level

    assert level({}) == "info"
    (tmp_path / "mpreg.toml").write_text('log_level = "warning"')
    assert level({}) == "warning"
    assert level({"MPREG_LOG_LEVEL": "error"}) == "error"
    assert level({"MPREG_LOG_LEVEL": "error"}, mpreg.Config(log_level="debug")) == "debug"


# As it stands in a variable; in a file numbers stand bare, texts in quotes, and lists in brackets.
SAMPLES = {
    "name": "shop", "instance": "one", "cluster": "eu", "resources": "gpu,ssd", "listen": "127.0.0.1:7", "seeds": "a:1,b:2",
    "links": "c:3", "trust": "us", "max_hops": "2", "data_dir": "/srv/x", "advertise": "10.0.0.1:7", "secret_file": "/s",
    "tls_ca": "/ca.pem", "tls_cert": "/c.pem", "tls_key": "/c.key", "max_value_bytes": "1000000",
    "receive_bytes": "3000000000", "concurrency": "9", "threads": "5", "waiting": "0", "max_frame_bytes": "262144",
    "connection_window": "1000000", "out_high_water": "1000000", "pending_calls": "7", "connections": "6", "half_open": "3",
    "full_mesh_max": "8", "timeout": "2.5", "handshake_timeout": "1.5", "drain_timeout": "0", "probe_interval": "0.5",
    "log_level": "error",
}  # fmt: skip


def test_every_setting_is_read_from_environment_and_file(tmp_path: Path) -> None:
    everything = {**NODE_FIELDS, **settings()}
    assert set(SAMPLES) == set(everything) - {"insecure"}
    by_environment = resolve(
        {}, None, Surroundings({f"MPREG_{name.upper()}": text for name, text in SAMPLES.items()}, None), role="node"
    )
    lines = []
    for name, text in SAMPLES.items():
        plain: object = by_environment.own.get(name, getattr(by_environment.config, name, None))
        told = list(plain) if isinstance(plain, tuple) else plain if isinstance(plain, int | float) else str(plain)
        assert str(plain) == text or told == text.split(",") or plain == float(text)
        lines.append(f"{name} = {json.dumps(told)}\n")
    (tmp_path / "mpreg.toml").write_text("".join(lines))
    by_file = resolve({}, None, Surroundings({}, tmp_path), role="node")
    assert (by_file.own, by_file.config) == (by_environment.own, by_environment.config)
    assert set(by_file.sources) == set(by_environment.sources) == set(SAMPLES)
