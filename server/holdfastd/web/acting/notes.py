"""What was done over HTTP, by whom and with which result: a line of the audit log each."""

from collections.abc import Callable
from typing import Any

from holdfastd.access.rights import Identity
from holdfastd.audit import AuditLog


class Notes:
    def __init__(self, audit: Callable[[], AuditLog], now_ms: Callable[[], int]):
        """audit: in force; a reload opens another."""
        self._audit = audit
        self._now_ms = now_ms

    def write(self, identity: Identity, kind: str, entry: dict[str, Any]) -> None:
        who = {"key": identity.name, "key_id": identity.key_id, "client": "http"}
        self._audit().write(self._now_ms(), {"command": kind.upper(), **who, **entry})
