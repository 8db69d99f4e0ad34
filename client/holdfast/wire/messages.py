"""Every message of the protocol as a NamedTuple, and its way to and from a msgpack array.

The class `Enqueue` is the message with the opcode `Op.ENQUEUE`, `PauseSchedule` that with
`Op.PAUSE_SCHEDULE`, and so on.

A frame's array is `[op, *fields]` in the order of the class. Decoding checks the type of each
field; what is inside a list of items is checked where it is used (`wire.checks`), so that one bad
item is refused without its neighbours. Elements after the known ones are ignored: a newer peer may
append fields. A field with a default may be missing at the end.

Payloads and results are `bytes` throughout: this layer never looks into them.
"""

import re
import threading
from itertools import product
from typing import Any, Final, NamedTuple, TypeAlias, cast, get_args

import msgpack

from holdfast.wire.constants import ITEMS_MAX, MAP_ITEMS_MAX, ErrorCode, Op


class MessageError(Exception):
    """A frame that is no message of this protocol. `code` says which kind of wrong."""

    def __init__(self, code: ErrorCode, text: str, request: int | None = None):
        self.code = code
        self.text = text
        self.request = request
        super().__init__(text)


Fields: TypeAlias = list[Any]
"""A decoded array or list of items: any msgpack values, not checked yet."""
Map: TypeAlias = dict[str, Any]

# ---- connection --------------------------------------------------------------------------------


class Hello(NamedTuple):
    """Server, first frame: protocol `[min, max]`, server (name and version), features (list),
    limits (map), epoch (boot number), nonce (16 bytes), now_ms."""

    info: Map


class Identify(NamedTuple):
    """Client, first frame: protocol (int), client (name and version), session (id, chosen by the
    client), optional auth (map: key (its id), proof (32 bytes)), optional worker (map: name, host,
    pid), optional leases (list of tokens it holds)."""

    info: Map


class Welcome(NamedTuple):
    """Server: protocol, session, resumed (bool), last_request (highest request number of this
    session whose effect is durable, 0 = none), last_refused (highest number of an ENQUEUE that was
    refused as a whole), heartbeat_ms, lease_ms, grace_ms, lost (the tokens of `leases` that the
    server no longer has)."""

    info: Map


class Goodbye(NamedTuple):
    """Client: the session ends here; leases it still holds are released, uncounted."""


class Goaway(NamedTuple):
    """Server: it is going down; no new jobs are pushed. Finish, then connect again."""

    info: Map


class Heartbeat(NamedTuple):
    """Client, at least each heartbeat_ms: renews every lease of the session.

    reports: `[token, queue, id, progress (bytes or nil), lines (list of [at_ms, text])]` each.
    Reply: list of `[index, code, message]` of the reports whose lease is lost.
    """

    request: int
    reports: Fields


# ---- producer ----------------------------------------------------------------------------------


class Enqueue(NamedTuple):
    """Add jobs.

    items: `[id, name, payload, options (map or nil)]` each. An id of type `str` is the caller's:
    it is looked up. An id of 16 raw bytes was made up by this client just now (UUIDv7), and cannot
    exist yet: it is not looked up, and becomes the 32 hex digits of it.
    atomic: one bad item refuses all; else each item has its own result.
    Reply: list of `[index, status, ...]` of the items that were not simply created:
    `[index, ItemStatus.EXISTING, state]` or `[index, error code, message]`.
    """

    request: int
    queue: str
    items: Fields
    atomic: bool = False


class Wait(NamedTuple):
    """Reply when the job has ended: its map, as GET gives it with result and error."""

    request: int
    queue: str
    id: str


# ---- worker ------------------------------------------------------------------------------------


class Subscribe(NamedTuple):
    """Take jobs from these queues, in place of any earlier list. Credit is set, not added to."""

    request: int
    queues: Fields
    credit: int


class Credit(NamedTuple):
    """The worker can take `amount` more jobs. Not answered."""

    amount: int


class Ack(NamedTuple):
    """items: `[token, queue, id, result (bytes or nil)]` each. credit: as in Credit, may be 0.
    Reply: list of `[index, code, message]` of the items refused. The same for FAIL and RELEASE."""

    request: int
    items: Fields
    credit: int = 0


