"""What `make bench` asks of Holdfast, one file per question.

Each has a function `ask(lab)` that starts what it needs and returns figures by name.
"""

from collections.abc import Callable
from typing import Final

from bench.lab import Figures, Lab
from bench.questions import (
    backlog,
    backup,
    costs,
    cpu,
    dashboard,
    drain,
    end_to_end,
    enqueue,
    idle,
    importing,
    latency,
    python_client,
    queues,
    searching,
    watching,
)

QUESTIONS: Final[dict[str, Callable[[Lab], Figures]]] = {
    module.__name__.rpartition(".")[2]: module.ask
    for module in (
        enqueue,
        drain,
        end_to_end,
        latency,
        costs,
        queues,
        cpu,
        python_client,
        importing,
        idle,
        backlog,
        backup,
        dashboard,
        watching,
        searching,
    )
}
ASKED_ONCE: Final = frozenset({"idle", "backlog", "importing", "dashboard", "searching"})
"""They take long, or hold many measurements of their own."""
