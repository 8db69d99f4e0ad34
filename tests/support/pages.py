"""Doing what a page says, block by block, as a reader does: against a real daemon, in a new
directory, on free ports.

Places of an installed daemon stand for those of this run. A page that starts a daemon itself has
that one; else there is one with the configuration of the clone.
"""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Final, Self

from support.blocks import ROOT, Block, Command
from support.daemon import DaemonProcess, ReservedPort

PATIENCE_S: Final = 30.0
"""For one block, on a machine that has other work."""
END_S: Final = 15.0
ONE_PROGRAM: Final = Path(__file__).with_name("oneprogram.py")
LEFT_OUT: Final = {
    "docker": "there is no container engine",
    "systemctl": "systemd is not what runs here",
    "journalctl": "likewise",
    "sudo": "it would be root's",
    "pip": "it downloads",
    "make": "they are how this test is run; that they exist is another test",
    "fuser": "it is not on every machine",
}
"""Programs whose commands are not run, wherever they stand, and why."""
SHELLS: Final = ("console", "sh")
READING: Final = re.compile(r"holdfast (job|jobs|queues|counts|explain)\b|curl -s http|cat |ls ")
"""Commands that change nothing: they are asked again until they say what the page says, since
what they tell of may be under way."""


class Failed(AssertionError):
    """The page says something that is not so."""