class Fail(NamedTuple):
    """items: `[token, queue, id, error (map type, message, traceback), retry]` each; retry: nil by
    the job's policy, -1 never again, else after so many ms (it still counts as a failure)."""

    request: int
    items: Fields
    credit: int = 0


class Release(NamedTuple):
    """items: `[token, queue, id, delay_ms (nil: at once)]` each; no attempt is counted."""

    request: int
    items: Fields
    credit: int = 0


class Extend(NamedTuple):
    """Renew, and learn which of them are lost. items: `[token, queue, id]` each."""

    request: int
    items: Fields


# ---- events ------------------------------------------------------------------------------------


class Listen(NamedTuple):
    """Get the events of a queue. after: number of the last event seen, nil = from now on.
    Reply: `{"missed": bool, "last": number}`; missed = some after `after` are no longer kept."""

    request: int
    queue: str
    after: int | None = None


class Unlisten(NamedTuple):
    request: int
    queue: str


# ---- read --------------------------------------------------------------------------------------


class Get(NamedTuple):
    """Reply: the job's map (see protocol.md, Job), or UNKNOWN_JOB."""

    request: int
    queue: str
    id: str


class List(NamedTuple):
    """One page of a queue's jobs in a state. after: what the page before gave as `next`, nil = the
    first page. Reply: `{"jobs": [map], "next": after or nil}`; next nil = no more."""

    request: int
    queue: str
    state: int
    after: Fields | None = None
    limit: int = 100


class Counts(NamedTuple):
    """Reply: `[[queue, {"waiting": n, …, "paused": bool, "workers": n, "settings": map,
    "since_start": map}], …]` of one queue or, with nil, of up to LIST_LIMIT_MAX queues by name
    after `after`."""

    request: int
    queue: str | None = None
    after: str | None = None


class Search(NamedTuple):
    """One page of the jobs of all queues that match a query (docs/reference/search.md).

    after: what the page before gave as `next`, nil = the first page. Reply: `{"jobs": [map],
    "next": after or nil, "was_cut": bool, "looked_at": n}`; was_cut = time was up before the page
    was full."""

    request: int
    query: str
    after: str | None = None
    limit: int = 100


class Explain(NamedTuple):
    """Why the job does not run. Reply: `{"code": str, "text": str, "details": map}`."""

    request: int
    queue: str
    id: str


class Schedules(NamedTuple):
    """Schedules of a queue, nil = of all, by queue and id after `after` (`[queue, id]`); with id
    that one of the queue. Reply: `{"schedules": [map], "next": after or nil}`; nil = no more."""

    request: int
    queue: str | None = None
    id: str | None = None
    after: Fields | None = None
    limit: int = 100


# ---- administer: a list of ids gives a list of [index, code, message] of those refused ----------


class Remove(NamedTuple):
    """Delete jobs. expected: the State that the sender saw, nil = any but active. An active job is
    removed only when expected says active; its worker is told."""

    request: int
    queue: str
    ids: Fields
    expected: int | None = None


class Promote(NamedTuple):
    """Delayed becomes waiting now."""

    request: int
    queue: str
    ids: Fields
    expected: int | None = None


class Retry(NamedTuple):
    """Redrive: failed (or completed, cancelled) becomes waiting, with its counters at zero."""

    request: int
    queue: str
    ids: Fields
    expected: int | None = None


class Change(NamedTuple):
    """Of waiting or delayed jobs. changes: map with priority, lifo, or delay_ms / run_at_ms."""

    request: int
    queue: str
    ids: Fields
    changes: Map
    expected: int | None = None


class Pause(NamedTuple):
    request: int
    queue: str


class Resume(NamedTuple):
    request: int
    queue: str


class Configure(NamedTuple):
    """settings: map with any of concurrency (int or nil), rate (`{"limit", "period_ms", "burst"}`
    or nil) and retention (`{"completed": {"age_ms", "count"}, "failed": …, "cancelled": …}`)."""

    request: int
    queue: str
    settings: Map


