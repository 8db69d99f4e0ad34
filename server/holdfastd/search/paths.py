"""How the rows that a query may match are found: one or more paths, each through an index, in an
order that pages can go on in.

A path is walked in windows of so many rows. A window is all rows between two places, so what is
found does not depend on how large windows are, and the place is known whenever time is up. Several
queues (or states) are walked as one: the end of a window is the nearest of their own ends.

By seq, newest first, go queries that name no state and no queue; tags, ids and errors only bring
rows of that order closer together. All others go by states: what runs, what waits in the order in
which it will run, what is delayed by due time, what has ended, newest first.
"""

import json
import re
import sqlite3
from typing import Final, NamedTuple

from holdfastd.engine.model import FINISHED, State
from holdfastd.search.filters import ALL, Filter, every
from holdfastd.search.found import BadCursor
from holdfastd.search.terms import Between, Field, Query

STREAMS_MAX: Final = 1_000
"""Pairs of queue and state that are walked as one: each costs 5 us a window. With more of them the
search goes by seq."""
STREAM_ROWS_MIN: Final = 20
"""Of each in a window."""
PREFIX_ROWS_MAX: Final = 5_000
"""Jobs whose ids begin alike, above which an index of ids is no help."""
CLOCK_MARGIN_MS: Final = 3_600_000
"""seq rises with created_at_ms unless the clock was set back; by so much it may have been."""
_MIN: Final = -(2**63)
_MAX: Final = 2**63 - 1

Place = tuple[int, ...]
"""The key of a row in the order of its path."""


class Scope(NamedTuple):
    """What a search may see at all, and what it is about, as it is just now."""

    names: dict[int, str]
    """Of the queues, by key: those that are allowed and fit the query."""
    counts: dict[int, tuple[int, ...]]
    """Of the same: jobs by state."""
    is_all: bool
    """They are all queues that there are."""
    states: frozenset[State]

    def keys(self) -> str:
        return json.dumps(list(self.names))

    def count(self, state: State) -> int:
        return sum(counts[state] for counts in self.counts.values())


