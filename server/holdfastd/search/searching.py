"""A search on a connection: pages of jobs, and counts of them, within a time."""

import json
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final, NamedTuple, TypeVar

from holdfastd.engine.model import Seq, State
from holdfastd.search.data import DataMatcher
from holdfastd.search.filters import ALL, Filter, allows_queue, every, filter_of, states_of
from holdfastd.search.found import Facets, Found, FoundJob
from holdfastd.search.paths import (
    Path,
    Place,
    Scope,
    cursor_text,
    from_cursor,
    paths_of,
    read_cursor,
)
from holdfastd.search.terms import Field, Query
from holdfastd.search.walking import Timer, Window, transaction, windows
from holdfastd.store.codec import unpack_counts
from holdfastd.store.reading import read_last_errors, read_rows

PAGE_S: Final = 1.5
COUNT_S: Final = 1.0
"""For a page, and for counting: with a window that takes longer than it should, under 2 s."""
SAMPLE_S: Final = 0.3
"""For names and tags where the counters of the queues tell the total."""
ROWS: Final = 200
"""Of the first window."""
ROWS_WITH_DATA: Final = 50
"""Where data is looked into, which may be 1 MiB each."""
ROWS_TO_COUNT: Final = 2_000
DECIDED_AT_ONCE: Final = 50
"""Payloads, between two looks at the clock."""
STEPS_BETWEEN_LOOKS: Final = 20_000
"""Of SQLite's machine: less than a millisecond."""
FACET_VALUES_MAX: Final = 50

Allows = Callable[[str], bool]
T = TypeVar("T")


class _Hit(NamedTuple):
    """A row that matches."""

    seq: Seq
    place: Place


class _Hits(NamedTuple):
    hits: list[_Hit]
    """In order."""
    looked_at: int
    place: Place | None
    """Where time was up, if it was up before the end of the window."""


class Searching:
    """Answers searches from one connection, which reads only and gives text that is no UTF-8 with
    replacements."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
    ):
        self._connection = connection
        self._monotonic = monotonic
        self._sleep = sleep

    def page(
        self,
        query: Query,
        allows: Allows | None,
        after: str | None,
        limit: int,
        seconds: float = PAGE_S,
    ) -> Found:
        """As Finder.page; allows: tells of a queue's name whether it may be seen."""
        timer = Timer(self._monotonic, self._sleep, seconds)
        cursor = None if after is None else read_cursor(after)
        with transaction(self._connection):
            scope = self._scope(query, allows)
            paths = paths_of(self._connection, query, scope, cursor and cursor.path)
        if not paths:
            return Found([], None, False, 0)
        paths, place = from_cursor(paths, cursor)
        page = _Page(self._connection, query, scope, timer, limit, after)
        with self._given_up_late(timer):
            page.fill(paths, place)
        return Found(page.jobs, page.next, page.was_cut, page.looked_at)

    def count(self, query: Query, allows: Allows | None, seconds: float = COUNT_S) -> Facets:
        """As Finder.count."""
        with transaction(self._connection):
            scope = self._scope(query, allows)
            paths = paths_of(self._connection, query, scope, None)
        is_counted = not query.without(Field.STATE, Field.QUEUE).terms
        seconds = min(seconds, SAMPLE_S) if is_counted else seconds
        timer = Timer(self._monotonic, self._sleep, seconds)
        tally = _Tally(self._connection, query, scope, timer)
        with self._given_up_late(timer):
            tally.add(paths)
        return tally.facets_by_counters() if is_counted else tally.facets()

    def _scope(self, query: Query, allows: Allows | None) -> Scope:
        fits = allows_queue(query)
        names: dict[int, str] = {}
        counts: dict[int, tuple[int, ...]] = {}
        is_all = True
        for key, name, packed in self._connection.execute("SELECT key, name, counts FROM queue"):
            if fits(name) and (allows is None or allows(name)):
                names[key], counts[key] = name, unpack_counts(packed)
            else:
                is_all = False
        # Also with queues that are made meanwhile, it must see no other.
        is_all = (
            is_all and allows is None and not any(term.field is Field.QUEUE for term in query.terms)
        )
        return Scope(names, counts, is_all, states_of(query))

    @contextmanager
    def _given_up_late(self, timer: Timer) -> Iterator[None]:
        """A window that takes far too long is left, as if it had not been begun."""
        self._connection.set_progress_handler(lambda: timer.is_overdue, STEPS_BETWEEN_LOOKS)
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
        finally:
            self._connection.set_progress_handler(None, 0)


