"""What a reload may change: the table, the documentation of it, and the plan of one."""

import re
from pathlib import Path
from typing import Any

import pytest

from holdfastd.config import RULES, Config, as_environment, flatten, load
from holdfastd.reloading import APPLIES, Applies, plan

DOCS = (Path(__file__).parents[3] / "docs" / "how-to" / "reload.md").read_text()


def test_every_key_is_in_the_table_and_no_other() -> None:
    assert list(APPLIES) == list(RULES)


def test_docs_have_the_table() -> None:
    told = dict(re.findall(r"^\| `([\w.]+)` \| ([\w ]+) \|$", DOCS, re.MULTILINE))
    assert told == {path: applies.value for path, applies in APPLIES.items()}


OTHERS: dict[str, str] = {
    "data.dir": "/other",
    "data.reserve_bytes": "1",
    "backup.dir": "/b",
    "backup.every_ms": "5000",
    "backup.keep": "3",
    "tcp.listen": "127.0.0.1:1",
    "tcp.connections_max": "5",
    "tcp.handshake_timeout_ms": "50",
    "tcp.tls": "off",
    "http.listen": "127.0.0.1:2",
    "http.tls": "off",
    "http.label": "production",
    "http.label_colour": "red",
    "http.hosts": "a.example",
    "http.prefix": "/holdfast",
    "http.read_only": "true",
    "http.hide_data": "true",
    "http.redact": "password,*.secret",
    "tls.cert_file": "/c2",
    "tls.key_file": "/k2",
    "tls.client_ca_file": "/ca2",
    "auth.required": "on",
    "auth.keys_file": "/keys",
    "audit.file": "/audit",
    "limits.payload_bytes_max": "7",
    "leases.heartbeat_ms": "100",
    "leases.lease_ms": "20000",
    "leases.grace_ms": "5",
    "leases.session_ms": "100000",
    "metrics.queues_max": "1",
    "metrics.per_task": "true",
    "metrics.task_series_max": "7",
    "log.level": "debug",
    "log.format": "json",
}
"""Another value of each."""


@pytest.mark.parametrize("changed", [{}, OTHERS])
def test_a_process_can_be_given_the_configuration_in_force(changed: dict[str, str]) -> None:
    config = load(None, {}, changed)
    assert load(None, as_environment(config), {}) == config


def config(**flags: str) -> Config:
    given = {"tls.cert_file": "/c", **flags}
    return load(None, {}, given)


@pytest.mark.parametrize("path", RULES)
def test_each_key_is_in_force_at_once_or_named_as_waiting(path: str) -> None:
    made = plan(config(), config(**{path: OTHERS[path]}))
    changed = flatten(made.config)[path] != flatten(config())[path]
    waits = APPLIES[path] is Applies.RESTART
    assert changed is not waits
    assert (made.changed, made.needs_restart) == (([], [path]) if waits else ([path], []))


def test_nothing_changed_is_nothing() -> None:
    made = plan(config(), config())
    assert made == (config(), [], [])


@pytest.mark.parametrize(
    ("before", "after"), [({}, {"tls.cert_file": "/c"}), ({"tls.cert_file": "/c"}, {})]
)
def test_a_port_does_not_begin_or_end_to_speak_tls(
    before: dict[str, str], after: dict[str, str]
) -> None:
    running, wanted = load(None, {}, before), load(None, {}, after)
    made = plan(running, wanted)
    assert made == (running, [], ["tls.cert_file"])


def test_what_waits_is_named_each_time_and_the_rest_goes_on() -> None:
    wanted = config(**{"tcp.listen": "127.0.0.1:1", "backup.keep": "3"})
    first = plan(config(), wanted)
    assert (first.changed, first.needs_restart) == (["backup.keep"], ["tcp.listen"])
    again = plan(first.config, wanted)
    assert (again.changed, again.needs_restart) == ([], ["tcp.listen"])
    as_mapping: Any = flatten(again.config)
    assert (as_mapping["backup.keep"], as_mapping["tcp.listen"]) == (3, "127.0.0.1:4653")
