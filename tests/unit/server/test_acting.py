"""Actions on jobs: only on what was seen, some hundred at a time, undone before they begin."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from holdfast.wire.checks import Refusal
from holdfastd.access.door import Door
from holdfastd.access.rights import ANYBODY
from holdfastd.audit import AuditLog
from holdfastd.clock import SystemClock
from holdfastd.engine import commands
from holdfastd.engine.model import State
from holdfastd.engine.partition import EngineSettings
from holdfastd.inside import Inside
from holdfastd.observed import Observed
from holdfastd.pipeline import Pipeline
from holdfastd.search.finder import Finder
from holdfastd.search.found import Found, FoundJob, SearchBusy
from holdfastd.search.query import Query, parse
from holdfastd.web.acting import acting
from holdfastd.web.acting.acting import RUNNING_MAX, STEP_JOBS, Acting, Jobs, Matching
from holdfastd.web.acting.notes import Notes
from holdfastd.web.guard import Guard
from holdfastd.web.safe.sessions import Sessions
from support.engine import new_job
from unit.server.test_pipeline import GatedStore, StillClock


class Pages(Finder):
    """Finds the jobs of the queue "q" that are there, page by page, whatever it is asked.

    Attributes:
        on_page: called when a page was read, before it is answered.
    """

    def __init__(self, store: GatedStore):
        super().__init__(Path())
        self._store = store
        self.on_page: Callable[[int], Any] = lambda number: None
        self.asked = 0

    async def page(
        self,
        query: Query,
        allows: Iterable[str] | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Found:
        start = int(after or 0)
        rows = sorted(self._store.disk.jobs.values(), key=lambda row: row.seq)
        some = [FoundJob("q", row, "", "") for row in rows if row.seq > start][:limit]
        self.asked += 1
        answer = self.on_page(self.asked)
        if asyncio.iscoroutine(answer):
            await answer
        following = str(some[-1].row.seq) if len(some) == limit else None
        return Found(some, following, False, len(some))


class Office:
    def __init__(self, folder: Path):
        self.store = GatedStore()
        self.pipeline = Pipeline(
            self.store, StillClock(), EngineSettings(), random.Random(1), Observed()
        )
        self.inside = Inside(self.pipeline)
        self.finder = Pages(self.store)
        clock = SystemClock()
        door = Door(folder / "keys.json", clock, is_http_key_required=False)
        self.audit = AuditLog(folder / "audit.log")
        ids = count(1)
        self.acting = Acting(
            self.pipeline.engine,
            self.inside,
            self.finder,
            Guard(door, Sessions(clock)),
            lambda identity, text: parse(text, 0),
            Notes(lambda: self.audit, lambda: 0),
            lambda: 0,
            lambda: str(next(ids)),
        )

    async def add(self, jobs: int) -> list[str]:
        ids = [f"j{number}" for number in range(jobs)]
        items = [(at, new_job(id)) for at, id in enumerate(ids)]
        await self.inside.call(commands.Enqueue("q", items, []))
        return ids

    def counts(self) -> dict[State, int]:
        counts = self.pipeline.engine.queues["q"].counts
        return {state: counts[state] for state in State if counts[state]}

    async def ended(self, id: str) -> dict[str, Any]:
        async with asyncio.timeout(10):
            while True:
                action = self.acting.one(ANYBODY, id)
                assert action is not None
                if action["ended_at_ms"] is not None:
                    return action
                await asyncio.sleep(0.005)  # it runs in the same loop

    def audited(self, id: str) -> list[str]:
        assert self.audit.path is not None
        lines = map(json.loads, self.audit.path.read_text().splitlines())
        return [line["result"] for line in lines if line["action"] == id]


@pytest_asyncio.fixture
async def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Office]:
    monkeypatch.setattr(acting, "UNDO_S", 0.01)
    office = Office(tmp_path)
    await office.pipeline.open()
    running = asyncio.create_task(office.pipeline.run())
    yield office
    await office.acting.close()
    office.inside.close()
    await office.pipeline.close()
    await running
    office.audit.close()


async def test_only_jobs_in_the_state_that_was_seen_are_touched(office: Office) -> None:
    await office.add(3)
    await office.inside.call(commands.Cancel("q", ["j1"], None))
    refs = Jobs([("q", id, "waiting") for id in ("j0", "j1", "j2", "gone")])
    action = await office.acting.act(ANYBODY, "delete", refs, {})
    assert (action["found"], action["done"], action["skipped"]) == (4, 2, 2)
    assert office.counts() == {State.CANCELLED: 1}
    assert office.audited(action["id"]) == ["began", "done"]


async def test_many_are_touched_some_at_a_time(office: Office) -> None:
    ids = await office.add(2 * STEP_JOBS + 1)
    await office.pipeline.flush()
    office.store.batches.clear()
    refs = Jobs([("q", id, "waiting") for id in ids])
    action = await office.acting.act(ANYBODY, "cancel", refs, {})
    assert action["done"] == len(ids)
    changed = [len(batch.rewritten) + len(batch.moved) for batch in office.store.batches]
    assert [each for each in changed if each] == [STEP_JOBS, STEP_JOBS, 1]


async def test_all_that_match_are_touched_in_the_background(office: Office) -> None:
    await office.add(STEP_JOBS + 10)
    action = await office.acting.act(ANYBODY, "cancel", Matching("", 510), {})
    assert action["state"] == "pending"
    assert office.counts() == {State.WAITING: STEP_JOBS + 10}
    ended = await office.ended(action["id"])
    assert (ended["state"], ended["done"], ended["skipped"]) == ("done", STEP_JOBS + 10, 0)
    assert office.counts() == {State.CANCELLED: STEP_JOBS + 10}
    assert office.audited(action["id"]) == ["began", "done"]


async def test_who_moves_on_between_look_and_touch_is_counted(office: Office) -> None:
    await office.add(3)
    move_on = commands.Cancel("q", ["j1"], None)
    office.finder.on_page = lambda number: office.inside.call(move_on)
    action = await office.acting.act(ANYBODY, "delete", Matching("", 3), {})
    ended = await office.ended(action["id"])
    assert (ended["done"], ended["skipped"]) == (2, 1)
    assert office.counts() == {State.CANCELLED: 1}


async def test_what_is_undone_in_time_has_never_begun(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "UNDO_S", 60.0)
    await office.add(3)
    action = await office.acting.act(ANYBODY, "delete", Matching("", 3), {})
    undone = await office.acting.undo(ANYBODY, action["id"])
    assert undone["state"] == "undone"
    await asyncio.sleep(0)
    assert office.counts() == {State.WAITING: 3}
    assert office.finder.asked == 0
    assert office.audited(action["id"]) == ["undone"]
    with pytest.raises(Refusal, match="too late"):
        await office.acting.undo(ANYBODY, action["id"])


async def test_one_that_is_stopped_ends_where_it_is(office: Office) -> None:
    await office.add(STEP_JOBS + 10)
    stop = office.acting.stop
    action = await office.acting.act(ANYBODY, "cancel", Matching("", None), {})
    office.finder.on_page = lambda number: stop(ANYBODY, action["id"]) if number == 1 else None
    ended = await office.ended(action["id"])
    assert (ended["state"], ended["done"]) == ("stopped", STEP_JOBS)
    assert office.counts() == {State.WAITING: 10, State.CANCELLED: STEP_JOBS}
    assert office.audited(action["id"]) == ["began", "stopped"]
    with pytest.raises(Refusal, match="does not run"):
        await stop(ANYBODY, action["id"])


async def test_a_search_that_breaks_ends_it_and_says_so(office: Office) -> None:
    await office.add(1)

    def fail(number: int) -> None:
        raise SearchBusy("too many searches")

    office.finder.on_page = fail
    action = await office.acting.act(ANYBODY, "cancel", Matching("", None), {})
    ended = await office.ended(action["id"])
    assert (ended["state"], ended["why"]) == ("stopped", "too many searches")
    assert office.counts() == {State.WAITING: 1}


async def test_only_so_many_run_at_once_and_only_so_many_are_remembered(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "UNDO_S", 60.0)
    monkeypatch.setattr(acting, "KEPT_MAX", 3)
    await office.add(1)
    for _ in range(RUNNING_MAX):
        await office.acting.act(ANYBODY, "cancel", Matching("", None), {})
    with pytest.raises(Refusal, match="are running already"):
        await office.acting.act(ANYBODY, "cancel", Matching("", None), {})
    kept = [action["id"] for action in office.acting.all_of(ANYBODY)]
    assert len(kept) == RUNNING_MAX, "none of those that run is forgotten"
    for id in kept:
        await office.acting.undo(ANYBODY, id)
    last = await office.acting.act(ANYBODY, "cancel", Jobs([("q", "j0", "waiting")]), {})
    assert office.acting.all_of(ANYBODY)[0]["id"] == last["id"]
    assert len(office.acting.all_of(ANYBODY)) == 3


@pytest.mark.parametrize(
    ("kind", "params"),
    [("explode", {}), ("priority", {}), ("priority", {"priority": "1"}), ("retry", {"to": "q"})],
)
async def test_nonsense_is_refused_and_not_remembered(
    office: Office, kind: str, params: dict[str, Any]
) -> None:
    await office.add(1)
    with pytest.raises(Refusal):
        await office.acting.act(ANYBODY, kind, Jobs([("q", "j0", "waiting")]), params)
    assert office.acting.all_of(ANYBODY) == []
    assert office.counts() == {State.WAITING: 1}
