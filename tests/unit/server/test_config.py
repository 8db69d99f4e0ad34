"""The daemon's settings: where they come from, and what is said of wrong ones."""

from pathlib import Path

import pytest

from holdfastd.config import Address, Config, ConfigError, flatten, from_tree, load
from holdfastd.engine.partition import EngineSettings
from holdfastd.store.sqlite import RESERVE_BYTES


def problems(tree: dict[str, object]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        from_tree(tree, "c.toml")
    return caught.value.problems


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "c.toml"
    file.write_text(text)
    return file


def test_without_any_source_the_defaults_hold() -> None:
    config = load(None, {}, {})
    assert config == Config()
    assert config.tcp.listen == Address("127.0.0.1", 4653)
    assert config.http.listen == Address("127.0.0.1", 4654)


def test_defaults_agree_with_those_of_the_parts_they_are_given_to() -> None:
    config = Config()
    assert config.data.reserve_bytes == RESERVE_BYTES
    leases = config.leases
    assert EngineSettings(leases.lease_ms, leases.grace_ms, leases.session_ms) == EngineSettings()


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = written(
        tmp_path, '[tcp]\nlisten = "a:1"\nconnections_max = 7\n[leases]\ngrace_ms = 100\n'
    )
    environment = {"HOLDFAST_TCP_LISTEN": "b:2", "HOLDFAST_TCP_CONNECTIONS_MAX": "8"}
    config = load(file, environment, {"tcp.listen": "c:3"})
    assert config.tcp.listen == Address("c", 3)
    assert config.tcp.connections_max == 8
    assert config.leases.grace_ms == 100
    assert config.leases.lease_ms == Config().leases.lease_ms


@pytest.mark.parametrize(
    ("tree", "problem"),
    [
        ({"tpc": {}}, "c.toml: tpc is no section: did you mean tcp?"),
        (
            {"tcp": {"conections_max": 5}},
            "c.toml: tcp.conections_max is no key: did you mean tcp.connections_max?",
        ),
        (
            {"tcp": {"grace_ms": 5}},
            "c.toml: tcp.grace_ms is no key: did you mean leases.grace_ms?",
        ),
        ({"tcp": 4653}, "c.toml: tcp is a section, write [tcp]"),
        (
            {"tcp": {"connections_max": "many"}},
            "c.toml: tcp.connections_max must be a whole number from 1 to 1,000,000, not 'many'",
        ),
        (
            {"tcp": {"connections_max": True}},
            "c.toml: tcp.connections_max must be a whole number from 1 to 1,000,000, not True",
        ),
        (
            {"tcp": {"connections_max": 0}},
            "c.toml: tcp.connections_max must be a whole number from 1 to 1,000,000, not 0",
        ),
        (
            {"log": {"level": "loud"}},
            "c.toml: log.level must be one of debug, info, warning, error, not 'loud'",
        ),
        (
            {"data": {"dir": ""}},
            "c.toml: data.dir must be the path of a directory, not ''",
        ),
        (
            {"leases": {"lease_ms": 9_000}},
            "leases.heartbeat_ms (5,000) must be at most half of leases.lease_ms (9,000): "
            "one lost heartbeat must not end a lease",
        ),
    ],
)
def test_a_wrong_key_or_value_is_refused_with_its_path_and_what_is_allowed(
    tree: dict[str, object], problem: str
) -> None:
    assert problems(tree) == [problem]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    assert len(problems({"tpc": {}, "log": {"level": "x", "colour": 1}})) == 3


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("localhost:4653", Address("localhost", 4653)),
        ("[::1]:65535", Address("::1", 65535)),
    ],
)
def test_an_address_is_host_and_port(text: str, address: Address) -> None:
    config = load(None, {}, {"tcp.listen": text})
    assert config.tcp.listen == address
    assert str(config.tcp.listen) == text