class Path(NamedTuple):
    name: str
    """In cursors."""
    table: str
    """What stands behind FROM. In a subquery, {range} stands for the range of a window."""
    walk: Filter
    """Conditions that the index follows: whatever they exclude costs nothing."""
    where: Filter
    """Conditions of single rows. A window is measured without them: else it would go on until so
    many rows fulfil them, through the whole table if none does."""
    key: tuple[str, ...]
    """Columns of the order, all in one direction."""
    is_descending: bool = True
    marks: str = ""
    """SELECT and FROM by which places are found; "" = by the table itself."""
    first: Place | None = None
    """Behind which it begins, None = with the first row. It is no condition of `walk`: of two lower
    bounds of a column SQLite follows one, and reads all that only the other excludes."""
    last: Place | None = None
    """With which it ends, None = with the last row."""
    streams: tuple[Filter, ...] = ()
    """Of the queues and states that are walked as one: each an index follows in the order. None =
    the table itself is in order, or short enough to be sorted."""
    shared: Filter = ALL
    """By which the streams are bounded as well."""

    @property
    def order(self) -> str:
        direction = "DESC" if self.is_descending else "ASC"
        return ", ".join(f"{column} {direction}" for column in self.key)

    @property
    def rows_min(self) -> int:
        """Of a window: with less per stream, the nearest end of all would be too near."""
        return STREAM_ROWS_MIN * len(self.streams)

    def rows(self, after: Place | None, end: Place | None) -> Filter:
        """The window from behind one place up to another one (None: from the first, to the last):
        what stands behind FROM, and what it binds."""
        bounds = self._bounds(after, end)
        if "{range}" in self.table:
            table = self.table.replace("{range}", bounds.sql)
            return Filter(f"{table} WHERE {self.walk.sql}", (*bounds.values, *self.walk.values))
        where = every([self.walk, bounds])
        return Filter(f"{self.table} WHERE {where.sql}", where.values)

    def end(self, connection: sqlite3.Connection, after: Place | None, rows: int) -> Place | None:
        """The place up to which a window of about so many rows goes, at most twice as many; None =
        to the end."""
        bounds = self._bounds(after, None)
        if not self.streams:
            return self._nth(connection, every([self.walk, bounds]), rows)
        streams, ends, share = list(self.streams), list[Place](), 0
        # Those that end within their share leave it to the others.
        while streams and share < max(1, rows // len(streams)):
            share = max(1, rows // len(streams))
            found = {
                stream: self._nth(connection, every([stream, self.shared, bounds]), share)
                for stream in streams
            }
            ends = [end for end in found.values() if end is not None]
            streams = [stream for stream, end in found.items() if end is not None]
        if not ends:
            return None
        return max(ends) if self.is_descending else min(ends)

    def _nth(self, connection: sqlite3.Connection, where: Filter, count: int) -> Place | None:
        """The place of a row, counted from 1."""
        marks = self.marks or f"SELECT {', '.join(self.key)} FROM {self.table}"
        found: Place | None = connection.execute(
            f"{marks} WHERE {where.sql} ORDER BY {self.order} LIMIT 1 OFFSET ?",
            (*where.values, count - 1),
        ).fetchone()
        return found

    def _bounds(self, after: Place | None, end: Place | None) -> Filter:
        conditions = []
        beyond, until = ("<", ">=") if self.is_descending else (">", "<=")
        if after is None or (self.first is not None and self._is_before(after, self.first)):
            after = self.first
        if after is not None:
            conditions.append(self._compared(beyond, after))
        end = self.last if end is None else end
        if end is not None:
            conditions.append(self._compared(until, end))
        return every(conditions)

    def _is_before(self, place: Place, other: Place) -> bool:
        return place > other if self.is_descending else place < other

    def _compared(self, sign: str, place: Place) -> Filter:
        if len(place) == 1:
            return Filter(f"{self.key[0]} {sign} ?", place)
        return Filter(f"({', '.join(self.key)}) {sign} (?, ?)", place)


# ---- cursors -------------------------------------------------------------------------------------


def cursor_text(path: Path, place: Place | None) -> str:
    """Of a place in a path; None = its beginning."""
    return ".".join([path.name, *map(str, place or ())])


_CURSOR: Final = re.compile(r"([a-z]{1,16})((?:\.-?[0-9]{1,19}){0,2})")


class Cursor(NamedTuple):
    path: str
    place: Place | None


def read_cursor(text: str) -> Cursor:
    """Raises BadCursor."""
    found = _CURSOR.fullmatch(text)
    if found is not None:
        numbers = tuple(int(number) for number in found[2].split(".")[1:])
        if all(_MIN <= number <= _MAX for number in numbers):
            return Cursor(found[1], numbers or None)
    raise BadCursor("after is not what a page before gave as next: begin with the first page")


def from_cursor(paths: list[Path], cursor: Cursor | None) -> tuple[list[Path], Place | None]:
    """The paths still to be walked, and the place in the first of them. Raises BadCursor."""
    if cursor is None:
        return paths, None
    for at, path in enumerate(paths):
        if path.name == cursor.path and len(cursor.place or path.key) == len(path.key):
            return paths[at:], cursor.place
    raise BadCursor("after is of another query: begin with the first page")


# ---- the paths of a query ------------------------------------------------------------------------


def paths_of(
    connection: sqlite3.Connection, query: Query, scope: Scope, began: str | None
) -> list[Path]:
    """In the order in which they are walked; together they have every row that may match, once.

    Args:
        began: name of the path in which the search is; None = it begins.
    """
    if not scope.names or not scope.states:
        return []
    is_by_states = len(scope.states) < len(State) or not scope.is_all
    found = _by_id(connection, query, scope) or _by_tag(query, scope)
    if found:
        return found
    if len(scope.states) == len(State):
        found = (
            _by_error(query, scope)
            or _by_worker(query, scope)
            or _by_word(connection, query, scope)
        )
        if found:
            return found
    if is_by_states and began != _SEQ:
        paths = _by_states(query, scope)
        is_among = began in [path.name for path in paths]
        if is_among or all(len(path.streams) <= STREAMS_MAX for path in paths):
            return paths
    return [_by_seq(connection, query, scope)]


_SEQ: Final = "seq"


def _where(scope: Scope) -> Filter:
    """The queues and states, as conditions of single rows."""
    conditions = []
    if not scope.is_all:
        conditions.append(Filter("job.queue IN (SELECT value FROM json_each(?))", (scope.keys(),)))
    if len(scope.states) < len(State):
        conditions.append(Filter(f"job.state IN ({_numbers(scope.states)})", ()))
    return every(conditions)


def _numbers(states: frozenset[State]) -> str:
    return ", ".join(str(int(state)) for state in sorted(states))


def _by_seq(connection: sqlite3.Connection, query: Query, scope: Scope, but: Filter = ALL) -> Path:
    where = every([_where(scope), but])
    path = Path(_SEQ, "job NOT INDEXED", ALL, where, ("job.seq",))
    created = _bounds(query, Field.CREATED)
    if created.high is not None:
        path = path._replace(
            first=(_first_made_at(connection, created.high + CLOCK_MARGIN_MS + 1),)
        )
    if created.low is not None:
        path = path._replace(last=(_first_made_at(connection, created.low - CLOCK_MARGIN_MS),))
    return path


def _first_made_at(connection: sqlite3.Connection, at_ms: int) -> int:
    """The first number of a job that was made then or later, if seq rises with time."""
    low, high = connection.execute(
        "SELECT (SELECT min(seq) FROM job), (SELECT max(seq) FROM job)"
    ).fetchone()
    if low is None:
        return 0
    high += 1
    while low < high:
        middle = (low + high) // 2
        seq, created_at_ms = connection.execute(
            "SELECT seq, created_at_ms FROM job WHERE seq <= ? ORDER BY seq DESC LIMIT 1", (middle,)
        ).fetchone()
        if created_at_ms >= at_ms:
            high = seq
        else:
            low = middle + 1
    return int(low)


def _by_id(connection: sqlite3.Connection, query: Query, scope: Scope) -> list[Path]:
    """Of jobs whose ids are named, or begin with what is."""
    terms = query.positive(Field.ID)
    exact = [term for term in terms if all(test.is_exact for test in term.patterns)]
    if exact:
        return [_of_ids(_SEQ, scope, [test.prefix for test in exact[0].patterns])]
    for term in terms:
        if len(term.patterns) == 1 and term.patterns[0].prefix:
            return [_of_prefix(connection, query, scope, term.patterns[0].prefix)]
    return []


def _of_ids(name: str, scope: Scope, ids: list[str]) -> Path:
    named = Filter("job.id IN (SELECT value FROM json_each(?))", (json.dumps(ids),))
    walk = every([_queues(scope), named])
    return Path(name, "job INDEXED BY job_by_id", walk, _where(scope), ("job.seq",))


def _of_prefix(connection: sqlite3.Connection, query: Query, scope: Scope, prefix: str) -> Path:
    begins = Filter("job.id >= ? AND job.id <= ?", (prefix, prefix + "\U0010ffff"))
    walk = every([_queues(scope), begins])
    (count,) = connection.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM job INDEXED BY job_by_id WHERE {walk.sql} LIMIT ?)",
        (*walk.values, PREFIX_ROWS_MAX + 1),
    ).fetchone()
    if count > PREFIX_ROWS_MAX:
        return _by_seq(connection, query, scope)
    return Path(_SEQ, "job INDEXED BY job_by_id", walk, _where(scope), ("job.seq",))


