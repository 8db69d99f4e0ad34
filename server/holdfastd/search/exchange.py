"""What the daemon and its searching process say to each other: frames of msgpack over pipes.

Both are of one version, so there is no other. A request has a number; an answer repeats it, since
who asked may have gone meanwhile.
"""

import struct
from typing import Any, Final, NamedTuple, Protocol

import msgpack

from holdfastd.engine.changes import JobRow
from holdfastd.engine.model import FailReason, State
from holdfastd.search.found import BadCursor, Facets, Found, FoundJob, SearchBroken, SearchError
from holdfastd.store.codec import pack_options, unpack_options

LENGTH: Final = struct.Struct(">I")


class Request(NamedTuple):
    number: int
    is_count: bool
    query: str
    """Canonical: it means the same there."""
    allows: list[str] | None
    """Patterns of queue names."""
    after: str | None
    limit: int
    since_s: float
    """When its turn came, by the monotonic clock, which all processes share: the start of the
    process is a part of its time."""


class Answer(NamedTuple):
    number: int
    result: Found | Facets | SearchError


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def frame(message: list[Any]) -> bytes:
    packed: bytes = msgpack.packb(message)
    return LENGTH.pack(len(packed)) + packed


def read_frame(file: _Readable) -> Any | None:
    """None = the other side has gone."""
    head = file.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    body = file.read(length)
    return unpack(body) if len(body) == length else None


def unpack(body: bytes) -> Any:
    return msgpack.unpackb(body, strict_map_key=False)


def pack_answer(answer: Answer) -> bytes:
    result = answer.result
    content: list[Any]
    if isinstance(result, Found):
        jobs = [_packed_job(job) for job in result.jobs]
        content = ["found", jobs, result.next, result.was_cut, result.looked_at]
    elif isinstance(result, Facets):
        content = [
            "facets", result.total, result.is_exact, result.by, result.is_sampled, result.looked_at
        ]  # fmt: skip
    else:
        content = ["bad cursor" if isinstance(result, BadCursor) else "broken", str(result)]
    return frame([answer.number, *content])


def unpack_answer(message: list[Any]) -> Answer:
    number, kind, *content = message
    result: Found | Facets | SearchError
    if kind == "found":
        jobs, next, was_cut, looked_at = content
        result = Found([_job(job) for job in jobs], next, was_cut, looked_at)
    elif kind == "facets":
        total, is_exact, by, is_sampled, looked_at = content
        pairs = {facet: [(value, count) for value, count in found] for facet, found in by.items()}
        result = Facets(total, is_exact, pairs, is_sampled, looked_at)
    else:
        result = (BadCursor if kind == "bad cursor" else SearchBroken)(content[0])
    return Answer(number, result)


_OPTIONS: Final = JobRow._fields.index("options")
_STATE: Final = JobRow._fields.index("state")
_REASON: Final = JobRow._fields.index("fail_reason")


def _packed_job(job: FoundJob) -> list[Any]:
    row = list(job.row)
    row[_OPTIONS] = pack_options(job.row.options)
    return [job.queue, job.worker, job.error, row]


def _job(packed: list[Any]) -> FoundJob:
    queue, worker, error, row = packed
    row[_STATE] = State(row[_STATE])
    row[_OPTIONS] = unpack_options(row[_OPTIONS])
    row[_REASON] = FailReason(row[_REASON])
    return FoundJob(queue, JobRow._make(row), worker, error)
