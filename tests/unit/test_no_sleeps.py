"""No test sleeps for a result: that is too short on a slow machine, and too long on every other.

What is waited for ends the wait: an event, or, where it is in another process, a look now and then
in a loop that it ends (pytest's timeout is the deadline of all of them). A wait that only the clock
ends stands here with its reason, or fails.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parents[1]

LOAD: Final = "a handler that takes time, or a load that has a pace"
FAULT: Final = "how long a fault lasts, or when it strikes"
NOTHING: Final = "nothing is to happen meanwhile, which cannot be waited for"

ALLOWED: Final[dict[str, dict[str, str]]] = {
    "browser/test_jobs.py": {
        "test_what_was_begun_by_mistake_is_undone_and_nothing_has_happened": NOTHING,
    },
    "browser/test_live.py": {"_stands_still": NOTHING},
    "crash/test_backup.py": {
        "test_a_killed_backup_is_not_there_and_the_next_one_clears_up": FAULT,
    },
    "crash/test_clock_jumps.py": {
        "jump_often": FAULT,
        "test_a_machine_that_slept_takes_no_lease": FAULT,
    },
    "crash/test_schedules.py": dict.fromkeys(
        (
            "kill_around_due_instants",
            "test_a_daemon_that_writes_job_and_schedule_apart_is_found_out",
        ),
        FAULT,
    ),
    "crash/test_stall.py": {
        "test_a_daemon_that_was_stopped_for_longer_than_a_lease_takes_none_away": FAULT,
    },
    "integration/test_api_events.py": {
        "test_streams_and_waits_end_when_the_daemon_stops": (
            "that a request waits in another process is not to be seen; one that does not yet is "
            "refused, and passes too"
        ),
    },
    "integration/test_deploy.py": {"_handle": LOAD},
    "integration/test_http_bounds.py": {
        "test_one_who_has_asked_keeps_the_connection_for_the_next": NOTHING,
        "test_who_sends_his_body_in_time_has_his_answer": NOTHING,
    },
    "integration/test_overseeing.py": {"handle": LOAD},
    "integration/test_worker.py": {"blocking": LOAD},
    "support/crowd.py": {"callers_open": LOAD, "calls": LOAD},
    "support/sabotaged_daemon.py": {"apply_late": FAULT},
    "support/shop.py": dict.fromkeys(
        (
            "call_webhook",
            "keep_adding",
            "monthly_report",
            "resize",
            "send_mail",
            "thumbnail",
            "transcode",
        ),
        LOAD,
    ),
    "support/torture.py": dict.fromkeys(
        (
            "_disk_full",
            "_half_open",
            "_kill_daemon",
            "_kill_in_recovery",
            "_lose_replies",
            "_pause_daemon",
            "_pause_worker",
            "run",
        ),
        FAULT,
    )
    | {"_drain": "another worker's notes are on their way through its files"},
    "support/torture_backups.py": {"kill": FAULT, "make_while_the_daemon_dies": FAULT},
    "support/torture_worker.py": {"blocks": LOAD, "slow": LOAD},
    "unit/server/test_live.py": {"test_nothing_is_made_when_nobody_watches_any_more": NOTHING},
    "unit/server/test_sqlite.py": {"noted": "how long a disk takes"},
}
IN_VIRTUAL_TIME: Final = "support/simulation/"
"""There a second costs nothing, and is over when all that comes before it has happened."""


def waits_of_the_clock(source: str) -> Iterator[str]:
    """The functions of a module with a wait that nothing but the clock ends."""
    return _waits(ast.parse(source), "", is_polling=False)


def _waits(node: ast.AST, function: str, is_polling: bool) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _waits(child, child.name, is_polling=False)
            continue
        if isinstance(child, ast.Call) and _is_sleep(child) and not is_polling:
            yield function
        yield from _waits(child, function, is_polling or _is_poll(child))


def _is_sleep(call: ast.Call) -> bool:
    """`sleep(0)` gives others their turn: that is no time."""
    name = ast.unparse(call.func).rpartition(".")[2]
    takes_time = bool(call.args) and ast.unparse(call.args[0]) != "0"
    return name in ("sleep", "wait_for_timeout") and takes_time


def _is_poll(node: ast.AST) -> bool:
    """A loop that ends when what it looks for is there."""
    if isinstance(node, ast.While):
        return True
    is_for = isinstance(node, ast.For | ast.AsyncFor)
    return is_for and any(isinstance(each, ast.Return | ast.Break) for each in ast.walk(node))


FILES: Final = sorted(path.relative_to(TESTS).as_posix() for path in TESTS.rglob("*.py"))


@pytest.mark.parametrize("file", FILES)
def test_no_test_waits_for_the_clock_without_a_reason(file: str) -> None:
    if not file.startswith(IN_VIRTUAL_TIME):
        found = set(waits_of_the_clock((TESTS / file).read_text()))
        assert found == set(ALLOWED.get(file, ())), "wait for what happens, or give the reason"


def test_every_reason_is_of_a_file_that_is_there() -> None:
    assert not ALLOWED.keys() - set(FILES)


@pytest.mark.parametrize(
    ("body", "is_found"),
    [
        ("await asyncio.sleep(0.1)", True),
        ("for _ in range(3):\n  time.sleep(1)", True),
        ("page.wait_for_timeout(20)", True),
        ("from time import sleep\n sleep(x)", True),
        ("while not is_there():\n  time.sleep(0.1)", False),
        ("for _ in range(9):\n  if is_there(): return\n  time.sleep(0.1)", False),
        ("await asyncio.sleep(0)", False),
        ("while x:\n  def inner(): time.sleep(1)", True),
    ],
)
def test_a_wait_is_found_and_a_look_now_and_then_is_none(body: str, is_found: bool) -> None:
    assert bool(list(waits_of_the_clock(f"async def test():\n {body}"))) is is_found