def _queues(scope: Scope) -> Filter:
    return Filter("job.queue IN (SELECT value FROM json_each(?))", (scope.keys(),))


def _by_tag(query: Query, scope: Scope) -> list[Path]:
    for term in query.positive(Field.TAG):
        if len(term.patterns) == 1 and term.patterns[0].is_exact:
            tagged = Filter("tag.tag = ?", (term.patterns[0].prefix,))
            table = "tag CROSS JOIN job ON job.seq = tag.seq"
            marks = "SELECT tag.seq FROM tag"
            return [Path(_SEQ, table, tagged, _where(scope), ("tag.seq",), marks=marks)]
    return []


def _by_error(query: Query, scope: Scope) -> list[Path]:
    """Only jobs with attempts that did not complete have errors."""
    return [_with_attempts(scope)] if query.positive(Field.ERROR) else []


def _by_worker(query: Query, scope: Scope) -> list[Path]:
    """What it runs, then all others that it once did."""
    if not query.positive(Field.WORKER):
        return []
    others = scope._replace(states=scope.states - {State.ACTIVE})
    return [_active(scope), _with_attempts(others)]


def _with_attempts(scope: Scope) -> Path:
    table = (
        "(SELECT DISTINCT source.seq FROM attempt AS source WHERE {range}) AS source "
        "CROSS JOIN job ON job.seq = source.seq"
    )
    marks = "SELECT DISTINCT source.seq FROM attempt AS source"
    return Path(_SEQ, table, ALL, _where(scope), ("source.seq",), marks=marks)


