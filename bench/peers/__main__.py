"""`make bench-peers`: Holdfast and the field, in one run, with the same questions.

From the environment: PEERS=bullmq,beanstalkd these only (`holdfast` for none); RUNS=n rounds (3;
0: memory only); QUICK=1 tiny, to see that they work; BENCH_LOCK=FILE as `bench.quiet` says.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from bench.lab import Figures
from bench.machine import machine
from bench.peers import OURS, PEERS
from bench.peers.asking import QUICK, Sizes, ask_all, ask_memory
from bench.peers.installing import CannotInstall
from bench.peers.peer import Peer
from bench.processes import end_well_on_sigterm
from bench.quiet import Others, Turns
from bench.results import new_path, print_machine, save

Question: TypeAlias = Callable[[Peer, Path, Sizes], Figures]


def main() -> None:
    end_well_on_sigterm()
    names = [name for name in os.environ.get("PEERS", ",".join(PEERS)).split(",") if name]
    unknown = set(names) - {*PEERS, *OURS}
    if unknown:
        sys.exit(f"no such peer: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    sizes = QUICK if os.environ.get("QUICK") else Sizes()
    runs = int(os.environ.get("RUNS", "1" if sizes is QUICK else "3"))
    turns = Turns()
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir=Path.cwd()) as folder:
        directory = Path(folder)
        directory.chmod(0o755)  # a server that is not root must get to its own
        peers: dict[str, Peer] = {name: kind() for name, kind in OURS.items()}
        peers |= {name: PEERS[name]() for name in names if name in PEERS}
        found = {name: _described(peer) for name, peer in peers.items()}
        turns.take()
        where = machine(directory)
        print_machine(where)
        result = {"machine": where, "runs": runs, "quick": sizes is QUICK, "peers": found}
        path = new_path("peers")
        for name, question in _plan(list(peers), runs):
            turns.take()
            _ask_one(peers[name], question, directory, sizes, found[name])
            save(path, result)  # each time: it may be stopped, and has taken long
    turns.end()
    print(path)


def _plan(names: list[str], runs: int) -> list[tuple[str, Question]]:
    """In rounds: each has all of them once, so that what the machine's hour does to one it does to
    all; Holdfast is first in each and once more at the end. Memory is the server's: once will do
    for the two clients of Holdfast."""
    rounds: list[tuple[str, Question]] = [
        (name, ask_all) for name in names * runs + list(OURS) * bool(runs)
    ]
    return rounds + [(name, ask_memory) for name in names if name != "holdfast-python"]


def _ask_one(
    peer: Peer,
    question: Question,
    directory: Path,
    sizes: Sizes,
    found: dict[str, Any],
) -> None:
    """Whatever is wrong with one peer must not stop the others: it becomes the reason why its
    figures are missing, and it is asked nothing more."""
    if "reason" in found:
        return
    others = Others()
    try:
        figures = question(peer, directory, sizes)
    except Exception as error:
        found["reason"] = f"failed: {error}"
        print(f"{peer.title}: {found['reason']}", flush=True)
        return
    figures["cores used by others"] = others.cores()
    for figure, value in figures.items():
        found["figures"].setdefault(figure, []).append(round(value, 3))
    line = "  ".join(f"{figure} {value:,.1f}" for figure, value in figures.items())
    print(f"{peer.title}: {line}", flush=True)


def _described(peer: Peer) -> dict[str, Any]:
    described: dict[str, Any] = {
        "title": peer.title,
        "promise": peer.promise,
        "bulk": peer.bulk,
        "drain": peer.drain,
        "figures": {},
    }
    try:
        peer.install()
        described["version"] = peer.version()
    except CannotInstall as error:
        described["reason"] = f"not installed: {error}"
        print(f"{peer.title}: {described['reason']}", flush=True)
    return described


if __name__ == "__main__":
    main()