class _Rows:
    """What pages and counts do with windows: see which rows of one match."""

    def __init__(self, connection: sqlite3.Connection, query: Query, timer: Timer):
        self.connection = connection
        self.timer = timer
        self.has_data = any(term.field is Field.DATA for term in query.terms)
        self._matcher = DataMatcher([term for term in query.terms if term.field is Field.DATA])
        self.filter = filter_of(query, self._matcher)

    def hits(self, window: Window, wanted: int) -> _Hits:
        """Those that match: all of them or, where data is looked into, at least so many."""
        path = window.path
        key = ", ".join(f"{column} AS k{at}" for at, column in enumerate(path.key))
        keys = ", ".join(f"k{at}" for at in range(len(path.key)))
        fits = every([path.where, self.filter])
        looked_at, packed = self.connection.execute(
            f"SELECT count(*), json_group_array(json_array(number, {keys})) FILTER (WHERE fits) "
            f"FROM (SELECT job.seq AS number, {key}, ({fits.sql}) AS fits FROM {window.rows.sql})",
            (*fits.values, *window.rows.values),
        ).fetchone()
        hits = [_Hit(Seq(seq), tuple(place)) for seq, *place in json.loads(packed)]
        hits.sort(key=lambda hit: hit.place, reverse=path.is_descending)
        if not self.has_data:
            return _Hits(hits, looked_at, None)
        return self._decided(hits, looked_at, wanted)

    def _decided(self, candidates: list[_Hit], looked_at: int, wanted: int) -> _Hits:
        """Those whose data fits too."""
        hits: list[_Hit] = []
        for start in range(0, len(candidates), DECIDED_AT_ONCE):
            if len(hits) >= wanted:
                break
            if start and self.timer.is_up:
                return _Hits(hits, start, candidates[start - 1].place)
            some = candidates[start : start + DECIDED_AT_ONCE]
            fitting = self._fitting([hit.seq for hit in some])
            hits += [hit for hit in some if hit.seq in fitting]
        return _Hits(hits, looked_at, None)

    def _fitting(self, seqs: list[Seq]) -> set[int]:
        # Row by row: together they may have 50 MiB.
        rows = self.connection.execute(
            "SELECT seq, payload FROM job WHERE seq IN (SELECT value FROM json_each(?))",
            (json.dumps(seqs),),
        )
        return {seq for seq, payload in rows if self._matcher.fits(payload)}


