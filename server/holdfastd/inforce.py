"""What is in force besides the jobs: configuration, certificates, keys, audit log.

A start reads them, a reload (SIGHUP) replaces them: everything that can fail is done first, then
all of it is taken over between two turns of the loop, or nothing is. The key file is looked at each
second besides, so that a key is made or revoked without a signal.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Final, NamedTuple, Protocol

from holdfastd import logs, tls
from holdfastd.access import exposure
from holdfastd.access.door import KEYS_LOOK_S, Door, KeysRead
from holdfastd.access.keys import KeysError
from holdfastd.audit import AuditError, AuditLog
from holdfastd.clock import Clock
from holdfastd.config import Config, ConfigError
from holdfastd.observed import Observed
from holdfastd.reloading import Plan, plan

log = logging.getLogger(__name__)

UNUSABLE: Final = (KeysError, tls.TlsError, AuditError, OSError)
"""What a start or reload may find wrong, besides ConfigError. OSError: a file that goes away while
it is looked at."""


class Auditing(Protocol):
    log: AuditLog


class Listener(Protocol):
    """What is told of keys and audit log that are replaced."""

    @property
    def auditing(self) -> Auditing: ...
    def put_out(self) -> int: ...


class _Read(NamedTuple):
    """All of it that can fail, done."""

    certificates: tls.Certificates | None
    """None = no port speaks TLS."""
    audit: AuditLog
    keys: KeysRead


class Reloaded(NamedTuple):
    """What came of a reload."""

    problems: list[str]
    """Why it was refused; then nothing has changed."""
    changed: list[str]
    """Paths of keys."""
    needs_restart: list[str]


class InForce:
    """Attributes:
    config: with what it had at the start where only a restart can change it.
    door: who may come in.
    audit: what is written to now.
    on_change: called with what a reload has put into force, before its news are told.
    on_reload: entered for the time of each reload, refused ones too.
    """

    def __init__(
        self,
        settings: Config,
        reread: Callable[[], Config],
        clock: Clock,
        observed: Observed,
    ):
        """Raises UNUSABLE."""
        self.config = settings
        self._reread = reread
        self._clock = clock
        self._observed = observed
        self.door = Door(
            exposure.keys_file(settings),
            clock,
            is_key_required=exposure.is_key_required(settings, settings.tcp.listen),
            is_http_key_required=exposure.is_key_required(settings, settings.http.listen),
        )
        self.door.open()
        found = self._read(settings)
        self._certificates = found.certificates
        self.audit = found.audit
        self.on_change: Callable[[Plan], None] = lambda plan: None
        self.on_reload: Callable[[], AbstractContextManager[None]] = nullcontext
        self._is_reload_wanted = asyncio.Event()
        self._askers: list[asyncio.Future[Reloaded]] = []

    def tcp_context(self) -> ssl.SSLContext:
        assert self._certificates is not None
        return self._certificates.tcp

    def http_context(self) -> ssl.SSLContext:
        assert self._certificates is not None
        return self._certificates.http

    # ---- reloading -------------------------------------------------------------------------------

    def ask_reload(self) -> None:
        """`watch` will do it."""
        self._is_reload_wanted.set()

    async def reload_now(self) -> Reloaded:
        """The same, and what came of it."""
        asker: asyncio.Future[Reloaded] = asyncio.get_running_loop().create_future()
        self._askers.append(asker)
        self.ask_reload()
        return await asker

    async def watch(self, listener: Listener) -> None:
        """Reload when asked to, take new keys when their file has changed; until cancelled."""
        self.door.on_news = lambda: self._read_keys(listener)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(KEYS_LOOK_S):
                    await self._is_reload_wanted.wait()
            if self._is_reload_wanted.is_set():
                self._is_reload_wanted.clear()
                askers, self._askers = self._askers, []
                with self.on_reload():
                    reloaded = await self.reload(listener)
                for asker in askers:
                    if not asker.done():  # who asked may have gone
                        asker.set_result(reloaded)
            elif self.door.has_news:
                self._read_keys(listener)
            if self.door.has_expired():
                _put_out(listener)

    async def reload(self, listener: Listener) -> Reloaded:
        """Put into force what the files say now: all that does not need a restart, or, if anything
        is wrong, nothing; the log says what."""
        try:
            wanted, found = await asyncio.to_thread(self._read_anew)
        except (ConfigError, *UNUSABLE) as error:
            self._observed.config_reload_ok = False
            for problem in str(error).splitlines():
                text = f"reload refused, nothing was changed: {problem}"
                logs.event(log, logging.ERROR, "reload_refused", text, problem=problem)
            self._note("RELOAD", result="refused", why=str(error))
            return Reloaded(str(error).splitlines(), [], [])
        self.config = wanted.config
        self._certificates = found.certificates
        self.audit.close()
        self.audit = listener.auditing.log = found.audit
        self.on_change(wanted)
        self._take_keys(found.keys, listener)
        self._observed.config_reload_ok = True
        self._observed.config_reloaded_at_ms = self._clock.now_ms()
        self._tell(wanted)
        return Reloaded([], wanted.changed, wanted.needs_restart)

    def _read_anew(self) -> tuple[Plan, _Read]:
        """On a thread: a disk may be slow."""
        wanted = plan(self.config, self._reread())
        return wanted, self._read(wanted.config)

    def _read(self, settings: Config) -> _Read:
        """Raises UNUSABLE. The audit log comes last: nothing has to be closed again."""
        files = settings.tls
        has_tls = exposure.tcp_has_tls(settings) or exposure.http_has_tls(settings)
        certificates = None
        if has_tls and files.cert_file is not None:
            certificates = tls.read(files.cert_file, files.key_file, files.client_ca_file)
        return _Read(certificates, keys=self.door.read(), audit=AuditLog(settings.audit.file))

    def _tell(self, wanted: Plan) -> None:
        changed = ", ".join(wanted.changed) or "no setting"
        text = f"reloaded: {changed} changed; certificates and keys were read anew"
        logs.event(log, logging.INFO, "reloaded", text, changed=wanted.changed)
        if wanted.needs_restart:
            text = f"changed, and in force after a restart only: {', '.join(wanted.needs_restart)}"
            logs.event(log, logging.WARNING, "needs_restart", text, keys=wanted.needs_restart)
        self.warn_of_certificate()
        self._note(
            "RELOAD", result="ok", changed=wanted.changed, needs_restart=wanted.needs_restart
        )

    def warn_of_certificate(self) -> None:
        """In the log, if it ends soon."""
        expires_at_ms = None if self._certificates is None else self._certificates.expires_at_ms
        if expires_at_ms is None:
            return
        left_ms = expires_at_ms - self._clock.now_ms()
        if left_ms < tls.SOON_MS:
            days = left_ms / 86_400_000
            text = f"tls.cert_file expires in {days:.1f} days: renew it and send SIGHUP"
            logs.event(log, logging.WARNING, "certificate_expires", text, days=round(days, 1))

    # ---- keys ------------------------------------------------------------------------------------

    def _read_keys(self, listener: Listener) -> None:
        """What is wrong with their file changes nothing but the log."""
        try:
            keys = self.door.read()
        except KeysError as error:
            text = f"{error}; the keys read before stay in force"
            logs.event(log, logging.ERROR, "keys_refused", text)
        else:
            self._take_keys(keys, listener)

    def _take_keys(self, keys: KeysRead, listener: Listener) -> None:
        changes = self.door.take(keys)
        if any(changes):
            self._note("KEYS IN FORCE", result="ok", **changes._asdict())
            _put_out(listener)

    def _note(self, command: str, **facts: Any) -> None:
        self.audit.write(self._clock.now_ms(), {"command": command, **facts})


def _put_out(listener: Listener) -> None:
    count = listener.put_out()
    if count:
        text = f"{count:,} connections were closed: their keys are no longer good"
        logs.event(log, logging.INFO, "put_out", text, connections=count)