def _by_word(connection: sqlite3.Connection, query: Query, scope: Scope) -> list[Path]:
    """A word may be a whole id, which is found at once; then all others are looked through."""
    words = [term.patterns[0] for term in query.positive(Field.WORD)]
    if len(words) != 1 or not words[0].is_exact or not scope.is_all:
        return []
    word = words[0].prefix
    others = _by_seq(connection, query, scope, Filter("job.id <> ?", (word,)))
    return [_of_ids("id", scope, [word]), others]


def _by_states(query: Query, scope: Scope) -> list[Path]:
    paths = []
    if State.ACTIVE in scope.states:
        paths.append(_active(scope))
    if State.WAITING in scope.states:
        key = ("job.priority", "job.ord")
        paths.append(_of_queues("waiting", State.WAITING, scope, key))
    if State.DELAYED in scope.states:
        paths.append(_delayed(query, scope))
    if State.BLOCKED in scope.states and scope.count(State.BLOCKED):
        where = _where(scope._replace(states=frozenset({State.BLOCKED})))
        paths.append(Path("blocked", "job NOT INDEXED", ALL, where, ("job.seq",)))
    if scope.states & FINISHED:
        paths.append(_finished(query, scope))
    return paths


def _active(scope: Scope) -> Path:
    walk = Filter("job.state = 3", ())
    where = _where(scope._replace(states=frozenset(State)))
    return Path("active", "job INDEXED BY job_active", walk, where, ("job.token",), False)


def _of_queues(name: str, state: State, scope: Scope, key: tuple[str, ...]) -> Path:
    """Through an index of the queues' jobs in a state."""
    queues = [queue for queue, counts in scope.counts.items() if counts[state]]
    among = Filter("job.queue IN (SELECT value FROM json_each(?))", (json.dumps(queues),))
    shared = Filter(f"job.state = {int(state)}", ())
    streams = tuple(Filter("job.queue = ?", (queue,)) for queue in queues)
    table = f"job INDEXED BY job_{name}"
    walk = every([among, shared])
    return Path(name, table, walk, ALL, key, False, streams=streams, shared=shared)


def _delayed(query: Query, scope: Scope) -> Path:
    key = ("job.run_at_ms", "job.seq")
    due = _bounds(query, Field.DUE)
    if scope.is_all:
        walk = Filter("job.state = 2", ())
        path = Path("delayed", "job INDEXED BY job_due", walk, ALL, key, False)
    else:
        path = _of_queues("delayed", State.DELAYED, scope, key)
    return path._replace(
        first=None if due.low is None else (due.low - 1, _MAX),
        last=None if due.high is None else (due.high, _MAX),
    )


def _finished(query: Query, scope: Scope) -> Path:
    states = scope.states & FINISHED
    pairs = [
        (queue, state)
        for queue, counts in scope.counts.items()
        for state in sorted(states)
        if counts[state]
    ]
    # Joined, and not `state IN (...)`: SQLite would follow the index's `state >= 5` instead.
    table = (
        "json_each AS pair CROSS JOIN job INDEXED BY job_finished "
        "ON job.queue = json_extract(pair.value, '$[0]') "
        "AND job.state = json_extract(pair.value, '$[1]')"
    )
    among = Filter("pair.json = ?", (json.dumps(pairs),))
    shared = Filter(_FINISHED, ())
    streams = tuple(
        Filter("job.queue = ? AND job.state = ?", (queue, int(state))) for queue, state in pairs
    )
    key = ("job.finished_at_ms", "job.seq")
    marks = f"SELECT {', '.join(key)} FROM job INDEXED BY job_finished" if pairs else ""
    walk = every([among, shared])
    ended = _bounds(query, Field.FINISHED)
    return Path(
        "finished",
        table,
        walk,
        ALL,
        key,
        marks=marks,
        first=None if ended.high is None else (ended.high + 1, _MIN),
        last=None if ended.low is None else (ended.low, _MIN),
        streams=streams,
        shared=shared,
    )


_FINISHED: Final = "likely(job.state >= 5)"
"""What the partial index says; see `store.reading`."""


def _bounds(query: Query, field: Field) -> Between:
    """What all terms of a field leave; those that name several ranges leave everything."""
    ranges = [term.ranges[0] for term in query.positive(field) if len(term.ranges) == 1]
    lows = [each.low for each in ranges if each.low is not None]
    highs = [each.high for each in ranges if each.high is not None]
    return Between(max(lows, default=None), min(highs, default=None))
