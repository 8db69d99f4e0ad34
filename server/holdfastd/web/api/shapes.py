"""What the API gives and takes, as schemas. What the board tells stands in `web.board`, and is
described here as far as a client can rely on it."""

from typing import Any, Final

from holdfast.wire.checks import BACKOFF_KINDS, JITTERS
from holdfast.wire.constants import (
    ATTEMPTS_MAX,
    BACKOFF_DELAYS_MAX,
    DELAY_MS_MAX,
    ITEMS_MAX,
    JOB_ID_LENGTH_MAX,
    JOB_NAME_LENGTH_MAX,
    PRIORITY_MAX,
    PRIORITY_MIN,
    QUEUE_NAME_LENGTH_MAX,
    RUN_AT_MS_MAX,
    STATE_NAMES,
    TAG_LENGTH_MAX,
    TAGS_MAX,
)
from holdfastd.translation import KEPT, LIMIT_MAX, PERIOD_MS_MAX
from holdfastd.web.acting import everywhere, kinds
from holdfastd.web.acting.acting import SELECTED_MAX
from holdfastd.web.api.schema import anything, flag, listed, or_null, record, text, whole

STATES: Final = tuple(STATE_NAMES)
QUEUE_NAME: Final = text(pattern=f"^[A-Za-z0-9._:-]{{1,{QUEUE_NAME_LENGTH_MAX}}}$")
JOB_ID: Final = text("Any printable characters; unique in its queue.", 1, JOB_ID_LENGTH_MAX)
STATE: Final = text(enum=list(STATES))
EXPECTED: Final = text(
    "Do it only while the job is in this state. Without it: in which it is now.", enum=list(STATES)
)
AT_MS: Final = whole("Unix milliseconds.", 0, RUN_AT_MS_MAX)
AFTER: Final = text("`next` of the page before.", high=4_096)
QUERY: Final = text("As in docs/reference/search.md; empty = all jobs.", high=4_096, default="")

_JOB_OPTIONS: Final[dict[str, Any]] = {
    "priority": whole("Smaller runs first.", PRIORITY_MIN, PRIORITY_MAX, default=0),
    "lifo": flag("Runs first in its priority.", default=False),
    "delay_ms": whole("Not before so long from now.", 0, DELAY_MS_MAX),
    "run_at_ms": {**AT_MS, "description": "Not before then, in Unix milliseconds."},
    "attempts": whole("Runs until it has failed.", 1, ATTEMPTS_MAX, default=1),
    "max_crashes": whole("Workers that it may take with it.", 1, ATTEMPTS_MAX, default=3),
    "backoff": record(
        {
            "kind": text(enum=list(BACKOFF_KINDS)),
            "delay_ms": whole(low=0, high=DELAY_MS_MAX),
            "delays_ms": listed(
                whole(low=0, high=DELAY_MS_MAX), low=1, maxItems=BACKOFF_DELAYS_MAX
            ),
            "factor": {"type": "number", "minimum": 1, "maximum": 100},
            "cap_ms": whole(low=0, high=DELAY_MS_MAX),
            "jitter": text(enum=list(JITTERS)),
        },
        ["kind"],
        "How long to wait before the next attempt: `delay_ms` of fixed and exponential, "
        "`delays_ms` of list.",
    ),
    "tags": listed(text(low=1, high=TAG_LENGTH_MAX), maxItems=TAGS_MAX),
}
OPTIONS: Final = tuple(_JOB_OPTIONS)
NEW_JOB: Final = record(
    {
        "name": text("Which handler it is for.", 1, JOB_NAME_LENGTH_MAX),
        "data": anything('What the handler is given, any JSON. Bytes are `{"$bytes": BASE64}`.'),
        "id": or_null({**JOB_ID, "description": "One is made if there is none."}),
        **_JOB_OPTIONS,
    },
    ["name"],
)
NEW_JOBS: Final = record({"jobs": listed(NEW_JOB, low=1, maxItems=ITEMS_MAX)}, ["jobs"])
ADDED: Final = record(
    {
        "queue": QUEUE_NAME,
        "id": JOB_ID,
        "created": flag("false: a job with this id was there already, and was left as it is."),
    },
    ["queue", "id", "created"],
)
JOB_CHANGES: Final = record(
    {
        "priority": whole(low=PRIORITY_MIN, high=PRIORITY_MAX),
        "run_at_ms": {**AT_MS, "description": "In the past = at once."},
        "data": anything("In place of what it has."),
        "expected": EXPECTED,
    },
    description="Each of these is changed one after the other, `run_at_ms` last.",
    minProperties=1,
)
ON_JOB: Final = record({"expected": EXPECTED})
MOVE: Final = record({"to": QUEUE_NAME, "expected": EXPECTED}, ["to"])
_KEEP: Final = record(
    {
        "age_ms": or_null(whole(low=0, high=DELAY_MS_MAX)),
        "count": or_null(whole(low=0, high=LIMIT_MAX)),
    }
)
SETTINGS: Final = record(
    {
        "concurrency": or_null(whole("Jobs that run at once.", 0, LIMIT_MAX)),
        "rate": or_null(
            record(
                {
                    "limit": whole("Jobs that start in a period.", 1, LIMIT_MAX),
                    "period_ms": whole(low=1, high=PERIOD_MS_MAX, default=1000),
                    "burst": whole(low=1, high=LIMIT_MAX, default=1),
                },
                ["limit"],
            )
        ),
        "retention": record(dict.fromkeys(KEPT, _KEEP)),
    },
    description="What is not named stays; null = no limit.",
    minProperties=1,
)
_JOB_REF: Final = record(
    {"queue": QUEUE_NAME, "id": JOB_ID, "state": {**STATE, "description": "In which it was seen."}},
    ["queue", "id", "state"],
)
ACTION_PARAMS: Final = record(
    {
        "run_at_ms": {**AT_MS, "description": "Of reschedule."},
        "priority": whole("Of priority.", PRIORITY_MIN, PRIORITY_MAX),
        "to": {**QUEUE_NAME, "description": "Of move."},
        "data": anything("Of edit."),
    }
)
NEW_ACTION: Final = record(
    {
        "kind": text(
            "`pause` and `resume` are of `queues`.", enum=[*kinds.JOBS, *everywhere.KINDS]
        ),
        "queues": text(
            "Those with names like this, at once; `*` stands for anything.",
            1,
            QUEUE_NAME_LENGTH_MAX,
        ),
        "jobs": listed(_JOB_REF, "These, at once.", 1, maxItems=SELECTED_MAX),
        "query": {**QUERY, "description": "All that match, in the background, 5 s from now."},
        "expected_count": whole("As many as were spoken of, for the progress.", 0, LIMIT_MAX),
        "params": ACTION_PARAMS,
    },
    ["kind"],
    "Give one of `jobs`, `query` and `queues`.",
)


