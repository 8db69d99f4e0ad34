"""Completion, in the shell that it is for: Tab is pressed in a real bash."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast import Queue
from support.daemon import DaemonProcess
from support.terminal import Terminal

BIN = Path(sys.executable).parent
PROMPT = "ready> "
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


@pytest.fixture
def bash(tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(
        ["bash", "--norc", "--noprofile", "-i"],
        PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}",
        PS1=PROMPT,
        HOME=str(tmp_path),
        INPUTRC="/dev/null",
    )
    opened.read_until(PROMPT)
    yield opened
    opened.close()


def take_script(bash: Terminal, program: str) -> None:
    bash.press(f'eval "$({program} completion bash)" && echo "loaded $?"\n')
    bash.read_until("loaded 0")


@needs_bash
@pytest.mark.parametrize(
    ("program", "typed", "completed"),
    [
        ("holdfast", "holdfast prom", "holdfast promote "),
        ("holdfast", "holdfast add --atte", "holdfast add --attempts "),
        ("holdfastd", "holdfastd check", "holdfastd check-config "),
        ("holdfastd", "holdfastd config show --or", "holdfastd config show --origin "),
    ],
)
def test_tab_completes_commands_and_options(
    bash: Terminal, program: str, typed: str, completed: str
) -> None:
    take_script(bash, program)
    bash.press(f"{typed}\t")
    bash.read_until(completed)


@needs_bash
def test_tab_completes_the_names_of_queues(daemon: DaemonProcess, bash: Terminal) -> None:
    with Queue("image-processing", url=daemon.url) as queue:
        queue.add("n")
    take_script(bash, "holdfast")
    bash.press(f"export HOLDFAST_URL={daemon.url}\nholdfast pause ima\t")
    bash.read_until("pause image-processing ")


@pytest.mark.parametrize("program", ["holdfast", "holdfastd"])
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(program: str, shell: str) -> None:
    done = completion(program, shell)
    assert done.returncode == 0
    assert f"_{program.upper()}_COMPLETE={shell}_complete" in done.stdout
    if shutil.which(shell):
        checked = [shell, "-n", "/dev/stdin"] if shell != "fish" else ["fish", "--no-execute"]
        subprocess.run(checked, input=done.stdout, text=True, timeout=30, check=True)


@pytest.mark.parametrize("program", ["holdfast", "holdfastd"])
def test_another_shell_is_wrong_use(program: str) -> None:
    done = completion(program, "csh")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'csh' is not one of 'bash', 'zsh', 'fish'" in done.stderr


def completion(program: str, shell: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", program, "completion", shell]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
