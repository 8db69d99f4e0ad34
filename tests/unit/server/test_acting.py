"""Actions on jobs: only on what was seen, some hundred at a time, undone before they begin."""

import asyncio
import json
import random
import shutil
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from holdfast.wire.checks import Refusal
from holdfastd.access.door import Door
from holdfastd.access.rights import ANYBODY, Identity, Rights, Role
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
from holdfastd.web.acting.everywhere import STEP_QUEUES, Queues
from holdfastd.web.acting.kept import CUT_SHORT, NAME, NOT_BEGUN
from holdfastd.web.acting.noting import Noting
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
            Noting(lambda: self.audit, lambda: 0),
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
    with pytest.raises(Refusal, match="no longer be undone"):
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
    with pytest.raises(Refusal, match="cannot be stopped"):
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


# ---- many queues ---------------------------------------------------------------------------------


async def add_to(office: Office, *queues: str) -> None:
    for queue in queues:
        await office.inside.call(commands.Enqueue(queue, [(0, new_job(queue))], []))


def paused(office: Office) -> set[str]:
    return {queue.name for queue in office.pipeline.engine.queues.values() if queue.is_paused}


async def test_all_queues_are_paused_at_once_and_only_these_go_on_when_it_is_undone(
    office: Office,
) -> None:
    await add_to(office, "a", "b", "c")
    await office.inside.call(commands.Pause("b"))
    chosen = await office.acting.chosen(ANYBODY, "pause", Queues("*"))
    assert (chosen.names, chosen.waiting, chosen.others) == (["a", "c"], 2, 1)
    action = await office.acting.act(ANYBODY, "pause", Queues("*"), {})
    assert (action["state"], action["done"], action["can_undo"]) == ("done", 2, True)
    assert paused(office) == {"a", "b", "c"}
    undone = await office.acting.undo(ANYBODY, action["id"])
    assert (undone["state"], undone["can_undo"]) == ("undone", False)
    assert paused(office) == {"b"}
    with pytest.raises(Refusal, match="no longer be undone"):
        await office.acting.undo(ANYBODY, action["id"])
    assert office.audited(action["id"]) == ["began", "done", "undone"]


async def test_only_queues_are_touched_that_match_and_that_the_key_is_for(office: Office) -> None:
    await add_to(office, "mail", "mail-eu", "payroll")
    mine = Identity("bob", "", Rights(frozenset({Role.OPERATOR}), ("mail*",)))
    await office.acting.act(mine, "pause", Queues("*"), {})
    assert paused(office) == {"mail", "mail-eu"}
    await office.acting.act(ANYBODY, "resume", Queues("mail"), {})
    assert paused(office) == {"mail-eu"}
    viewer = Identity("eve", "", Rights(frozenset({Role.VIEWER}), ("*",)))
    with pytest.raises(Refusal, match="is for operator"):
        await office.acting.act(viewer, "pause", Queues("*"), {})
    with pytest.raises(Refusal, match="many queues"):
        await office.acting.act(ANYBODY, "drain", Queues("*"), {})
    assert paused(office) == {"mail-eu"}


async def test_very_many_queues_take_a_commit_for_some_hundred(office: Office) -> None:
    await add_to(office, *(f"q{number}" for number in range(STEP_QUEUES + 1)))
    await office.pipeline.flush()
    before = len(office.store.batches)
    action = await office.acting.act(ANYBODY, "pause", Queues("*"), {})
    assert action["done"] == STEP_QUEUES + 1
    await office.pipeline.flush()
    assert len(office.store.batches) - before <= 4


async def test_what_becomes_of_a_queue_meanwhile_is_counted(office: Office) -> None:
    await add_to(office, "a", "b")
    action = await office.acting.act(ANYBODY, "pause", Queues("*"), {})
    await office.inside.call(commands.Resume("a"))
    await office.inside.call(commands.Obliterate("b", True))
    await office.acting.undo(ANYBODY, action["id"])
    assert set(office.pipeline.engine.queues) == {"a"}, "what is gone is not made anew"
    assert paused(office) == set()


# ---- over a restart ------------------------------------------------------------------------------


async def left_by_a_kill(office: Office, folder: Path, at_page: int) -> dict[str, Any]:
    """The action on all jobs of "q", as the next daemon tells of it when this one is killed while
    the action reads that page."""
    await asyncio.to_thread(folder.mkdir)
    await office.acting.remember(folder.parent)

    def kill(number: int) -> None:
        if number == at_page:
            shutil.copy(folder.parent / NAME, folder / NAME)

    office.finder.on_page = kill
    action = await office.acting.act(ANYBODY, "cancel", Matching("", None), {})
    await office.ended(action["id"])
    following = Office(folder)
    await following.acting.remember(folder)
    told = following.acting.one(ANYBODY, action["id"])
    assert told is not None
    assert following.audited(action["id"]) == ["stopped"]
    assert not told["can_undo"]
    following.audit.close()
    return told


@pytest.mark.parametrize(("at_page", "done"), [(1, 0), (2, STEP_JOBS)])
async def test_an_action_that_a_kill_cut_short_is_told_of_with_what_is_known_to_be_done(
    office: Office, tmp_path: Path, at_page: int, done: int
) -> None:
    """Also in the middle of its first page: some of that may have been done."""
    await office.add(STEP_JOBS + 10)
    told = await left_by_a_kill(office, tmp_path / "next", at_page)
    assert (told["state"], told["done"], told["why"]) == ("stopped", done, CUT_SHORT)


async def test_one_that_had_not_begun_has_done_nothing_and_says_so(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "UNDO_S", 60.0)
    await office.add(3)
    await office.acting.remember(tmp_path)
    action = await office.acting.act(ANYBODY, "cancel", Matching("", None), {})
    await office.acting.close()  # a clean stop
    assert office.audited(action["id"]) == ["stopped"]
    following = Office(tmp_path)
    await following.acting.remember(tmp_path)
    told = following.acting.one(ANYBODY, action["id"])
    assert told is not None
    assert (told["state"], told["done"], told["why"]) == ("stopped", 0, NOT_BEGUN)
    assert following.audited(action["id"]) == ["stopped"], "its end is told once"
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    following.audit.close()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'[{"kind": "cancel"}]', b"\xff"])
async def test_a_file_that_says_nothing_costs_the_memory_of_actions_only(
    office: Office, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / NAME).write_bytes(content)
    await office.acting.remember(tmp_path)
    assert office.acting.all_of(ANYBODY) == []
