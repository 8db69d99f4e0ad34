"""What a Dockerfile says, and a container made of it without an engine.

The container has a root file system of its own, read-only: an empty one with the paths that the
last stage of the Dockerfile makes, and, for what its base brings, this machine's /usr and Python.
Where the image has a fresh virtual environment there is the one that runs the tests. It has its own
network and process numbers, the image's user, environment, entry point, volume and health check.

It needs no rights beyond user namespaces; `can_contain` says if they are there.
"""

import json
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Self

import psutil

ROOT: Final = Path(__file__).parents[2]
DOCKER: Final = ROOT / "deploy" / "docker"
SYSTEM_PATH: Final = "/usr/local/bin:/usr/bin:/bin"


class Instruction(NamedTuple):
    name: str
    text: str
    """What follows the name, on one line."""


def stages(dockerfile: str) -> list[list[Instruction]]:
    """Each begins with its FROM."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", dockerfile, flags=re.MULTILINE))
    found: list[list[Instruction]] = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        name, _, text = line.partition(" ")
        if name.upper() == "FROM":
            found.append([])
        found[-1].append(Instruction(name.upper(), text.strip()))
    return found


@dataclass(frozen=True)
class Image:
    """What is in force of the last stage."""

    user: str
    workdir: str
    volume: str
    environment: dict[str, str]
    entrypoint: list[str]
    command: list[str]
    healthcheck: list[str]
    copies: list[tuple[str, str]]
    """From where in the repository, and to where. Not what comes from another stage."""

    @classmethod
    def of(cls, dockerfile: str) -> Self:
        last = stages(dockerfile)[-1]
        said = dict(last)
        environment = dict(
            word.split("=", 1) for name, text in last if name == "ENV" for word in shlex.split(text)
        )
        return cls(
            said["USER"],
            said["WORKDIR"],
            said["VOLUME"],
            environment,
            json.loads(said["ENTRYPOINT"]),
            json.loads(said["CMD"]),
            json.loads(said["HEALTHCHECK"].partition(" CMD ")[2]),
            [_two(text) for name, text in last if name == "COPY" and "--from" not in text],
        )


def _two(text: str) -> tuple[str, str]:
    source, target = text.split()
    return source, target


def can_contain() -> bool:
    command = ["unshare", "-Urmn", "unshare", "-Up", "--fork", "--map-user=1", "--map-group=1"]
    try:
        return subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


_MAKE_ROOT: Final = """
set -e
root=$1; volume=$2; data=$3; copies=$4; python=$5; repository=$6; base=$7
mount -t tmpfs tmpfs "$root"
read_only() {
  if [ -L "$1" ]; then cp -P "$1" "$root$2"; return; fi
  mkdir -p "$root$2"; mount --bind "$1" "$root$2"; mount -o remount,bind,ro "$root$2"
}
for path in /usr /lib /lib64 /bin "$base" "$repository"; do
  if [ -e "$path" ]; then read_only "$path" "$path"; fi
done
read_only "$python" /opt/holdfast
for path in /proc /dev; do mkdir -p "$root$path"; mount --rbind "$path" "$root$path"; done
cp -r "$copies"/. "$root"
mkdir -p "$root$volume"; mount --bind "$data" "$root$volume"
mount -o remount,ro "$root"
"$python/bin/python" -c "$8"
echo made
exec sleep infinity
"""
_LOOPBACK_UP: Final = """
import fcntl, socket, struct
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH", b"lo", IFF_UP))
"""


class Container:
    """One at a time runs the image's command; others can be run beside it.

    Attributes:
        image: what it is made of. data: the volume, as seen from here.
    """

    def __init__(self, image: Image, directory: Path):
        """directory: made, and used for its parts."""
        self.image = image
        self.data = directory / "volume"
        self._root = directory / "root"
        copies = directory / "copies"
        for path in (self.data, self._root, copies):
            path.mkdir(parents=True)
        for source, target in image.copies:
            place = copies / target.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes((ROOT / source).read_bytes())
        places = [self._root, image.volume, self.data, copies, sys.prefix, ROOT, sys.base_prefix]
        words = ["sh", "-c", _MAKE_ROOT, "sh", *map(str, places), _LOOPBACK_UP]
        self._holder = subprocess.Popen(["unshare", "-Urmn", *words], stdout=subprocess.PIPE)
        self._main: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"made\n"
        return self

    def __exit__(self, *exc: object) -> None:
        if self._main is not None and self._main.poll() is None:
            self._main.kill()  # and with it, by --kill-child, the command
            self._main.communicate()
        self._holder.kill()
        self._holder.communicate()

    def _inside(self, arguments: list[str], environment: dict[str, str]) -> list[str]:
        """A command that runs these words as the image says."""
        user, _, group = self.image.user.partition(":")
        variables = {"PATH": SYSTEM_PATH, **self.image.environment, **environment}
        variables["PATH"] = variables["PATH"].replace("$PATH", SYSTEM_PATH)
        return [
            *("nsenter", "-t", str(self._holder.pid), "-U", "-m", "-n", "--preserve-credentials"),
            *("unshare", "-U", f"--map-user={user}", f"--map-group={group or user}"),
            *("-p", "--fork", "--kill-child"),
            *(f"--root={self._root}", f"--wd={self.image.workdir}"),
            *("env", "-i", *(f"{name}={value}" for name, value in variables.items())),
            *arguments,
        ]

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """As `docker exec`: words with their own program."""
        return subprocess.run(
            self._inside(list(arguments), environment),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def once(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """As `docker run --rm IMAGE` with these words in place of the command, if there are any."""
        words = [*self.image.entrypoint, *(arguments or self.image.command)]
        return self.run(*words, **environment)

    def start(self, **environment: str) -> Self:
        """As `docker run -d`. Raises RuntimeError if it does not become ready."""
        words = [*self.image.entrypoint, *self.image.command]
        self._main = subprocess.Popen(
            self._inside(words, environment), stderr=subprocess.PIPE, text=True
        )
        assert self._main.stderr is not None
        said = []
        for line in self._main.stderr:
            said.append(line)
            if "READY" in line:
                return self
        raise RuntimeError("".join(said))

    def send(self, number: signal.Signals) -> None:
        """To the container's first process."""
        assert self._main is not None
        (first,) = psutil.Process(self._main.pid).children()
        first.send_signal(number)

    def stop(self) -> int:
        """As `docker stop`; the exit code."""
        assert self._main is not None
        self.send(signal.SIGTERM)
        self._main.communicate(timeout=15)
        return self._main.returncode

    def is_healthy(self, **environment: str) -> bool:
        """By the image's health check."""
        return self.run(*self.image.healthcheck, **environment).returncode == 0
