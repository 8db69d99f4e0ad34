"""The question before something is done to jobs: how many it will touch, and what more it needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from holdfastd.web.pages.jobrefs import JobRef
from holdfastd.web.pages.kinds import KINDS, Kind, jobs_in_words


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    label: str
    hint: str
    value: str = ""
    error: str = ""
    kind: str = "text"
    """text or json."""
    inputmode: str = ""
    choices: Sequence[str] = ()
    """Offered, not the only ones."""


@dataclass(frozen=True, slots=True)
class Ask:
    title: str
    text: str
    button: str
    is_danger: bool
    hidden: list[tuple[str, str]]
    """Goes with the form as it is."""
    back: str
    """Address of the page from which the question came."""
    field: Field | None = None
    skipped: str = ""
    """Who will be passed over, and why; "" = nobody."""
    problem: str = ""
    is_possible: bool = True


@dataclass(frozen=True, slots=True)
class Touched:
    """Whom the action is about."""

    count: int
    """That it will touch."""
    others: int
    """In states in which it cannot be done."""
    is_exact: bool = True
    is_all_matching: bool = False


FIELDS: Final = {
    "reschedule": Field(
        "when",
        "Not before",
        "now, 30s, 10m, 2h, 1d, or a time in UTC such as 2026-12-01 08:00",
        "10m",
    ),
    "priority": Field(
        "priority", "Priority", "A whole number; smaller runs first.", "0", inputmode="numeric"
    ),
    "move": Field("to", "Queue", "It is made if there is none of that name."),
    "edit": Field("data", "Data", "JSON. Whole numbers keep all their digits.", kind="json"),
}
"""What an action needs to be told, by its name."""


def among(kind: Kind, refs: Sequence[JobRef]) -> Touched:
    count = sum(ref.state in kind.states for ref in refs)
    return Touched(count, len(refs) - count)


def matching(kind: Kind, facets: Mapping[str, Any]) -> Touched:
    """facets: what Board.facets gives."""
    by_state = dict(facets["by"].get("state", ()))
    count = sum(number for state, number in by_state.items() if state in kind.states)
    return Touched(count, facets["total"] - count, facets["is_exact"], is_all_matching=True)


def ask(
    name: str,
    touched: Touched,
    hidden: list[tuple[str, str]],
    back: str,
    field: Field | None = None,
    problem: str = "",
) -> Ask:
    """field: as it was filled in, with what is wrong; None = as it is at first, if there is one."""
    kind = KINDS[name]
    asks = kind.asks.format(jobs=_whom(touched))
    text = kind.explains
    if touched.is_all_matching:
        text += (
            " It begins after 5 seconds, in which you can undo it, and touches a job only while it "
            "is in the state in which it was found."
        )
    is_possible = bool(touched.count) or not touched.is_exact
    if not is_possible:
        states = " or ".join(sorted(kind.states))
        problem = problem or f"None of them is {states}: there is nothing to do."
    return Ask(
        f"{asks}?",
        text,
        asks,
        kind.is_danger,
        hidden,
        back,
        field or FIELDS.get(name),
        _skipped(touched, kind) if is_possible else "",
        problem,
        is_possible,
    )


def _whom(touched: Touched) -> str:
    if not touched.is_all_matching:
        is_one = touched.count == 1 and not touched.others
        return "this job" if is_one else jobs_in_words(touched.count)
    if touched.is_exact:
        return f"all {jobs_in_words(touched.count)} that match"
    return f"all jobs that match ({touched.count:,} or more)"


def _skipped(touched: Touched, kind: Kind) -> str:
    if not touched.others:
        return ""
    states = ", ".join(sorted(kind.states))
    jobs = jobs_in_words(touched.others, is_exact=touched.is_exact)
    return f"{jobs[0].upper()}{jobs[1:]} will be passed over: this is for those that are {states}."
