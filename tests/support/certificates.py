"""Certificates for tests: a CA, and what it signs."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


class Authority:
    """A CA of its own, whose files are in a folder.

    Attributes:
        ca_file: what a client has to trust.
    """

    def __init__(self, folder: Path):
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._ca = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca_file))

    def issue(self, name: str, *hosts: str, days: float = 30) -> Path:
        """A file with a certificate for the hosts and its private key. days: < 0 = it has
        expired."""
        made = self._ca.issue_cert(
            *(hosts or ("127.0.0.1", "localhost")),
            not_before=datetime.now(UTC) - timedelta(days=365),
            not_after=datetime.now(UTC) + timedelta(days=days),
        )
        file = self.folder / name
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)
        file.write_bytes(made.private_key_and_cert_chain_pem.bytes())
        return file
