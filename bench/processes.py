"""Load processes: each role (a producer, a worker) is a process of its own, as it is in life.

A load process prints `ready` when all that is not to be measured is done (imports, connections,
packing), starts when it reads a line, and prints one line of JSON in the end. Any program that does
so will do: those in other languages too.
"""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

ROOT: Final = Path(__file__).parents[1]
DEADLINE_S: Final = 300.0
"""For one word of a load process; one that hangs must not hang the whole evening. Arbitrary."""


class LoadFailed(Exception):
    """A load process ended without its word, or was too slow. Its text has what it said."""


class LoadProcess:
    """One role. Ended with the block, whatever happens."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        deadline_s: float = DEADLINE_S,
    ):
        self._command = list(command)
        self._deadline_s = deadline_s
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        self._errors: list[str] = []
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self) -> Self:
        while (line := self._line()) != "ready\n":
            if not line:
                self._failed("was never ready")
        return self

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def result(self) -> dict[str, Any]:
        """What it found. Raises LoadFailed."""
        while not (line := self._line()).startswith("{"):
            if not line:
                self._failed("gave no result")
        found: dict[str, Any] = json.loads(line)
        return found

    def _line(self) -> str:
        assert self._process.stdout is not None
        timer = threading.Timer(self._deadline_s, self._process.kill)
        timer.start()
        try:
            return self._process.stdout.readline()
        finally:
            timer.cancel()

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._errors.append(line)
            del self._errors[:-50]

    def _failed(self, how: str) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(5)
        raise LoadFailed(f"{' '.join(self._command)} {how}:\n{''.join(self._errors)}")

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._reader.join()
        with self._process:  # closes the pipes
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def end_well_on_sigterm() -> None:
    """As with Ctrl-C: what was started is ended, what was made for the run is removed."""

    def leave(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)


def role(name: str, **spec: Any) -> LoadProcess:
    """One of `bench.roles`."""
    return _role("bench.roles", name, spec)


def python_role(name: str, **spec: Any) -> LoadProcess:
    """One of `bench.python_roles`."""
    return _role("bench.python_roles", name, spec)


def _role(module: str, name: str, spec: dict[str, Any]) -> LoadProcess:
    return LoadProcess([sys.executable, "-m", module, name, json.dumps(spec)])


def run_together(*loads: LoadProcess) -> list[dict[str, Any]]:
    """Start all at once when all are ready; their results in the same order."""
    try:
        for load in loads:
            load.wait_ready()
        for load in loads:
            load.go()
        return [load.result() for load in loads]
    finally:
        for load in loads:
            load.close()
