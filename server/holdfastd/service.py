"""What serves clients: a pipeline on a store, and the TCP port on the pipeline.

No process, no signals, no HTTP: that is the daemon's. Given another store and another clock it runs
in a simulation as it does in the daemon.
"""

import ssl
from collections.abc import Callable
from random import Random
from typing import Final

from holdfastd.access.door import Door
from holdfastd.audit import AuditLog
from holdfastd.chronicle import Chronicle
from holdfastd.clock import Clock
from holdfastd.config import Config
from holdfastd.engine.partition import EngineSettings
from holdfastd.net.auditing import Auditing
from holdfastd.net.listener import Listener, ListenerSettings
from holdfastd.observed import Observed
from holdfastd.pipeline import Pipeline
from holdfastd.search.finder import Finder
from holdfastd.store.base import Store

DRAIN_S: Final = 8.0
"""For all of a clean stop: under the 10 s that are promised."""


def listener_settings(settings: Config) -> ListenerSettings:
    leases, tcp = settings.leases, settings.tcp
    return ListenerSettings(
        tcp.listen.host,
        tcp.listen.port,
        tcp.connections_max,
        tcp.handshake_timeout_ms / 1000,
        settings.limits.payload_bytes_max,
        leases.heartbeat_ms,
        leases.lease_ms,
        leases.grace_ms,
    )


class Service:
    def __init__(
        self,
        settings: Config,
        store: Store,
        clock: Clock,
        random: Random,
        observed: Observed,
        door: Door | None = None,
        audit: AuditLog | None = None,
        tls: Callable[[], ssl.SSLContext] | None = None,
        finder: Finder | None = None,
    ):
        """door: who may come in; None = everybody. audit: None = the log. tls, finder: see
        Listener."""
        leases, metrics = settings.leases, settings.metrics
        engine_settings = EngineSettings(
            leases.lease_ms,
            leases.grace_ms,
            leases.session_ms,
            metrics.queues_max,
            metrics.task_series_max if metrics.per_task else 0,
        )
        self.pipeline = Pipeline(store, clock, engine_settings, random, observed)
        self.chronicle = Chronicle(store, self.pipeline.engine.history, clock)
        self.listener = Listener(
            self.pipeline,
            listener_settings(settings),
            observed,
            door or Door(None, clock),
            Auditing(audit or AuditLog(), clock),
            tls,
            finder,
        )

    async def say_goodbye(self) -> None:
        """Lease and accept nothing more, and tell every client."""
        await self.listener.drain()
        self.pipeline.drain()

    async def close(self) -> None:
        """Write and say what is due, close every connection and the store."""
        await self.pipeline.flush()
        await self.listener.close()
        await self.pipeline.close()
        self.listener.auditing.close()
