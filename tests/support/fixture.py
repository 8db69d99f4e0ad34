"""A database as a daemon leaves it behind: jobs in every state that a command leads to.

One of every released schema is kept in tests/fixtures, and today's daemon must serve it. When a
migration is added, make the next one (before the release, with the code that is released):

    cd tests && ../.venv/bin/python -m support.fixture

It never overwrites: a fixture of a released schema stays as it is.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from holdfast.packing import pack
from holdfastd.engine import commands
from holdfastd.engine.model import Backoff, JobOptions, Keep, NewJob, QueueSettings, Rate, Retention
from holdfastd.engine.recurrence import Cron
from holdfastd.engine.schedules import Missed, ScheduleSpec
from holdfastd.store.files import DATABASE_NAME
from holdfastd.store.schema import SCHEMA_VERSION
from support.engine import START_MS, P, V, W
from support.sqlite_driver import SqliteDriver

FOLDER: Final = Path(__file__).parents[1] / "fixtures"
FAR_MS: Final = 4_102_444_800_000
"""The year 2100."""
HOUR_MS: Final = 3_600_000
TAGGED: Final = JobOptions(tags=("eu", "vip"))
SCHEDULE: Final = ScheduleSpec(
    "archive",
    "leap-day",
    Cron("0 0 29 2 *", "Europe/Berlin"),
    "send",
    pack({"id": "leap-day"}),
    options=TAGGED,
    missed=Missed.SKIP,
)
KEEP_ALL: Final = Keep(None, None)
"""Else today's daemon would at once remove what was finished in the fixture's year."""
SETTINGS: Final = QueueSettings(
    concurrency=5,
    rate=Rate(1_000, 60_000, 100),
    retention=Retention(KEEP_ALL, KEEP_ALL, KEEP_ALL),
)


def path_of(schema: int) -> Path:
    return FOLDER / f"schema-{schema}.db"


def data_of(id: str) -> dict[str, Any]:
    return {"id": id, "to": "someone@example.org", "text": "Grüße"}


def _job(id: str, **fields: Any) -> NewJob:
    return NewJob(id, False, "send", pack(data_of(id)), **fields)


class _Maker:
    """The jobs that are made, by id: done, broken, crashed, retrying, running, given-back, first,
    second, last, due, tomorrow in the queue mail; kept in the paused queue archive."""

    def __init__(self, directory: Path):
        self.driver = SqliteDriver(directory)
        self.driver.attach(P, "producer-session")
        self.driver.attach(W, "worker-session", worker="worker-1")

    def make(self) -> None:
        self.driver.ask(P, commands.Configure("mail", SETTINGS))
        self._finished()
        self._retrying()
        self._running()
        self._waiting()
        self._paused()
        self._scheduled()

    def _add(self, *jobs: NewJob, queue: str = "mail") -> None:
        self.driver.ask(P, commands.Enqueue(queue, list(enumerate(jobs)), []))

    def _lease(self, job: NewJob, connection: int = W) -> Any:
        """Nothing else is waiting."""
        self.driver.subscribe(connection, "mail", credit=1)
        self._add(job)
        (item,) = self.driver.take(connection)
        return item

    def _tell(self, item: Any, progress: int, *lines: str) -> None:
        said = [(self.driver.now_ms, line) for line in lines]
        self.driver.ask(W, commands.Heartbeat([commands.Report(item[0], pack(progress), said)]))

    def _ends(self, item: Any, error: str, retry_ms: int | None) -> None:
        held = commands.Held(item[0], item[1], item[2])
        what = commands.AttemptError("OSError", error, "Traceback (most recent call last): …")
        self.driver.ask(W, commands.Fail([(held, what, retry_ms)], 0))

    def _finished(self) -> None:
        done = self._lease(_job("done"))
        self._tell(done, 100, "connected", "sent")
        held = commands.Held(done[0], done[1], done[2])
        self.driver.ask(W, commands.Ack([(held, pack({"ok": True}))], 0))
        self._ends(self._lease(_job("broken")), "mailbox unknown", -1)
        self.driver.attach(V, "lost-session", worker="worker-2")
        self._lease(_job("crashed", options=JobOptions(max_crashes=1)), V)
        self.driver.detach(V)
        self.driver.pass_time(60)  # beyond its grace

    def _retrying(self) -> None:
        self.driver.attach(W, "worker-session", worker="worker-1")
        options = JobOptions(attempts=3, backoff=Backoff(delays_ms=(HOUR_MS,)))
        self._ends(self._lease(_job("retrying", options=options)), "try later", None)

    def _running(self) -> None:
        self._tell(self._lease(_job("running")), 50, "half way")
        item = self._lease(_job("given-back"))
        self.driver.release(W, item)

    def _waiting(self) -> None:
        self._add(
            _job("last", priority=9), _job("second", options=TAGGED), _job("first", priority=-5)
        )
        self._add(_job("due", run_at_ms=START_MS + HOUR_MS), _job("tomorrow", run_at_ms=FAR_MS))

    def _scheduled(self) -> None:
        """Since schema 4; long overdue whenever it is read, and to be left out."""
        self.driver.ask(P, commands.PutSchedule(SCHEDULE))

    def _paused(self) -> None:
        self._add(_job("kept"), queue="archive")
        self.driver.ask(P, commands.Pause("archive"))


def make(directory: Path, *, is_clean: bool = True) -> Path:
    """Returns the database. is_clean: the daemon was stopped, not killed."""
    maker = _Maker(directory)
    maker.make()
    if is_clean:
        maker.driver.close()
    else:
        maker.driver.abandon()
    return directory / DATABASE_NAME


def main() -> None:
    path = path_of(SCHEMA_VERSION)
    if path.exists():
        sys.exit(f"{path} is there already, and is not made anew")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(make(Path(folder)), path)


if __name__ == "__main__":
    main()
