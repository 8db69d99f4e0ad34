"""Closed by default: what may listen where, and what has to be said for it."""

import pytest

from holdfastd.access.exposure import (
    http_has_tls,
    is_key_required,
    is_loopback,
    keys_file,
    problems,
    tcp_has_tls,
)
from holdfastd.config import Address, Config, load


def config(**given: str) -> Config:
    """Keys with two underscores for the dot."""
    return load(None, {}, {key.replace("__", "."): text for key, text in given.items()})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_is_open(host: str) -> None:
    address = Address(host, 1)
    assert is_loopback(address)
    settings = config(tcp__listen=str(address), http__listen=str(address))
    assert problems(settings) == []
    assert not is_key_required(settings, address)
    assert not (tcp_has_tls(settings))
    assert not (http_has_tls(settings))
    assert is_key_required(config(auth__required="on"), address)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "queue.example", "127.0.0.1.example"]
)
def test_everything_else_needs_a_key_and_tls_or_that_it_is_said(host: str) -> None:
    address = Address(host, 1)
    assert not is_loopback(address)
    assert is_key_required(Config(), address)
    for section in ("tcp", "http"):
        listen = {f"{section}__listen": str(address)}
        (problem,) = problems(config(**listen))
        assert problem.startswith(
            f"{section}.listen = {address} can be reached from other machines"
        )
        assert problems(config(**listen, **{f"{section}__tls": "off"})) == []
        assert problems(config(**listen, tls__cert_file="c")) == []


def test_a_certificate_switches_tls_on_and_http_on_loopback_stays_plain() -> None:
    settings = config(tls__cert_file="c")
    assert (tcp_has_tls(settings), http_has_tls(settings)) == (True, False)
    reachable = config(tls__cert_file="c", http__listen="0.0.0.0:1")
    assert http_has_tls(reachable)
    assert http_has_tls(config(tls__cert_file="c", http__tls="on"))
    assert not tcp_has_tls(config(tls__cert_file="c", tcp__tls="off"))


def test_what_does_not_go_together_is_told() -> None:
    assert problems(config(tcp__tls="on")) == [
        'tcp.tls = "on" needs a certificate: set tls.cert_file'
    ]
    assert problems(config(tls__key_file="k", tls__client_ca_file="c")) == [
        "tls.key_file is set and tls.cert_file is not: set that too",
        "tls.client_ca_file is set and tls.cert_file is not: set that too",
    ]


def test_keys_are_in_the_data_directory_unless_they_are_elsewhere() -> None:
    assert str(keys_file(config(data__dir="/d"))) == "/d/keys.json"
    assert str(keys_file(config(auth__keys_file="/k"))) == "/k"
