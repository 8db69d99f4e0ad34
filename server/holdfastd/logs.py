"""Log lines on stderr: for a console, or a JSON object each. Names and numbers, never data.

docs/reference/logs.md lists every event; a test compares it with the calls of `event` in the code.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any, Final

OURS: Final = "holdfastd"
"""Above all loggers of the daemon."""
LIBRARY: Final = "library"
"""The event of a line that a library has written."""
PRIORITIES: Final = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
"""The journal's, by level: numbers of syslog (sd-daemon(3))."""


def set_up(level: str, style: str) -> None:
    """level: of the daemon's own events. style: "json", or "text" for people.

    Of libraries only warnings are shown. Their chatter is no news of the daemon's (uvicorn says
    "Shutting down"), and aiosqlite's has the data of jobs in it.
    """
    handler = logging.StreamHandler(sys.stderr)
    is_journal = _is_journal()
    formatter = _JsonFormatter() if style == "json" else _TextFormatter(has_time=not is_journal)
    handler.setFormatter(_JournalFormatter(formatter) if is_journal else formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    ours = logging.getLogger(OURS)
    ours.setLevel(level.upper())
    root.setLevel(max(ours.level, logging.WARNING))


def event(
    logger: logging.Logger,
    level: int,
    name: str,
    text: str,
    /,
    *,
    exc_info: BaseException | None = None,
    **data: Any,
) -> None:
    """One event: a stable name for programs, a sentence for people, and data.

    Data must not hold what jobs carry or what lets anybody in. exc_info: its traceback is added.
    """
    logger.log(level, text, exc_info=exc_info, extra={"event": name, "data": data})


def plain(value: object) -> str:
    """What JSON has no form for: bytes by their number, for they may be a payload."""
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)


def escaped(text: str) -> str:
    """In one line, and harmless to a terminal: names may come from strangers."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _is_journal() -> bool:
    """Standard error is a stream of systemd's journal: JOURNAL_STREAM in systemd.exec(5)."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # closed, or replaced by something that is no file
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _TextFormatter(logging.Formatter):
    def __init__(self, *, has_time: bool):
        """has_time: the journal has its own."""
        super().__init__()
        self._has_time = has_time

    def format(self, record: logging.LogRecord) -> str:
        time = f"{self.formatTime(record)} " if self._has_time else ""
        name = getattr(record, "event", record.name)
        lines = [f"{time}{record.levelname:7} {escaped(record.getMessage())} [{name}]"]
        if record.exc_info:
            traceback = self.formatException(record.exc_info)
            lines += [escaped(line) for line in traceback.split("\n")]
        return "\n".join(lines)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "at": at.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", LIBRARY),
            "message": record.getMessage(),
        }
        data: dict[str, Any] = getattr(record, "data", {"logger": record.name})
        line = line | data | line  # these first, and no data instead of them
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=plain).replace("\x7f", "\\u007f")


class _JournalFormatter(logging.Formatter):
    """Each line with its priority in front, which the journal takes off again."""

    def __init__(self, inner: logging.Formatter):
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        priority = f"<{PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(priority + line for line in self._inner.format(record).split("\n"))