class Drain(NamedTuple):
    """Remove all waiting jobs, with delayed=True the delayed ones too. Reply: number removed."""

    request: int
    queue: str
    delayed: bool = False


class Obliterate(NamedTuple):
    """Remove the queue with all its jobs; NOT_EMPTY when some are active, unless forced.
    Reply: number removed."""

    request: int
    queue: str
    force: bool = False


class Cancel(NamedTuple):
    """Jobs that have not ended become cancelled; the worker of an active one is told."""

    request: int
    queue: str
    ids: Fields
    expected: int | None = None


class Move(NamedTuple):
    """Waiting or delayed jobs go to the queue `target`, which is made if it is new."""

    request: int
    queue: str
    ids: Fields
    target: str
    expected: int | None = None


class Edit(NamedTuple):
    """A waiting or delayed job gets another payload."""

    request: int
    queue: str
    id: str
    payload: bytes
    expected: int | None = None


class Schedule(NamedTuple):
    """A job each time that it is due, in place of the queue's schedule of that id. when: map with
    cron and tz, or every_ms. options: of the jobs, and missed, overlap. Reply: the schedule's map
    (see protocol.md, Schedules)."""

    request: int
    queue: str
    id: str
    name: str
    payload: bytes
    when: Map
    options: Map


class Unschedule(NamedTuple):
    """The schedule goes; its jobs stay."""

    request: int
    queue: str
    id: str


class PauseSchedule(NamedTuple):
    request: int
    queue: str
    id: str


class ResumeSchedule(NamedTuple):
    request: int
    queue: str
    id: str


class RunSchedule(NamedTuple):
    """One job now, whatever the plan. run: chosen by the client, never twice; the job's id is made
    of it. Reply: that id."""

    request: int
    queue: str
    id: str
    run: str


# ---- from the server ---------------------------------------------------------------------------


class Reply(NamedTuple):
    request: int
    result: Any = None


class Error(NamedTuple):
    """A refusal. request nil: of the connection, which the server closes after it."""

    request: int | None
    code: int
    message: str
    details: Map


class Jobs(NamedTuple):
    """Leased to this session: `[token, queue, id, name, payload, attempt, attempts, created_at_ms,
    crashes, releases]` each. attempt: 1 = first run. One credit each."""

    items: Fields


class Revoke(NamedTuple):
    """items: `[token, RevokeReason]` each: the handler is to stop, its answer would be refused."""

    items: Fields


class Stop(NamedTuple):
    """An operator wants the worker to end: to finish what it runs, and to say goodbye."""


class Events(NamedTuple):
    """events: `[number, EventKind, at_ms, id (or nil), name (or nil), details (map)]` each."""

    queue: str
    events: Fields


Message: TypeAlias = (
    Hello | Identify | Welcome | Goodbye | Goaway | Heartbeat
    | Enqueue | Wait
    | Subscribe | Credit | Ack | Fail | Release | Extend
    | Listen | Unlisten
    | Get | List | Counts | Search | Explain | Schedules
    | Remove | Promote | Retry | Change | Pause | Resume | Configure | Drain | Obliterate
    | Cancel | Move | Edit
    | Schedule | Unschedule | PauseSchedule | ResumeSchedule | RunSchedule
    | Reply | Error | Jobs | Revoke | Events | Stop
)  # fmt: skip


