"""What the daemon tells of itself on the page Server: the unit stands last in every name."""

import platform
import sqlite3
from collections.abc import Callable
from typing import Any, Final

from holdfast.wire.constants import PROTOCOL_VERSION
from holdfastd import VERSION
from holdfastd.clock import Clock
from holdfastd.config import Config, flatten
from holdfastd.engine.stats import Histogram
from holdfastd.observed import Observed
from holdfastd.store.base import Store
from holdfastd.web.revision import UNKNOWN, revision

_SECRET: Final = ("key", "secret", "password")
"""A key of the configuration that ends in one of these would hold a secret; none does yet."""
HIDDEN: Final = "hidden"


class Facts:
    def __init__(
        self,
        config: Callable[[], Config],
        store: Store,
        observed: Observed,
        connections: Callable[[], dict[str, int]],
        clock: Clock,
    ):
        """config: in force. connections: open ones by role."""
        self._config = config
        self._store = store
        self._observed = observed
        self._connections = connections
        self._started_at_ms = clock.now_ms()

    async def server(self) -> dict[str, Any]:
        """Names and values; a map in it is a section. `config` has all keys, without secrets."""
        config = self._config()
        found = revision()
        return {
            "version": VERSION,
            "revision": None if found == UNKNOWN else found,
            "protocol": PROTOCOL_VERSION,
            "started_at_ms": self._started_at_ms,
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "storage": await self._storage(config),
            "writing": self._writing(),
            "backup": self._backup(config),
            "connections": dict(self._connections()),
            "config": _shown(config),
        }

    async def _storage(self, config: Config) -> dict[str, Any]:
        stats = await self._store.stats()
        return {
            "directory": str(config.data.dir),
            "database_bytes": stats.db_bytes,
            "unused_bytes": stats.free_bytes,
            "wal_bytes": stats.wal_bytes,
            "disk_free_bytes": stats.disk_free_bytes,
            "reserve_bytes": config.data.reserve_bytes,
        }

    def _writing(self) -> dict[str, Any]:
        observed = self._observed
        return {
            "commits": sum(observed.commit_seconds.counts),
            "mean_commit_seconds": _mean(observed.commit_seconds),
            "commands_per_commit": _mean(observed.commit_commands),
            "mean_lag_of_loop_seconds": _mean(observed.loop_lag_seconds),
            "waiting_commands": observed.commands_waiting,
            "refused_for_want_of_space": observed.store_full,
        }

    def _backup(self, config: Config) -> dict[str, Any]:
        observed = self._observed
        if config.backup.dir is None:
            return {"schedule": "none: set backup.dir"}
        return {
            "directory": str(config.backup.dir),
            "every_ms": config.backup.every_ms,
            "last_at_ms": observed.backup_at_ms,
            "is_being_made": observed.is_backing_up,
            "took_seconds": observed.backup_seconds,
            "size_bytes": observed.backup_bytes,
            "made": observed.backups_ok,
            "failed": observed.backups_failed,
        }


def _mean(histogram: Histogram) -> float | None:
    """Of what was observed; None = nothing."""
    count = sum(histogram.counts)
    return histogram.total / count if count else None


def _shown(config: Config) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": HIDDEN if value and key.endswith(_SECRET) else value}
        for key, value in flatten(config).items()
    ]
