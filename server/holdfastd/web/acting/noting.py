"""The audit log, as what is done by HTTP writes it."""

from collections.abc import Callable
from typing import Any

from holdfastd.access.rights import Identity
from holdfastd.audit import AuditLog


class Noting:
    def __init__(self, audit: Callable[[], AuditLog], now_ms: Callable[[], int]):
        """audit: what is written to now; a reload replaces it."""
        self._audit = audit
        self._now_ms = now_ms

    def write(self, identity: Identity, kind: str, entry: dict[str, Any]) -> None:
        who = {"key": identity.name, "key_id": identity.key_id, "client": "http"}
        self._audit().write(self._now_ms(), {"command": kind.upper(), **who, **entry})
