"""What the process observes of itself, as plain numbers that the hot path may raise for nothing.

What belongs to one queue is in `engine.stats`; this is the rest: commits, commands, connections,
bytes. The pipeline and the listener write it, `web.families` gives it Prometheus names. Everything
counts from the start of the process. Written by the event loop's thread only.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field, fields
from typing import Any, Final

from holdfastd.engine.stats import Histogram

COMMIT_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
"""One fsync takes 0.25 to 0.45 ms (DESIGN.md, section 4): fine steps around it, coarse above."""
COMMAND_SECONDS: Final = COMMIT_SECONDS
COMMIT_COMMANDS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)
LAG_SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)

REJECTED: Final = (
    "limit",
    "draining",
    "protocol_version",
    "handshake_timeout",
    "does_not_read",
    "auth",
    "tls",
    "bad_request",
)
PROTOCOL_ERRORS: Final = (
    "bad_frame",
    "too_large",
    "unexpected_message",
    "unknown_command",
    "schema",
)
CHECKPOINTS: Final = ("ok", "busy", "error")


def _zeros(keys: tuple[str, ...]) -> Counter[str]:
    """Those that are known have series from the start: the first rise would not be seen else."""
    return Counter(dict.fromkeys(keys, 0))


@dataclass(slots=True)
class Observed:
    """One per process; made by the daemon, handed to those who count."""

    # Written by the pipeline.
    commit_seconds: Histogram = field(default_factory=lambda: Histogram(COMMIT_SECONDS))
    """`Store.apply`, from the call to its return: thread hop, transaction and fsync."""
    commit_commands: Histogram = field(default_factory=lambda: Histogram(COMMIT_COMMANDS))
    """Commands carried by one commit."""
    commands_waiting: int = 0
    """Commands applied whose batch is not yet durable: in the open batch and in the one in
    flight."""
    checkpoints: Counter[str] = field(default_factory=lambda: _zeros(CHECKPOINTS))
    """By result: "ok"; "busy" when a reader still needed a part of the log; "error" when there was
    no space (any other error ends the process)."""
    store_full: int = 0
    """Times that a batch was refused for want of space and kept."""

    # Written by the listener and its connections.
    commands: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Answered, by (name of the message in lower case, status): "ok", or whose fault it was: see
    `status_of`."""
    command_seconds: defaultdict[str, Histogram] = field(
        default_factory=lambda: defaultdict(lambda: Histogram(COMMAND_SECONDS))
    )
    """By the same name: from the frame's turn to its answer, which comes when what it did is
    durable. Not of those that wait for something else than us (UNTIMED)."""
    connections_opened: int = 0
    connections_rejected: Counter[str] = field(default_factory=lambda: _zeros(REJECTED))
    """By reason: "limit", "draining", "protocol_version", "handshake_timeout", "does_not_read",
    "auth" (no valid key), "tls" (the handshake failed, or there was none)."""
    protocol_errors: Counter[str] = field(default_factory=lambda: _zeros(PROTOCOL_ERRORS))
    """By kind: those that close the connection ("bad_frame", "too_large", "unexpected_message"),
    and those that are answered: "unknown_command", and "schema", fields of the wrong form."""
    received_bytes: int = 0
    sent_bytes: int = 0
    backpressure_seconds: float = 0.0
    """Time for which reading from a connection was paused, summed over the connections."""

    # Written by the daemon's schedule of backups.
    is_backing_up: bool = False
    backups_ok: int = 0
    backups_failed: int = 0
    backup_at_ms: int | None = None
    """Wall time of the last one that is there, made by this process or before; None = there is
    none, or none are made."""
    backup_seconds: float | None = None
    """What the last one took; None = this process has made none."""
    backup_bytes: int | None = None

    # Written by the daemon.
    config_reload_ok: bool = True
    """The last reload (SIGHUP) was applied; True before the first."""
    config_reloaded_at_ms: int = 0
    """Wall time at which the configuration in force was read: at the start, or by a reload."""
    loop_lag_seconds: Histogram = field(default_factory=lambda: Histogram(LAG_SECONDS))
    """How late a timer of the event loop runs, sampled twice a second."""

    def copy(self) -> "Observed":
        """As it is now; some 50 us."""
        return Observed(**{each.name: _copied(getattr(self, each.name)) for each in fields(self)})


def _copied(value: Any) -> Any:
    if isinstance(value, Histogram):
        return value.copy()
    if isinstance(value, Counter):
        return value.copy()
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return value
