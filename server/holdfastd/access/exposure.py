"""What a configuration lays open, and whether it says so: closed by default.

A loopback address is open: who can reach it has an account on this machine. Any other asks for a
key, and for TLS, unless `tls = "off"` says in so many words that everything goes in the clear.
"""

import ipaddress
from pathlib import Path

from holdfastd.access.keyfile import NAME
from holdfastd.config import Address, Config


def is_loopback(address: Address) -> bool:
    return is_loopback_host(address.host)


def is_loopback_host(host: str) -> bool:
    """Of names only `localhost`: what another one stands for may change."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def is_key_required(config: Config, address: Address) -> bool:
    """By who listens at this address."""
    return config.auth.required == "on" or not is_loopback(address)


def keys_file(config: Config) -> Path:
    return config.auth.keys_file or config.data.dir / NAME


def tcp_has_tls(config: Config) -> bool:
    """auto: as soon as there is a certificate."""
    if config.tcp.tls == "auto":
        return config.tls.cert_file is not None
    return config.tcp.tls == "on"


def http_has_tls(config: Config) -> bool:
    """auto: the same, but not on a loopback address: health checks and Prometheus beside the daemon
    need no certificate."""
    if config.http.tls == "auto":
        return config.tls.cert_file is not None and not is_loopback(config.http.listen)
    return config.http.tls == "on"


def problems(config: Config) -> list[str]:
    """Why a daemon must not serve like that, a line each."""
    found = []
    tls = config.tls
    for given, name in ((tls.key_file, "key_file"), (tls.client_ca_file, "client_ca_file")):
        if given is not None and tls.cert_file is None:
            found.append(f"tls.{name} is set and tls.cert_file is not: set that too")
    ports = (
        ("tcp", config.tcp.listen, config.tcp.tls, tcp_has_tls(config)),
        ("http", config.http.listen, config.http.tls, http_has_tls(config)),
    )
    for section, listen, said, has_tls in ports:
        if has_tls and tls.cert_file is None:
            found.append(f'{section}.tls = "on" needs a certificate: set tls.cert_file')
        elif not has_tls and said != "off" and not is_loopback(listen):
            found.append(
                f"{section}.listen = {listen} can be reached from other machines: set "
                f'tls.cert_file and tls.key_file, or {section}.tls = "off" if everything may go '
                "in the clear (docs/how-to/secure.md)"
            )
    return found
