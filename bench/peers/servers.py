"""Servers that more than one peer needs: Redis in its two ways of writing."""

from pathlib import Path
from typing import Final

from bench.peers import installing
from bench.peers.peer import Server, spare_port

EVERYSEC: Final = "everysec"
ALWAYS: Final = "always"
PROMISES: Final = {EVERYSEC: "loses up to 1 s", ALWAYS: "fsync"}


def install_redis() -> None:
    installing.debian("redis-server", "redis-server")


def redis_version() -> str:
    return installing.said_version("redis-server", "--version", r"v=([\d.]+)")


def start_redis(directory: Path, appendfsync: str) -> Server:
    """With its append-only file and no snapshots: the fastest that keeps anything."""
    port = spare_port()
    return Server(
        [
            installing.binary("redis-server"),
            *("--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)),
            *("--appendonly", "yes", "--appendfsync", appendfsync, "--save", ""),
        ],
        port,
        directory / "redis.log",
        installing.environment(),
    )