# ---- what is answered ----------------------------------------------------------------------------


def told(*keys: str, **known: Any) -> dict[str, Any]:
    """A map which has these, and may come to have more."""
    properties = {**dict.fromkeys(keys, anything()), **known}
    return {"type": "object", "properties": properties, "required": list(properties)}


_MAYBE_MS: Final = or_null(whole())
ERROR: Final = told(error=told(code=text(), message=text()))
DONE: Final = told(done=whole("Jobs that were removed."))
JOB: Final = told(
    queue=text(),
    id=text(),
    name=text(),
    state=STATE,
    priority=whole(),
    tags=listed(text()),
    created_at_ms=whole(),
    run_at_ms=_MAYBE_MS,
    started_at_ms=_MAYBE_MS,
    finished_at_ms=_MAYBE_MS,
    attempt=whole(),
    attempts=whole(),
    failures=whole(),
    crashes=whole(),
    releases=whole(),
    max_crashes=whole(),
    progress=anything(),
    reason=or_null(text()),
    worker=text(),
    error=text(),
    wait_ms=_MAYBE_MS,
    run_ms=_MAYBE_MS,
)
WHOLE_JOB: Final = {
    **JOB,
    "properties": {
        **JOB["properties"],
        "data": anything(),
        "result": anything(),
        "errors": listed(told("attempt", "outcome", "type", "message", "traceback", "worker")),
        "logs": listed(told(number=whole(), at_ms=whole(), text=text())),
        "log_lines": whole(),
        "token": whole(),
        "timeline": listed(told("at_ms", "event")),
        "why": or_null({"type": "object"}),
        "copy": told(python=text(), curl=text(), cli=text()),
    },
}
JOBS: Final = told(
    jobs=listed(JOB),
    next=or_null(text("Give it as `after`; null = these are the last.")),
    was_cut=flag("The time was over: there may be more behind `next`."),
    looked_at=whole("Jobs that were looked at."),
)
FACETS: Final = told(total=whole(), is_exact=flag(), is_sampled=flag(), by={"type": "object"})
QUEUE: Final = told(
    name=text(),
    counts={"type": "object"},
    is_paused=flag(),
    workers=whole(),
    slots=whole(),
    active=whole(),
    oldest_waiting_age_ms=_MAYBE_MS,
    settings={"type": "object"},
    per_min={"type": "object"},
    badges=listed(text()),
)
QUEUES: Final = told(queues=listed(QUEUE), next=or_null(text()))
WORKER: Final = told(
    session=text(),
    name=text(),
    is_connected=flag(),
    is_quiet=flag(),
    queues=listed(text()),
    credit=whole(),
    running=listed(told("queue", "id", "name", "started_at_ms")),
    seen_at_ms=whole(),
)
WORKERS: Final = told(workers=listed(WORKER))
ACTION: Final = told(
    id=text(),
    kind=text(),
    by=text(),
    query=or_null(text()),
    queue=or_null(text()),
    queues=or_null(text("Of an action on queues: the pattern of their names.")),
    found=whole(),
    done=whole(),
    skipped=whole("No longer in the state that was seen."),
    failed=listed(told(queue=text(), id=text(), why=text())),
    state=text(enum=["pending", "running", "done", "undone", "stopped"]),
    can_undo=flag(),
    why=text(),
    params={"type": "object"},
    starts_at_ms=whole(),
    ended_at_ms=_MAYBE_MS,
)
ACTIONS: Final = told(actions=listed(ACTION))
POINTS: Final = told(
    points=listed(told("at_ms", "added", "completed", "failed", "wait_ms", "run_ms"))
)
REPORT: Final = told(
    at_ms=whole("When it looked."),
    status=text("The worst.", enum=["ok", "unknown", "warn", "bad"]),
    checks={"type": "object"},
)
TOPS: Final = told(top=listed(told("queue", "name", "ended", "failed", "run_p95_ms")))
OVERVIEW: Final = told("totals", "per_min", queues=listed(QUEUE), last_failed=listed(JOB))