class _Page(_Rows):
    """Attributes: jobs, next, was_cut, looked_at, as in Found."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        query: Query,
        scope: Scope,
        timer: Timer,
        limit: int,
        after: str | None,
    ):
        super().__init__(connection, query, timer)
        self._scope = scope
        self._limit = limit
        self.jobs: list[FoundJob] = []
        self.next = after
        self.was_cut = True
        self.looked_at = 0

    def fill(self, paths: list[Path], place: Place | None) -> None:
        if self.next is None:
            self.next = cursor_text(paths[0], None)
        rows = ROWS_WITH_DATA if self.has_data else max(ROWS, self._limit + 1)
        with closing(windows(self.connection, paths, place, self.timer, rows)) as walk:
            for window in walk:
                # One more than fits tells that there is more.
                room = self._limit - len(self.jobs)
                found = self.hits(window, room + 1)
                self.looked_at += found.looked_at
                self._take(found.hits[:room])
                if len(found.hits) > room:
                    last = found.hits[room - 1].place if room else window.before
                    self.next, self.was_cut = cursor_text(window.path, last), False
                    return
                if found.place is not None:
                    self.next = cursor_text(window.path, found.place)
                    return
                self.next = window.next
        self.was_cut = self.next is not None and len(self.jobs) < self._limit

    def _take(self, hits: list[_Hit]) -> None:
        """In the transaction in which they were found: as they were then."""
        seqs = [hit.seq for hit in hits]
        if not seqs:
            return
        rows = read_rows(self.connection, seqs)
        errors = read_last_errors(
            self.connection, [seq for seq, row in rows.items() if row.failures or row.crashes]
        )
        holders = [row.session for row in rows.values() if row.state is State.ACTIVE]
        workers = session_names(self.connection, holders)
        for seq in seqs:
            row = rows.get(seq)
            if row is not None:
                worker = workers.get(row.session, "") if row.state is State.ACTIVE else ""
                queue = self._queue_name(row.queue)
                self.jobs.append(FoundJob(queue, row, worker, errors.get(seq, "")))

    def _queue_name(self, key: int) -> str:
        name = self._scope.names.get(key)
        if name is None:  # a queue that was made since the search began, and all may be seen
            (name,) = self.connection.execute(
                "SELECT name FROM queue WHERE key = ?", (key,)
            ).fetchone() or ("",)
        return name


class _Tally(_Rows):
    """Counts what matches."""

    def __init__(self, connection: sqlite3.Connection, query: Query, scope: Scope, timer: Timer):
        super().__init__(connection, query, timer)
        self._scope = scope
        self._looked_at = 0
        self._is_whole = False
        self._has_tags = bool(connection.execute("SELECT EXISTS (SELECT 1 FROM tag)").fetchone()[0])
        self._groups: Counter[tuple[int, int, str, int]] = Counter()
        """By state, queue, name and session."""
        self._tags: Counter[str] = Counter()

    def add(self, paths: list[Path]) -> None:
        """What there is in the windows of these, until time is up."""
        next: str | None = None
        rows = ROWS_WITH_DATA if self.has_data else ROWS_TO_COUNT
        with closing(windows(self.connection, paths, None, self.timer, rows)) as walk:
            for window in walk:
                if not self.has_data:
                    fits = every([window.path.where, self.filter])
                    self._looked_at += self._add(window.rows, fits)
                else:
                    found = self.hits(window, sys.maxsize)
                    self._looked_at += found.looked_at
                    self._add(_these([hit.seq for hit in found.hits]), ALL)
                    if found.place is not None:
                        return
                next = window.next
        self._is_whole = next is None

    def _add(self, rows: Filter, fits: Filter) -> int:
        """Returns how many rows there are."""
        looked_at = 0
        for state, queue, name, session, count, fitting in self.connection.execute(
            "SELECT job.state, job.queue, job.name, job.session, count(*), "
            f"count(*) FILTER (WHERE {fits.sql}) FROM {rows.sql} GROUP BY 1, 2, 3, 4",
            (*fits.values, *rows.values),
        ):
            looked_at += count
            self._groups[state, queue, name, session] += fitting
        if self._has_tags:
            for tag, count in self.connection.execute(
                "SELECT marked.tag, count(*) FROM tag AS marked WHERE marked.seq IN "
                f"(SELECT job.seq FROM {rows.sql} AND ({fits.sql})) GROUP BY 1",
                (*rows.values, *fits.values),
            ):
                self._tags[tag] += count
        return looked_at

    def facets(self) -> Facets:
        """Of what was counted."""
        by = {"state": self._by(0, _state_name), "queue": self._by(1, self._queue_name)}
        total = sum(self._groups.values())
        return self._facets(total, by, is_exact=self._is_whole)

    def facets_by_counters(self) -> Facets:
        """Of all jobs of the queues and states; names, tags and workers of those that were seen."""
        states, queues = Counter[str](), Counter[str]()
        for key, counts in self._scope.counts.items():
            for state in self._scope.states:
                states[state.name.lower()] += counts[state]
                queues[self._scope.names[key]] += counts[state]
        by = {"state": states, "queue": queues}
        return self._facets(sum(states.values()), by, is_exact=True)

    def _facets(self, total: int, by: dict[str, Counter[str]], *, is_exact: bool) -> Facets:
        sessions = self._by(3, int)
        names = session_names(self.connection, list(sessions))
        workers = Counter[str]()
        for session, count in sessions.items():
            if names.get(session):
                workers[names[session]] += count
        by |= {"name": self._by(2, str), "tag": self._tags, "worker": workers}
        most = {facet: (+counter).most_common(FACET_VALUES_MAX) for facet, counter in by.items()}
        return Facets(total, is_exact, most, not self._is_whole, self._looked_at)

    def _by(self, at: int, shown: Callable[[Any], T]) -> Counter[T]:
        """One of the columns of the groups."""
        counter = Counter[T]()
        for group, count in self._groups.items():
            counter[shown(group[at])] += count
        return counter

    def _queue_name(self, key: int) -> str:
        return self._scope.names.get(key, "")


def _state_name(number: int) -> str:
    return _STATE_NAMES.get(number, "")


_STATE_NAMES: Final = {int(state): state.name.lower() for state in State}


def _these(seqs: list[Seq]) -> Filter:
    where = "job WHERE job.seq IN (SELECT value FROM json_each(?))"
    return Filter(where, (json.dumps(seqs),))


def session_names(connection: sqlite3.Connection, keys: Sequence[int]) -> dict[int, str]:
    """Names of workers, by the key of their session."""
    return dict(
        connection.execute(
            "SELECT key, name FROM session WHERE key IN (SELECT value FROM json_each(?))",
            (json.dumps(keys),),
        )
    )
