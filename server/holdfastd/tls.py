"""The daemon's certificate, checked before anything uses it.

Contexts are made anew for each (re)load and replaced as a whole: a handshake that has begun goes on
with the one it began with. TLS 1.2 is the oldest version spoken (RFC 8996).
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfastd.access.keyfile import check_private
from holdfastd.access.keys import KeysError

_EXPIRED: Final = 10
"""X509_V_ERR_CERT_HAS_EXPIRED, <openssl/x509_vfy.h>."""
SOON_MS: Final = 14 * 24 * 3600 * 1000
"""Before its end at which a certificate is warned of: those of Let's Encrypt are renewed a month
before, so it is a renewal that has failed."""


class TlsError(Exception):
    """A certificate, key or CA cannot be used; one line that says what to do."""


@dataclass(frozen=True)
class Certificates:
    """What a start or reload has read."""

    tcp: ssl.SSLContext
    """Asks clients for a certificate if there is a client_ca_file."""
    http: ssl.SSLContext
    """Never does: health checks and Prometheus come with a key, or need none."""
    expires_at_ms: int | None
    """Of the daemon's certificate; None = it cannot be told."""


def read(cert_file: Path, key_file: Path | None, client_ca_file: Path | None) -> Certificates:
    """Raises TlsError: they cannot be read, do not belong together, or have expired."""
    http = _server_context(cert_file, key_file)
    tcp = _server_context(cert_file, key_file)
    if client_ca_file is not None:
        try:
            tcp.load_verify_locations(client_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise TlsError(
                f"tls.client_ca_file = {client_ca_file}: {_reason(error)}: it must be readable by "
                "the daemon's user, and hold certificates in PEM"
            ) from error
        tcp.verify_mode = ssl.CERT_OPTIONAL  # who has none is told so, by `lacks_certificate`
    return Certificates(tcp, http, _expires_at_ms(http, cert_file))


def _server_context(cert_file: Path, key_file: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _check_readable("tls.cert_file", cert_file)
    if key_file is not None:
        _check_readable("tls.key_file", key_file)
    _check_private(key_file or cert_file)
    try:
        context.load_cert_chain(cert_file, key_file, password=_no_password)
    except (OSError, ssl.SSLError) as error:
        where = f"tls.cert_file = {cert_file}" + (
            f", tls.key_file = {key_file}" if key_file else ""
        )
        raise TlsError(
            f"{where}: {_reason(error)}: they must be a certificate and its private key, in PEM "
            "and without a password"
        ) from error
    return context


def _check_readable(key: str, file: Path) -> None:
    try:
        file.open("rb").close()
    except OSError as error:
        raise TlsError(
            f"{key} = {file} cannot be read ({error.strerror}): give it to the daemon's user"
        ) from error


def _check_private(file: Path) -> None:
    with file.open("rb") as opened:
        try:
            check_private(opened.fileno(), file)
        except KeysError as error:
            raise TlsError(f"the private key {error}") from error


def _no_password() -> str:
    """Or OpenSSL would ask for one at the terminal."""
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no PEM can be found in it").lower().replace("_", " ")
    return getattr(error, "strerror", None) or str(error)


# ---- how long it is good -----------------------------------------------------------------------


def _expires_at_ms(server: ssl.SSLContext, cert_file: Path) -> int | None:
    """By a handshake of our own, in memory: the standard library has no other way to read a
    certificate. Raises TlsError if it has expired."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cert_file)
    try:
        seen = _shake_hands(client, server)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code == _EXPIRED:
            raise TlsError(
                f"tls.cert_file = {cert_file} has expired, and no client would take it: renew it"
            ) from error
        return None
    except ssl.SSLError:
        return None
    not_after = seen.get("notAfter")
    return int(ssl.cert_time_to_seconds(not_after)) * 1000 if isinstance(not_after, str) else None


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> dict[str, object]:
    """What the client sees of the server's certificate. Raises ssl.SSLError."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):  # TLS 1.2 takes three turns
        if all([_is_done(ours), _is_done(theirs)]):
            break
    return dict(ours.getpeercert() or {})


def _is_done(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def lacks_certificate(transport: asyncio.BaseTransport) -> bool:
    """Its context asks clients for a certificate, and this one has none. One that is not signed by
    the right CA has failed the handshake."""
    context = transport.get_extra_info("sslcontext")
    is_asked = context is not None and context.verify_mode is ssl.CERT_OPTIONAL
    return is_asked and not transport.get_extra_info("peercert")


# ---- contexts that are replaced ----------------------------------------------------------------


def front(current: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """A context for a server that keeps the one it was given: each handshake gets the current one.

    It must not ask for certificates of clients: that is not taken over from the current one.
    """

    def choose(side: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        side.context = current()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sni_callback = choose
    return context
