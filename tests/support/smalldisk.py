"""A daemon whose directory is a small tmpfs that tests can fill, over restarts of the daemon.

The tmpfs lives in a mount namespace of its own, held open by a process that does nothing else. It
needs no rights beyond user namespaces; `can_mount` says if they are there.
"""

import subprocess
from pathlib import Path

from support.daemon import DaemonProcess


def can_mount() -> bool:
    mount = ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


class SmallDisk(DaemonProcess):
    def __init__(self, directory: Path, mebibytes: int, *arguments: str):
        directory.mkdir()
        super().__init__(directory, *arguments)
        mount = f"mount -t tmpfs -o size={mebibytes}m tmpfs '{directory}'"
        self._holder = subprocess.Popen(
            ["unshare", "-Urm", "sh", "-c", f"{mount} && echo mounted && exec sleep infinity"],
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"mounted\n"

    def command(self) -> list[str]:
        return [*self.enter, *super().command()]

    @property
    def enter(self) -> list[str]:
        """In front of a command, it runs where the disk is."""
        return ["nsenter", "-t", str(self._holder.pid), "-U", "-m", "--preserve-credentials"]

    @property
    def seen_from_here(self) -> Path:
        """The directory with the disk, for those who have not entered."""
        return Path(f"/proc/{self._holder.pid}/root{self.directory}")

    @property
    def _ballast(self) -> Path:
        return self.seen_from_here / "ballast"

    def fill(self) -> None:
        """Leave not one block."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    pass  # full

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        self._holder.kill()
        self._holder.communicate()
