"""A query as SQL: what a row of `job` must be to match. Which rows are looked at: `search.paths`.

States and queues are not in it: they are resolved before, and are a part of each path.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from holdfastd.engine.model import FINISHED, State
from holdfastd.search.data import DataMatcher
from holdfastd.search.terms import Between, Field, Pattern, Query, Term


class Filter(NamedTuple):
    """A condition and the values it binds."""

    sql: str
    values: tuple[Any, ...]


ALL: Final = Filter("1", ())


def every(filters: Iterable[Filter]) -> Filter:
    return _joined(" AND ", [each for each in filters if each is not ALL]) or ALL


def _joined(word: str, filters: list[Filter]) -> Filter | None:
    if len(filters) < 2:
        return filters[0] if filters else None
    sql = word.join(f"({each.sql})" for each in filters)
    return Filter(sql, tuple(value for each in filters for value in each.values))


def states_of(query: Query) -> frozenset[State]:
    """In which matching jobs can be at all."""
    states = frozenset(State)
    for term in query.terms:
        if term.field is Field.STATE:
            named = frozenset(test for test in term.tests if isinstance(test, State))
            states = states - named if term.is_negated else states & named
        elif not term.is_negated:
            states &= _STATES_WITH.get(term.field, states)
    return states


_STATES_WITH: Final = {
    Field.REASON: frozenset({State.FAILED}),
    Field.FINISHED: FINISHED,
    Field.DUE: frozenset({State.DELAYED}),
}
"""Only jobs in these have what the field is about."""


def allows_queue(query: Query) -> Callable[[str], bool]:
    """Whether jobs of a queue of this name can match."""
    terms = [term for term in query.terms if term.field is Field.QUEUE]

    def allows(name: str) -> bool:
        return all(
            any(pattern.fits(name) for pattern in term.patterns) is not term.is_negated
            for term in terms
        )

    return allows


def filter_of(query: Query, matcher: DataMatcher) -> Filter:
    """All but its states and queues, and of its data only what bytes tell."""
    filters = [
        _negated(_FILTERS[term.field](term), term.is_negated)
        for term in query.terms
        if term.field in _FILTERS
    ]
    filters += [Filter("instr(job.payload, ?) > 0", (text,)) for text in matcher.texts]
    return every(filters)


def _negated(filter: Filter, is_negated: bool) -> Filter:
    return Filter(f"NOT ({filter.sql})", filter.values) if is_negated else filter


def _any(filters: Iterable[Filter]) -> Filter:
    found = _joined(" OR ", list(filters))
    assert found is not None, "a term has a test"
    return found


# ---- texts ---------------------------------------------------------------------------------------


def glob(pattern: Pattern) -> str:
    """For GLOB, in which `?` and `[` mean something too."""
    pieces = (piece.translate(_GLOB) for piece in pattern.pieces)
    return "*".join(pieces)


def like(pattern: Pattern) -> str:
    r"""For LIKE ... ESCAPE '\', anywhere in a text."""
    pieces = (piece.translate(_LIKE) for piece in pattern.pieces)
    return f"%{'%'.join(pieces)}%"


_GLOB: Final = str.maketrans({"*": "[*]", "?": "[?]", "[": "[[]"})
_LIKE: Final = str.maketrans({"%": r"\%", "_": r"\_", "\\": r"\\"})


def _fits(column: str, patterns: Iterable[Pattern]) -> Filter:
    return _any(
        Filter(f"{column} = ?", (pattern.prefix,))
        if pattern.is_exact
        else Filter(f"{column} GLOB ?", (glob(pattern),))
        for pattern in patterns
    )


def _has(columns: tuple[str, ...], patterns: Iterable[Pattern]) -> Filter:
    return _any(
        Filter(rf"{column} LIKE ? ESCAPE '\'", (like(pattern),))
        for pattern in patterns
        for column in columns
    )


def _text(column: str) -> Callable[[Term], Filter]:
    return lambda term: _fits(column, term.patterns)


def _tag(term: Term) -> Filter:
    fits = _fits("mark.tag", term.patterns)
    return Filter(
        f"EXISTS (SELECT 1 FROM tag AS mark WHERE mark.seq = job.seq AND ({fits.sql}))",
        fits.values,
    )


def of_attempts(fits: Filter) -> Filter:
    return Filter(
        f"EXISTS (SELECT 1 FROM attempt AS past WHERE past.seq = job.seq AND ({fits.sql}))",
        fits.values,
    )


def _worker(term: Term) -> Filter:
    runs = _fits("name", term.patterns)
    past = of_attempts(_fits("past.worker", term.patterns))
    return Filter(
        f"(job.state = 3 AND job.session IN (SELECT key FROM session WHERE {runs.sql})) "
        f"OR {past.sql}",
        (*runs.values, *past.values),
    )


def _error(term: Term) -> Filter:
    return of_attempts(_has(("past.error_type", "past.error_message"), term.patterns))


def _word(term: Term) -> Filter:
    return _has(("job.id", "job.name"), term.patterns)


# ---- numbers and times ---------------------------------------------------------------------------


def within(expression: str, ranges: Iterable[Between]) -> Filter:
    return _any(_within(expression, between) for between in ranges)


def _within(expression: str, between: Between) -> Filter:
    ends = [(">=", between.low), ("<=", between.high)]
    return every(Filter(f"{expression} {sign} ?", (end,)) for sign, end in ends if end is not None)


def _number(expression: str, exists: str = "") -> Callable[[Term], Filter]:
    """exists: when there is such a number at all."""

    def filter(term: Term) -> Filter:
        found = within(expression, term.ranges)
        return Filter(f"{exists} AND ({found.sql})", found.values) if exists else found

    return filter


def _reason(term: Term) -> Filter:
    marks = ",".join("?" * len(term.tests))
    numbers = tuple(int(test) for test in term.tests if isinstance(test, int))
    return Filter(f"job.fail_reason IN ({marks})", numbers)


_FILTERS: Final[dict[Field, Callable[[Term], Filter]]] = {
    Field.NAME: _text("job.name"),
    Field.ID: _text("job.id"),
    Field.TAG: _tag,
    Field.WORKER: _worker,
    Field.ERROR: _error,
    Field.REASON: _reason,
    Field.PRIORITY: _number("job.priority"),
    Field.ATTEMPTS: _number("(job.failures + job.crashes + (job.state <> 6))"),
    Field.CREATED: _number("job.created_at_ms"),
    Field.STARTED: _number("job.started_at_ms", "job.started_at_ms > 0"),
    Field.FINISHED: _number("job.finished_at_ms", "job.state >= 5"),
    Field.DUE: _number("job.run_at_ms", "job.state = 2"),
    Field.WORD: _word,
}
