"""A job, or a schedule, as an address and as a value of a form, whatever printable characters its
id has."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import STATE_NAMES, ErrorCode
from holdfastd.web.pages.words import page_url


class JobRef(NamedTuple):
    """A job in the state in which somebody saw it."""

    queue: str
    id: str
    state: str


def job_url(queue: str, id: str, **query: Any) -> str:
    """Of the job's page. A browser would take "." and ".." for folders, quoted or not."""
    if id in (".", ".."):
        return page_url("/jobs", queue, "", id=id, **query)
    return page_url("/jobs", queue, id, **query)


def schedule_url(queue: str, id: str) -> str:
    """The same of a schedule's page."""
    if id in (".", ".."):
        return page_url("/schedules", queue, "", id=id)
    return page_url("/schedules", queue, id)


def job_ref(job: Mapping[str, Any]) -> str:
    """As a form sends it: neither states nor names of queues have a slash in them."""
    return f"{job['state']}/{job['queue']}/{job['id']}"


def parse_ref(text: str) -> JobRef:
    """Raises Refusal (BAD_REQUEST)."""
    state, _, rest = text.partition("/")
    queue, _, id = rest.partition("/")
    if state not in STATE_NAMES or not queue or not id:
        raise Refusal(ErrorCode.BAD_REQUEST, f"{text!r} names no job: use STATE/QUEUE/ID")
    return JobRef(queue, id, state)