@pytest.mark.parametrize(
    "text", ["", "4653", ":4653", "host", "host:", "host:65536", "::1:4653", "host:٤", "a b:1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"command line: tcp\.listen must be HOST:PORT"):
        load(None, {}, {"tcp.listen": text})


def test_a_misspelt_variable_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {"HOLDFAST_TCP_LISTN": "a:1"}, {})
    assert caught.value.problems == [
        "environment: HOLDFAST_TCP_LISTN is no variable: did you mean HOLDFAST_TCP_LISTEN?"
    ]


def test_a_wrong_value_in_the_environment_names_its_variable() -> None:
    with pytest.raises(ConfigError, match=r"HOLDFAST_LEASES_GRACE_MS: leases\.grace_ms must be"):
        load(None, {"HOLDFAST_LEASES_GRACE_MS": "ten"}, {})


def test_variables_that_are_not_for_the_daemon_are_left_alone() -> None:
    others = {
        "HOLDFAST_URL": "holdfast://h:1",
        "PATH": "/bin",
        "HOLDFAST_HTTP_SERVICE_HOST": "10.0.0.1",
        "HOLDFAST_HTTP_PORT": "tcp://10.0.0.1:4654",
        "HOLDFAST_HTTP_PORT_4654_TCP_ADDR": "10.0.0.1",
    }
    assert load(None, others, {}) == Config()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.toml: cannot be read: No such file"):
        load(tmp_path / "no.toml", {}, {})


@pytest.mark.parametrize(
    "content", [b"[tcp", b"\xff\xfe", b"[tcp]\nlisten = 'a:1'\nlisten = 'b:1'"]
)
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"c\.toml: is no TOML"):
        load(file, {}, {})


def test_a_list_stands_with_commas_in_the_environment() -> None:
    environment = {
        "HOLDFAST_HTTP_HOSTS": "Queue.Example, [::2]",
        "HOLDFAST_HTTP_REDACT": "password,*.secret",
    }
    http = load(None, environment, {}).http
    assert http.hosts == ("queue.example", "[::2]")
    assert http.redact == ("password", "*.secret")
    assert load(None, {"HOLDFAST_HTTP_HOSTS": ""}, {}).http.hosts == ()


@pytest.mark.parametrize(
    ("name", "wrong", "allowed"),
    [
        ("hosts", ["a b"], 'a list of host names, such as ["queue.example"]'),
        ("hosts", ["http://a"], 'a list of host names, such as ["queue.example"]'),
        ("hosts", "a", 'a list of host names, such as ["queue.example"]'),
        ("redact", [""], 'a list of patterns of keys, such as ["*.secret"]'),
        ("redact", [1], 'a list of patterns of keys, such as ["*.secret"]'),
    ],
)
def test_what_is_wrong_about_the_http_port_is_told(name: str, wrong: object, allowed: str) -> None:
    (problem,) = problems({"http": {name: wrong}})
    assert problem == f"c.toml: http.{name} must be {allowed}, not {wrong!r}"


def test_flattened_settings_read_back_are_the_same() -> None:
    flags = {
        "tcp.listen": "[::1]:9",
        "data.dir": "/x/y",
        "log.format": "json",
        "http.hosts": "a,b",
    }
    config = load(None, {}, flags)
    tree: dict[str, dict[str, object]] = {}
    for path, value in flatten(config).items():
        section, _, name = path.partition(".")
        tree.setdefault(section, {})[name] = value
    assert from_tree(tree) == config


def test_backups_are_made_where_a_directory_is_named_and_not_by_default() -> None:
    assert Config().backup.dir is None
    assert load(None, {"HOLDFAST_BACKUP_DIR": "/b"}, {}).backup.dir == Path("/b")
    assert flatten(Config())["backup.dir"] == ""


def test_backups_are_not_kept_beside_the_database() -> None:
    assert problems({"data": {"dir": "/x"}, "backup": {"dir": "/x"}}) == [
        "backup.dir must not be data.dir (/x): what happens to the one must not happen to the other"
    ]
