"""Log lines on stderr: for a console, or a JSON object each. Names and numbers, never data."""

import json
import logging
import sys
from typing import Any


def set_up(level: str, style: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if style == "json" else _ConsoleFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # The HTTP server's own news ("Shutting down") are none beside the daemon's.
    logging.getLogger("uvicorn").setLevel(max(root.level, logging.WARNING))


def event(logger: logging.Logger, level: int, name: str, text: str, **data: Any) -> None:
    """One event: a stable name for programs, a sentence for people, and data."""
    logger.log(level, text, extra={"event": name, "data": data})


class _ConsoleFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": self.formatTime(record),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", record.name),
            "message": record.getMessage(),
            **getattr(record, "data", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