class _Process:
    """One that is spoken to by lines, and is ended with all that it has begun."""

    def __init__(self, command: Sequence[str], directory: Path, environment: dict[str, str]):
        self._process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def tell(self, text: str) -> None:
        pipe = self._pipe("stdin")
        pipe.write(f"{text}\n".encode())
        pipe.flush()

    def answer(self, what: str) -> str:
        """The next line. Raises Failed if none comes."""
        pipe = self._pipe("stdout")
        ready, _, _ = select.select([pipe], [], [], PATIENCE_S)
        line = pipe.readline() if ready else b""
        if not line:
            raise Failed(f"{what}: no end of it within {PATIENCE_S:g} s, or it ended the shell")
        return line.decode()

    def _pipe(self, name: str) -> IO[bytes]:
        pipe: IO[bytes] | None = getattr(self._process, name)
        assert pipe is not None
        return pipe

    def end(self) -> None:
        self._end("")

    def _end(self, last_words: str) -> None:
        """SIGTERM for all of it. Raises Failed if some of it takes no notice."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with suppress(BrokenPipeError):
            self.tell(last_words)
        with suppress(BrokenPipeError):
            self._pipe("stdin").close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            raise Failed("what the page has started does not end with SIGTERM") from None
        finally:
            self._pipe("stdout").close()


class Terminal(_Process):
    """A bash, in which what one command sets is there for the next."""

    def __init__(self, directory: Path, environment: dict[str, str], output: Path):
        super().__init__(["bash", "--noprofile", "--norc"], directory, environment)
        self._output = output
        self.tell("trap : TERM")  # at the end it waits for what it has begun

    def run(self, command: str) -> tuple[int, str]:
        """Exit code and all it said. Output goes by a file: what is left running in the background
        may go on writing."""
        self.tell(f'{{ {command}\n}} > {self._output} 2>&1; echo "$?"')
        code = int(self.answer(f"$ {command}"))
        return code, self._output.read_text()

    def leave(self, command: str, until: str) -> None:
        """Let it run on. Raises Failed if it does not say that."""
        self.tell(f"{{ {command}\n}} > {self._output} 2>&1")
        deadline = time.monotonic() + PATIENCE_S
        while not (self._output.exists() and until in self._output.read_text()):
            if time.monotonic() > deadline:
                raise Failed(f"$ {command}\nnever said {until!r}:\n{self._output.read_text()}")
            time.sleep(0.02)  # it is another process: there is nothing to wait on but its words

    def end(self) -> None:
        self._end("wait; exit")


class Program(_Process):
    """The Python blocks of a page."""

    def __init__(self, directory: Path, environment: dict[str, str]):
        super().__init__([sys.executable, str(ONE_PROGRAM)], directory, environment)

    def run(self, block: Block, text: str) -> None:
        self.tell(json.dumps([block.page, block.line, text]))
        said = json.loads(self.answer(block.place))
        if said is not None:
            raise Failed(f"{block.place}:\n{said}")


class PageRun:
    """Attributes: count: of the commands and Python blocks that were run."""

    def __init__(self, blocks: list[Block], directory: Path):
        self.count = 0
        self._blocks = [block for block in blocks if "not run" not in block.notes]
        self._directory = directory / "here"
        self._directory.mkdir()
        self._outputs = directory
        self._stack = ExitStack()
        self._ports = {number: ReservedPort() for number in ("4653", "4654", "8000", "8025")}
        self._places: dict[str, str] = {}
        self._main: Terminal | None = None
        self._program: Program | None = None
        self._terminal_count = 0

    def __enter__(self) -> Self:
        tcp, http = self._ports["4653"].address, self._ports["4654"].address
        data = self._outputs / "data"
        if self._needs_a_daemon:
            daemon = DaemonProcess(data, "--config", str(ROOT / "config.toml"))
            self._stack.enter_context(daemon)
            tcp, http = daemon.address, daemon.http_address
        self._places = {
            "/opt/holdfast/bin/": "",
            "/etc/holdfast/config.toml": str(ROOT / "config.toml"),
            "/var/lib/holdfast": str(data),
            "/mnt/backup": str(self._outputs / "backup"),
            "127.0.0.1:4653": tcp,
            "127.0.0.1:4654": http,
            "127.0.0.1:8000": self._ports["8000"].address,
            "--port 8000": f"--port {self._ports['8000'].number}",
            "127.0.0.1:8025": self._ports["8025"].address,
        }
        kept = {name: text for name, text in os.environ.items() if not name.startswith("HOLDFAST_")}
        self._environment = {
            **kept,
            "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "HOLDFAST_URL": f"holdfast://{tcp}",
            "HOLDFAST_TCP_LISTEN": tcp,
            "HOLDFAST_HTTP_LISTEN": http,
        }
        if self._needs_a_daemon:
            self._environment["HOLDFAST_DATA_DIR"] = str(data)
        (self._outputs / "backup" / "holdfast").mkdir(parents=True)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @property
    def _needs_a_daemon(self) -> bool:
        """One that is said to be `holdfast`'s, and is not started by the page."""
        commands = [command.text for block in self._blocks for command in _to_run(block)]
        programs = [block.text for block in self._blocks if block.language == "python"]
        is_served = any("holdfastd serve" in text for text in commands)
        return not is_served and any("holdfast" in text for text in [*commands, *programs])

    def run(self) -> None:
        """Raises Failed at the first that is not as the page says."""
        for block in self._blocks:
            if "file" in block.notes:
                path = self._directory / block.notes["file"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(self._here(block.text))
            elif block.language == "python":
                self._run_python(block)
            elif block.language in SHELLS:
                self._run_console(block)

    def _run_python(self, block: Block) -> None:
        if self._program is None:
            self._program = Program(self._directory, self._environment)
            self._stack.callback(self._program.end)
        self._program.run(block, self._here(block.text))
        self.count += 1

    def _run_console(self, block: Block) -> None:
        commands = _to_run(block)
        if not commands:
            return
        if "stays" in block.notes:
            *before, last = commands
            terminal = self._new_terminal()
            for command in before:
                self._run_command(terminal, command, prints_otherwise=False)
            terminal.leave(self._here(last.text), block.notes["stays"])
            self.count += 1
            return
        if self._main is None:
            self._main = self._new_terminal()
        if "setup" in block.notes:
            code, output = self._main.run(self._here(block.notes["setup"]))
            if code:
                raise Failed(f"{block.place}: its setup ended with {code}:\n{output}")
        for command in commands:
            self._run_command(self._main, command, "prints otherwise" in block.notes)

    def _new_terminal(self) -> Terminal:
        self._terminal_count += 1
        output = self._outputs / f"terminal-{self._terminal_count}"
        terminal = Terminal(self._directory, self._environment, output)
        self._stack.callback(terminal.end)
        return terminal

    def _run_command(self, terminal: Terminal, command: Command, prints_otherwise: bool) -> None:
        text = self._here(command.text)
        found = re.search(r"# ends with (\d+)", text)
        expected = int(found[1]) if found else 0
        shown = [] if prints_otherwise else [self._here(line) for line in command.shown]
        deadline = time.monotonic() + PATIENCE_S
        while True:
            code, output = terminal.run(text)
            missing = lines_missing(shown, output)
            if code == expected and not missing:
                self.count += 1
                return
            if not READING.match(text) or time.monotonic() > deadline:
                break
            time.sleep(0.3)  # what it tells of is under way in another process
        raise Failed(
            f"{command.place}: $ {text}\nended with {code}, not {expected}; "
            f"lines that are not there: {missing}; it said:\n{output}"
        )

    def _here(self, text: str) -> str:
        for place, here in self._places.items():
            text = text.replace(place, here)
        return text


def _to_run(block: Block) -> list[Command]:
    if block.language not in SHELLS:
        return []
    return [
        command
        for command in block.commands
        if not command.is_of_root and command.program not in LEFT_OUT
    ]


def lines_missing(shown: list[str], output: str) -> list[str]:
    """Those that are not in the output, in that order. Numbers and the width of gaps may differ,
    and … stands for anything."""
    found = iter([_plain(line) for line in output.splitlines()])
    missing = []
    for line in shown:
        parts = map(re.escape, _plain(line).split("…"))
        pattern = re.compile(".*".join(parts))
        if line.strip() and not any(map(pattern.fullmatch, found)):
            missing.append(line)
    return missing


def _plain(line: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"\d[\d.,:]*", "0", line)).strip()


def run_page(blocks: list[Block], directory: Path) -> int:
    """Returns how much of it was run. Raises Failed."""
    with PageRun(blocks, directory) as run:
        run.run()
    return run.count


def is_run(blocks: list[Block]) -> bool:
    """Whether there is anything on the page to run."""
    return any(
        (block.language == "python" or _to_run(block)) and "not run" not in block.notes
        for block in blocks
    )