def name_of(message: type[Any]) -> str:
    """Of its opcode, such as PAUSE_SCHEDULE."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", message.__name__).upper()


MESSAGES: Final[dict[Op, type[Message]]] = {
    Op[name_of(message)]: message for message in get_args(Message)
}
_OPS: Final[dict[type[Message], int]] = {message: int(op) for op, message in MESSAGES.items()}

_ANNOTATED_TYPES: Final[dict[Any, tuple[type, ...]]] = {
    int: (int,),
    str: (str,),
    bool: (bool,),
    bytes: (bytes,),
    Map: (dict,),
    Fields: (list,),
    int | None: (int, type(None)),
    str | None: (str, type(None)),
    Fields | None: (list, type(None)),
    Any: (),
}


class _Shape(NamedTuple):
    """How to check the array of one message: derived from its class, so that it stands once."""

    message: type[Message]
    names: tuple[str, ...]
    types: tuple[tuple[type, ...], ...]
    """Allowed types per field; an empty tuple allows any, and stands at the end alone."""
    required: int
    defaults: tuple[Any, ...]
    """Of the last fields."""
    has_request: bool
    typed: int
    """Fields with a type."""
    signatures: frozenset[tuple[type, ...]]
    """What the types of these may be, all at once: one look instead of one per field. Of messages
    with fewer fields too, as far as the rest has defaults."""


def _shape_of(message: type[Message]) -> _Shape:
    names = message._fields
    types = tuple(_ANNOTATED_TYPES[message.__annotations__[name]] for name in names)
    required = len(names) - len(message._field_defaults)
    defaults = tuple(message._field_defaults.values())
    typed = [allowed for allowed in types if allowed]
    signatures = frozenset(
        signature
        for count in range(min(required, len(typed)), len(typed) + 1)
        for signature in product(*typed[:count])
    )
    has_request = "request" in names
    return _Shape(message, names, types, required, defaults, has_request, len(typed), signatures)


_SHAPES: Final[dict[int, _Shape]] = {
    int(op): _shape_of(message) for op, message in MESSAGES.items()
}


class _Packing(threading.local):
    """A packer for each thread: making one costs more than packing a small message with it."""

    def __init__(self) -> None:
        self.pack = msgpack.Packer().pack


_packing: Final = _Packing()


def encode(message: Message) -> bytes:
    """One message as the msgpack array of a frame, without the length prefix."""
    return cast("bytes", _packing.pack((_OPS[type(message)], *message)))


def decode(frame: bytes | bytearray | memoryview) -> Message:
    """The message of one frame.

    Raises:
        MessageError: BAD_FRAME if it is not an array of msgpack that starts with an integer;
            UNKNOWN_COMMAND or BAD_REQUEST, with the request number where one could be read.
    """
    try:
        array = msgpack.unpackb(
            frame,
            strict_map_key=True,
            max_ext_len=0,
            max_array_len=ITEMS_MAX,
            max_map_len=MAP_ITEMS_MAX,
        )
    except Exception as error:  # msgpack raises ValueError, its subclasses, and StackError
        raise MessageError(ErrorCode.BAD_FRAME, f"not a msgpack frame: {error}") from error
    if type(array) is not list or not array or type(array[0]) is not int:
        raise MessageError(ErrorCode.BAD_FRAME, "a frame must be an array that starts with an op")
    shape = _SHAPES.get(array[0])
    if shape is None:
        raise MessageError(
            ErrorCode.UNKNOWN_COMMAND, f"unknown command {array[0]}", _request_of(array)
        )
    fields = array[1 : 1 + len(shape.names)]
    if tuple(map(type, fields[: shape.typed])) in shape.signatures:
        missing = len(shape.names) - len(fields)
        if missing:
            fields += shape.defaults[-missing:]
        # What the class's own constructor does, without its call.
        return tuple.__new__(shape.message, fields)
    raise _misfit(shape, array, fields)


def _misfit(shape: _Shape, array: list[Any], fields: list[Any]) -> MessageError:
    """What is wrong with fields that have no signature of their shape."""
    request = _request_of(array) if shape.has_request else None
    message = shape.message.__name__
    if len(fields) < shape.required:
        text = f"{message} needs {shape.names}; {shape.names[len(fields)]} is missing"
        return MessageError(ErrorCode.BAD_REQUEST, text, request)
    name, allowed, value = next(
        (name, allowed, value)
        for name, allowed, value in zip(shape.names, shape.types, fields, strict=False)
        if allowed and type(value) not in allowed
    )
    text = (
        f"{message}.{name} must be {' or '.join(kind.__name__ for kind in allowed)}, "
        f"not {type(value).__name__}"
    )
    return MessageError(ErrorCode.BAD_REQUEST, text, request)


def _request_of(array: list[Any]) -> int | None:
    return array[1] if len(array) > 1 and type(array[1]) is int else None
