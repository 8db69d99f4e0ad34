"""The audit log: one line of JSON for every administrative command, and for every change of keys.

It goes to `audit.file`, which others may rotate (a SIGHUP opens it anew), else into the log as the
event "audit". No payloads, results, secrets; a session's id is cut, since whoever has the whole of
it could resume it. The lines are described in docs/how-to/secure.md.
"""

import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

from holdfastd import logs

log: Final = logging.getLogger(__name__)

MODE: Final = 0o600
SESSION_SHOWN: Final = 8
"""Characters of a session's id."""

Entry: TypeAlias = dict[str, Any]
"""command, who it was (key, key_id, address, session, client), what about (queue, ids, and the
fields of the command), result."""


class AuditError(Exception):
    """The file cannot be used; for the operator."""


class AuditLog:
    """Attributes:
    path: None = entries go into the log.
    """

    def __init__(self, path: Path | None = None):
        """Raises AuditError."""
        self.path = path
        self._descriptor = None if path is None else _opened(path)
        self._has_failed = False
        if path is None:
            log.setLevel(logging.INFO)  # whatever log.level says: it is no chatter

    def write(self, now_ms: int, entry: Entry) -> None:
        """Never raises: what cannot be written to the file is written to the log."""
        at = datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="milliseconds")
        line = {"at": at, **entry}
        if self._descriptor is None:
            self._log(line)
            return
        try:
            os.write(self._descriptor, json.dumps(line, default=logs.plain).encode() + b"\n")
        except OSError as error:
            self._failed(error, line)
        else:
            self._has_failed = False

    def _failed(self, error: OSError, line: Entry) -> None:
        if not self._has_failed:
            text = f"audit.file = {self.path} cannot be written ({error.strerror}): see the log"
            logs.event(log, logging.ERROR, "audit_failed", text, path=self.path)
        self._has_failed = True
        log.setLevel(logging.INFO)
        self._log(line)

    def _log(self, line: Entry) -> None:
        who = line.get("key") or "anybody"
        text = f"audit: {line['command']} {line.get('queue', '')} by {who}: {line['result']}"
        data = {key: value for key, value in line.items() if key != "at"}
        logs.event(log, logging.INFO, "audit", text, **data)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _opened(path: Path) -> int:
    is_new = not path.exists()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, MODE)
        if is_new and os.geteuid() == 0:  # of `holdfastd keys`, run before the daemon's start
            directory = path.parent.stat()
            os.fchown(descriptor, directory.st_uid, directory.st_gid)
        return descriptor
    except OSError as error:
        raise AuditError(
            f"audit.file = {path} cannot be written ({error.strerror}): make its directory, and "
            "give it to the daemon's user"
        ) from error
