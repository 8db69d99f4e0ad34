"""Procrastinate on PostgreSQL with its defaults for durability: fsync and synchronous_commit."""

import os
import shutil
import subprocess
from pathlib import Path

from bench.peers import installing
from bench.peers.peer import Server, spare_port
from bench.peers.python_peer import PythonPeer


class Procrastinate(PythonPeer):
    title = "Procrastinate on PostgreSQL"
    promise = "fsync"
    bulk = "batch_defer, 100 per call"
    drain = "concurrency 20"
    name = "procrastinate"
    requirements = ("procrastinate", "psycopg[binary,pool]")

    def install(self) -> None:
        if not _programs():
            installing.debian("postgresql", "/usr/lib/postgresql/15/bin/initdb")
        if not _programs():
            raise installing.CannotInstall("there is no PostgreSQL")
        super().install()

    def version(self) -> str:
        postgres = installing.said_version(f"{_programs()}/postgres", "--version", r"([\d.]+)")
        return f"{super().version()}, PostgreSQL {postgres}"

    def start(self, directory: Path) -> None:
        """PostgreSQL refuses to be root: then it is the user that its package makes, or nobody."""
        user = _user()
        data = directory / "data"
        data.mkdir()
        if user is not None:
            shutil.chown(data, user)
            shutil.chown(directory, user)
        environment = {**os.environ, "LC_ALL": "C"}
        subprocess.run(
            [_programs() + "/initdb", "-D", str(data), "-A", "trust", "-U", "bench", "-E", "UTF8"],
            user=user, env=environment, cwd=directory, capture_output=True, check=True,
        )  # fmt: skip
        port = spare_port()
        self.server = Server(
            [
                *(_programs() + "/postgres", "-D", str(data), "-p", str(port)),
                *("-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={directory}"),
                *("-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB"),
            ],
            port,
            directory / "postgres.log",
            environment,
            user,
        )
        schema = self._program("schema", "none")
        subprocess.run(
            schema.arguments, env={**os.environ, **schema.environment}, check=True, timeout=60
        )

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"postgresql://bench@127.0.0.1:{self.server.port}/postgres"


def _programs() -> str:
    """The folder of the newest one that is installed; "" for none."""
    unpacked = installing.PEERS_DIR / "debian" / "usr/lib/postgresql"
    found = [
        path
        for root in (Path("/usr/lib/postgresql"), unpacked)
        for path in root.glob("*/bin")
        if (path / "initdb").exists()
    ]
    return str(max(found, default="", key=lambda path: int(path.parent.name)))


def _user() -> str | None:
    if os.geteuid() != 0:
        return None
    names = [line.partition(":")[0] for line in Path("/etc/passwd").read_text().splitlines()]
    return "postgres" if "postgres" in names else "nobody"
