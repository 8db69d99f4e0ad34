"""How to be let in: the server's address, the key, and what TLS needs.

A key comes from an argument, a file, or the environment; never from a command line, where process
lists would show it. A file is read again at each connection, so that a key can be rotated under a
running program.
"""

import os
import ssl
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from holdfast.address import Address, address_of
from holdfast.errors import MisuseError, PeerError
from holdfast.wire.credentials import Key, parse_key, proof_of

FilePath: TypeAlias = str | os.PathLike[str]

FORBIDDEN_MODE: Final = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO
"""As the server has it for its own: others nothing, the group reading at most."""
_NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
"""OpenSSL's words for an answer that is no TLS."""
_HOSTNAME_MISMATCH: Final = (62, 64)
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
_EXPIRED: Final = 10
"""X509_V_ERR_CERT_HAS_EXPIRED."""


@dataclass(frozen=True)
class Access:
    """Equal ones share a connection."""

    address: Address
    key: str | None = field(default=None, repr=False)
    key_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None

    def auth(self, nonce: bytes) -> dict[str, Any] | None:
        """IDENTIFY's `auth` for this nonce of the server; None without a key. Raises MisuseError.

        Reads the key's file, a few bytes, wherever it is called.
        """
        key = self._key()
        if key is None:
            return None
        return {"key": key.id, "proof": proof_of(key.secret, nonce)}

    def _key(self) -> Key | None:
        if self.key is not None:
            return _parsed(self.key, "the key")
        if self.key_file is not None:
            return _parsed(_private_text(self.key_file), f"the content of {self.key_file}")
        return None

    def check(self) -> "Access":
        """That the files are there and the key is one. Raises MisuseError."""
        self._key()
        if self.address.is_tls:
            self.tls_context()
        elif self.ca_file or self.cert_file:
            raise MisuseError(
                f"{self.address.url} goes without TLS, and a certificate is given: use holdfasts://"
            )
        return self

    def tls_context(self) -> ssl.SSLContext:
        """Of the files as they are now. Raises MisuseError."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise MisuseError(f"ca_file {self.ca_file}: {_reason(error)}: {_PEM}") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert_file is not None:
            try:
                context.load_cert_chain(self.cert_file)
            except (OSError, ssl.SSLError) as error:
                raise MisuseError(
                    f"cert_file {self.cert_file}: {_reason(error)}: {_PEM}, the certificate and "
                    "its private key"
                ) from None
        return context


_PEM: Final = "it must be readable, and hold PEM"


def access_of(
    url: str | None = None,
    *,
    key: str | None = None,
    key_file: FilePath | None = None,
    ca_file: FilePath | None = None,
    cert_file: FilePath | None = None,
) -> Access:
    """What is given, else $HOLDFAST_URL, _KEY, _KEY_FILE, _CA_FILE, _CERT_FILE. Raises
    MisuseError."""
    if key is not None and key_file is not None:
        raise MisuseError("give key or key_file, not both")
    if key is None and key_file is None:
        key = os.environ.get("HOLDFAST_KEY") or None
        key_file = None if key else os.environ.get("HOLDFAST_KEY_FILE")
    address = address_of(url)
    if address.is_tls:
        ca_file = ca_file or os.environ.get("HOLDFAST_CA_FILE")
        cert_file = cert_file or os.environ.get("HOLDFAST_CERT_FILE")
    return Access(address, key, *map(_path, (key_file, ca_file, cert_file))).check()


def _path(given: FilePath | None) -> Path | None:
    return Path(given) if given else None


def _parsed(text: str, what: str) -> Key:
    try:
        return parse_key(text)
    except ValueError as error:
        raise MisuseError(f"{what} cannot be used: {error}") from None


def _private_text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & FORBIDDEN_MODE:
                raise MisuseError(
                    f"{path} can be read or changed by others (mode {mode:04o}): chmod 600 {path}"
                )
            return file.read(1024)
    except OSError as error:
        raise MisuseError(
            f"key_file {path} cannot be read ({error.strerror}): name a file that holds a key"
        ) from None
    except UnicodeDecodeError:
        raise MisuseError(f"key_file {path} is no text: it must hold a key") from None


def tls_trouble(error: ssl.SSLError, address: Address) -> PeerError:
    """What went wrong with TLS, and what to do."""
    where = address.url
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message
        if error.verify_code == _EXPIRED:
            todo = "it must be renewed there (or your clock is wrong)"
        elif error.verify_code in _HOSTNAME_MISMATCH:
            todo = f"it is for another name than {address.host}: use the name that it is for"
        else:
            todo = "give the certificate of who signed it as ca_file= or HOLDFAST_CA_FILE"
        return PeerError(f"{where}: its certificate is refused ({why}): {todo}")
    reason = error.reason or str(error)
    if reason in _NOT_TLS:
        return PeerError(
            f"{where}: it does not speak TLS: use holdfast://, or set tls.cert_file there"
        )
    if "ALERT" in reason:
        return PeerError(f"{where}: it refused our certificate or TLS version ({reason})")
    return PeerError(f"{where}: TLS failed ({reason})")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "no certificate can be found in it"
    return getattr(error, "strerror", None) or str(error)
