"""Certificates are checked before anything uses them."""

import ssl
import time
from pathlib import Path

import pytest

from holdfastd import tls
from support.certificates import Authority

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def test_a_good_one_is_read_with_its_end(authority: Authority) -> None:
    found = tls.read(authority.issue("good.pem", days=30), None, authority.ca_file)
    assert found.expires_at_ms is not None
    assert 29 * DAY_MS < found.expires_at_ms - time.time() * 1000 <= 30 * DAY_MS
    assert found.tcp.verify_mode is ssl.CERT_OPTIONAL, "who has none is told so later"
    assert found.http.verify_mode is ssl.CERT_NONE
    for context in (found.tcp, found.http):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_one_that_cannot_be_used_is_named(authority: Authority, tmp_path: Path) -> None:
    good, other = authority.issue("good.pem"), Authority(tmp_path / "other").issue("other.pem")
    expired = authority.issue("expired.pem", days=-1)
    missing, loose, junk = tmp_path / "none.pem", tmp_path / "loose.pem", tmp_path / "junk.pem"
    loose.write_bytes(good.read_bytes())
    loose.chmod(0o644)
    junk.touch(mode=0o600)
    cases: list[tuple[tuple[Path, Path | None, Path | None], str]] = [
        ((expired, None, None), "has expired, and no client would take it: renew it"),
        ((missing, None, None), "none.pem cannot be read (No such file or directory)"),
        ((tmp_path, None, None), "cannot be read (Is a directory)"),
        ((good, missing, None), "tls.key_file = "),
        ((good, other, None), "they must be a certificate and its private key"),
        ((junk, None, None), "they must be a certificate and its private key, in PEM"),
        ((loose, None, None), "loose.pem can be read or changed by others (mode 0644): chmod 600"),
        ((good, None, junk), "tls.client_ca_file = "),
        ((good, None, missing), "No such file or directory: it must be readable by the daemon's"),
    ]
    for files, words in cases:
        with pytest.raises(tls.TlsError) as refused:
            tls.read(*files)
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
    )

    secret = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    )
    key_file = tmp_path / "key.pem"
    key_file.touch(mode=0o600)
    key_file.write_bytes(secret)
    good = Authority(tmp_path / "ca").issue("good.pem")
    with pytest.raises(tls.TlsError, match="without a password"):
        tls.read(good, key_file, None)
