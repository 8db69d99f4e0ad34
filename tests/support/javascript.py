"""The example in JavaScript (examples/protocol-js), installed and run.

Where node or npm is missing, or npm cannot fetch the one dependency, the tests that need them are
left out and say so; HOLDFAST_NEEDS=node (our CI sets it) makes that an error.
"""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from support.needs import need

ROOT: Final = Path(__file__).parents[2]
EXAMPLE: Final = ROOT / "examples" / "protocol-js"
PROGRAMS: Final = Path(__file__).with_name("protocol_js")
"""What the tests run: it drives the example's producer and worker."""
NODE: Final = shutil.which("node")
NPM: Final = shutil.which("npm")
PATIENCE_S: Final = 20.0

KINDS: Final[dict[str, Any]] = {
    "nil": None,
    "truth": [True, False],
    "whole": [
        0,
        -1,
        127,
        128,
        -32,
        -33,
        65536,
        2**32 - 1,
        2**32,
        -(2**31),
        -(2**31) - 1,
        2**53 - 1,
    ],
    "big": [2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1],
    "broken": [0.5, -1.25, 1e300, 5e-324, float("inf")],
    "text": ["", "plain", "Grüße, 世界 🐘 \0", "long " * 20_000],
    "bytes": [b"", b"\x00\xff\xc1", bytes(70_000)],
    "nested": [{"a": {"b": {"c": [[], {}, [[["deep"]]]]}}}],
}
"""Data of every kind; protocol_js/kinds.mjs has the same values. No float is whole: JavaScript
makes no difference between 2.0 and 2."""


def install(directory: Path) -> Path:
    """Put the example, its dependency and the tests' programs there."""
    need("node", NODE is not None and NPM is not None, "node and npm are not in the PATH")
    shutil.copytree(EXAMPLE, directory, ignore=shutil.ignore_patterns("node_modules"))
    shutil.copytree(PROGRAMS, directory, dirs_exist_ok=True)
    done = subprocess.run(
        [NPM or "", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    need("node", done.returncode == 0, f"npm cannot install the dependency: {done.stderr}")
    return directory


def altered(installed: Path, directory: Path, file: str, changes: dict[str, str]) -> Path:
    """A copy in which a rule of the client is broken."""
    shutil.copytree(installed, directory, symlinks=True)
    text = (directory / file).read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, f"{file} no longer says {old!r}"
        text = text.replace(old, new)
    (directory / file).write_text(text)
    return directory


class Program:
    """A program of the tests, that is spoken with in lines of JSON.

    Attributes:
        lines: all that it has said. errors: its standard error, once it has ended.
    """

    def __init__(self, installed: Path, file: str, *arguments: str):
        self.lines: list[dict[str, Any]] = []
        self.errors = ""
        self._command = [NODE or "", str(installed / file), *arguments]
        self._process: asyncio.subprocess.Process | None = None
        self._calls = 0

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, stderr=pipe
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.end()

    async def end(self) -> int:
        """Wait until it ends by itself, at the end of its input; returns the exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        async with asyncio.timeout(PATIENCE_S):
            said, errors = await self.process.communicate()
        self.lines += [json.loads(line) for line in said.splitlines()]
        self.errors += errors.decode()
        return await self.process.wait()

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())

    async def says(self, **wanted: Any) -> dict[str, Any]:
        """The first line that has these, of those that are there and those to come."""
        return (await self.says_times(1, **wanted))[0]

    async def says_times(self, count: int, **wanted: Any) -> list[dict[str, Any]]:
        """Wait for so many lines that have these."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = [line for line in self.lines if wanted.items() <= line.items()]
                if len(found) >= count:
                    return found
                self.lines.append(json.loads(await self._line()))

    async def _line(self) -> bytes:
        assert self.process.stdout is not None
        if line := await self.process.stdout.readline():
            return line
        assert self.process.stderr is not None
        raise AssertionError(f"it has ended: {(await self.process.stderr.read()).decode()}")

    def call(self, method: str, *arguments: Any) -> int:
        """Of producing.mjs: call a method of its Producer; returns the number of the call."""
        self._calls += 1
        self.tell(json.dumps({"call": self._calls, "method": method, "args": arguments}))
        return self._calls

    async def answer(self, call: int) -> dict[str, Any]:
        return await self.says(call=call)


async def run(installed: Path, file: str, *arguments: str) -> str:
    """Run a program to its end; what it said. Raises AssertionError with its errors."""
    process = await asyncio.create_subprocess_exec(
        NODE or "",
        str(installed / file),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        said, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return said.decode().strip()
