"""Counts of jobs by what narrows a query down, as links that change it by one term."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from holdfast.wire.constants import STATE_NAMES
from holdfastd.web.pages.terms import picked, toggled
from holdfastd.web.pages.words import page_url

TITLES: Final = {
    "state": "State",
    "queue": "Queue",
    "name": "Name",
    "tag": "Tag",
    "worker": "Worker",
}
"""Keys of a query that have facets, in the order of the page."""
SHOWN_MAX: Final = 10
"""Of each; the query bar completes the others."""


@dataclass(frozen=True, slots=True)
class Choice:
    value: str
    count: int | None
    """None = not counted."""
    url: str
    """Of the page that asks for it too or, if it is picked, does so no more."""
    is_picked: bool


@dataclass(frozen=True, slots=True)
class Group:
    key: str
    title: str
    choices: list[Choice]
    more: int
    """Values that are not shown."""


@dataclass(frozen=True, slots=True)
class FacetsView:
    total: int
    is_exact: bool
    """False: the numbers are the least that there are."""
    is_sampled: bool
    """Names, tags and workers are those of the newest jobs only."""
    groups: list[Group]


def states(text: str) -> list[Choice]:
    """All states, not counted."""
    return _choices(text, "state", dict.fromkeys(STATE_NAMES))


def view(text: str, counted: Mapping[str, Any]) -> FacetsView:
    """counted: what Board.facets gives for this query."""
    groups = [_group(text, key, dict(counted["by"].get(key, ()))) for key in TITLES]
    shown = [group for group in groups if group.choices]
    return FacetsView(counted["total"], counted["is_exact"], counted["is_sampled"], shown)


def _group(text: str, key: str, counts: Mapping[str, int]) -> Group:
    found = {value: count for value, count in counts.items() if value}
    # Who picked one value of a key wants to see it, and be able to take it out, though none has it.
    wanted = {value: found.get(value, 0) for value in sorted(picked(text, key))}
    if key == "state":
        missing = None if wanted else 0
        every = {state: found.get(state, missing) for state in STATE_NAMES}
        return Group(key, TITLES[key], _choices(text, key, {**every, **wanted}), 0)
    values = {**wanted, **found}
    shown = dict(list(values.items())[:SHOWN_MAX])
    return Group(key, TITLES[key], _choices(text, key, shown), len(values) - len(shown))


def _choices(text: str, key: str, counts: Mapping[str, int | None]) -> list[Choice]:
    now = picked(text, key)
    return [
        Choice(value, count, page_url("/jobs", q=toggled(text, key, value)), value in now)
        for value, count in counts.items()
    ]
