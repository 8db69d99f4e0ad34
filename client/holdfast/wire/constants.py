"""Numbers and names of the protocol: opcodes, states, error codes, limits.

protocol.md is the contract; a test compares its tables with these. Both sides import this module.
To add an opcode or an error code: give it the next free number of its range here, a row in
protocol.md, and leave every number that was ever released as it is.
"""

from enum import IntEnum
from typing import Final, NamedTuple

PROTOCOL_VERSION: Final = 1
"""Raised when an older peer would misread a frame; new fields and commands are features instead."""
PROTOCOL_VERSION_MIN: Final = 1

DEFAULT_PORT: Final = 4653
"""HOLD on a telephone's keys."""
DEFAULT_HTTP_PORT: Final = 4654

# ---- limits ------------------------------------------------------------------------------------
FRAME_BYTES_MAX: Final = 4 * 1024 * 1024
"""Length of one frame without its prefix. Holds the largest payload; arbitrary."""
FRAME_BYTES_MAX_BEFORE_WELCOME: Final = 8 * 1024
"""Until a peer has identified itself it can make us hold this much (DESIGN.md, section 5)."""
PAYLOAD_BYTES_MAX: Final = 1024 * 1024
"""One payload or one result; what NATS and SQS allow. The server may be configured lower."""
ITEMS_MAX: Final = 10_000
"""Items of one list in one frame: jobs of an ENQUEUE, tokens of an ACK. Arbitrary."""
MAP_ITEMS_MAX: Final = 64
QUEUE_NAME_LENGTH_MAX: Final = 128
JOB_ID_LENGTH_MAX: Final = 128
JOB_NAME_LENGTH_MAX: Final = 128
SESSION_ID_LENGTH_MAX: Final = 64
REQUEST_MAX: Final = 2**63 - 1
"""The highest request number: the last one of each session is stored, and SQLite's integers have 64
bits with a sign."""
PRIORITY_MIN: Final = -(2**31)
PRIORITY_MAX: Final = 2**31 - 1
ATTEMPTS_MAX: Final = 1_000_000
DELAY_MS_MAX: Final = 10 * 365 * 24 * 3600 * 1000
"""Ten years; a longer delay is a mistake in units."""
RUN_AT_MS_MAX: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""
BACKOFF_DELAYS_MAX: Final = 100
TAGS_MAX: Final = 20
"""Of one job. Each is a row of its own in the database."""
TAG_LENGTH_MAX: Final = 64
SCHEDULE_ID_LENGTH_MAX: Final = 90
"""A job's id is made of it: with `@` and an instant, or `@now-` and RUN_LENGTH_MAX characters, it
has at most JOB_ID_LENGTH_MAX."""
RUN_LENGTH_MAX: Final = 32
"""A UUID in hex."""
CRON_LENGTH_MAX: Final = 200
EVERY_MS_MIN: Final = 1_000
"""A schedule is no busy loop: what is to happen more often belongs into a worker."""
ERROR_TYPE_LENGTH_MAX: Final = 256
ERROR_MESSAGE_LENGTH_MAX: Final = 4_096
ERROR_TRACEBACK_LENGTH_MAX: Final = 16_384
LOG_LINE_LENGTH_MAX: Final = 4_096
LOG_LINES_PER_JOB_MAX: Final = 1_000
"""Later lines are dropped, and the job says so."""
PROGRESS_BYTES_MAX: Final = 4_096
CREDIT_MAX: Final = 100_000
LIST_LIMIT_MAX: Final = 1_000
"""Jobs of one page of LIST; a page is also cut at FRAME_BYTES_MAX / 2."""
SUBSCRIBED_QUEUES_MAX: Final = 1_000
WAITS_PER_SESSION_MAX: Final = 10_000
TOKEN_COUNTER_BITS: Final = 40
"""A token is (boot epoch << 40) + counter: strictly rising over restarts, and fits 63 bits."""


class Op(IntEnum):
    """First element of every frame. 1-15 connection, 16-31 producer, 32-47 worker, 48-63 events,
    64-79 read, 80-127 administer, 128 and up: from the server only."""

    # connection
    HELLO = 1
    IDENTIFY = 2
    WELCOME = 3
    GOODBYE = 4
    GOAWAY = 5
    HEARTBEAT = 6
    # producer
    ENQUEUE = 16
    WAIT = 17
    # worker
    SUBSCRIBE = 32
    CREDIT = 33
    ACK = 34
    FAIL = 35
    RELEASE = 36
    EXTEND = 37
    # events
    LISTEN = 48
    UNLISTEN = 49
    # read
    GET = 64
    LIST = 65
    COUNTS = 66
    SEARCH = 67
    EXPLAIN = 68
    SCHEDULES = 69
    # administer
    REMOVE = 80
    PROMOTE = 81
    RETRY = 82
    CHANGE = 83
    PAUSE = 84
    RESUME = 85
    CONFIGURE = 86
    DRAIN = 87
    OBLITERATE = 88
    CANCEL = 89
    MOVE = 90
    EDIT = 91
    SCHEDULE = 92
    UNSCHEDULE = 93
    PAUSE_SCHEDULE = 94
    RESUME_SCHEDULE = 95
    RUN_SCHEDULE = 96
    # from the server
    REPLY = 128
    ERROR = 129
    JOBS = 130
    REVOKE = 131
    EVENTS = 132
    STOP = 133


class State(IntEnum):
    """What a user sees of a job. `blocked` waits for children (no command makes one yet)."""

    WAITING = 1
    DELAYED = 2
    ACTIVE = 3
    BLOCKED = 4
    COMPLETED = 5
    FAILED = 6
    CANCELLED = 7


STATE_NAMES: Final[dict[str, State]] = {state.name.lower(): state for state in State}


class FailReason(IntEnum):
    """How a failed job came to fail."""

    ERROR = 1
    """Its handler raised, and no attempt was left (or the handler said: never again)."""
    CRASHED = 2
    """Its workers were lost `max_crashes` times."""
    TIMED_OUT = 3
    EXPIRED = 4
    CHILD_FAILED = 5
    DAMAGED = 6
    """What the disk gave back is not what was written; the payload is not delivered."""


class ItemStatus(IntEnum):
    """Second element of an item's result in the reply to ENQUEUE, where it was not simply created.
    Numbers from 100 on are error codes."""

    EXISTING = 1
    """A job with this id was there already; nothing was changed."""


class RevokeReason(IntEnum):
    """Why the server takes a lease back."""

    LEASE_LOST = 1
    """It ran out, or the server has no such lease."""
    REMOVED = 2
    """The job was removed by a person or a program."""
    CANCELLED = 3
    """It was cancelled by one."""


class EventKind(IntEnum):
    """What happened to a job or a queue. Names are lower case in the clients."""

    ADDED = 1
    ACTIVE = 2
    PROGRESS = 3
    COMPLETED = 4
    FAILED = 5
    RETRYING = 6
    """An attempt failed; the job will run again (details: run_at_ms)."""
    DELAYED = 7
    WAITING = 8
    """It became ready to run: promoted, due, released, redriven."""
    LOST = 9
    """Its lease was lost; it will run again or fail as crashed."""
    REMOVED = 10
    DRAINED = 11
    """The queue has no waiting, delayed or active job left."""
    PAUSED = 12
    RESUMED = 13
    CANCELLED = 14
    MOVED = 15
    """To another queue (details: to), or from one (details: from)."""


class Code(NamedTuple):
    """One row of protocol.md's error table."""

    retryable: bool
    """May the same request be sent again unchanged, later?"""
    todo: str
    """What the receiver should do."""


class ErrorCode(IntEnum):
    """1xx protocol (these and NOT_AUTHENTICATED close the connection), 2xx authentication, 3xx bad
    request, 4xx conflict, 5xx capacity, 9xx internal."""

    BAD_FRAME = 100
    FRAME_TOO_LARGE = 101
    NO_COMMON_PROTOCOL = 102
    UNEXPECTED_MESSAGE = 103
    HANDSHAKE_TIMEOUT = 104
    SESSION_TAKEN = 105
    TLS_REQUIRED = 106
    NOT_AUTHENTICATED = 200
    FORBIDDEN = 201
    UNKNOWN_COMMAND = 300
    BAD_REQUEST = 301
    BAD_QUEUE_NAME = 302
    BAD_JOB_ID = 303
    BAD_OPTION = 304
    PAYLOAD_TOO_LARGE = 305
    EMPTY_PAYLOAD = 306
    OUT_OF_ORDER = 307
    UNKNOWN_QUEUE = 400
    UNKNOWN_JOB = 401
    LEASE_LOST = 402
    WRONG_STATE = 403
    NOT_EMPTY = 404
    JOB_EXISTS = 405
    UNKNOWN_WORKER = 406
    UNKNOWN_SCHEDULE = 407
    BUSY = 500
    DISK_FULL = 501
    DRAINING = 502
    TOO_MANY = 503
    INTERNAL = 900


ERROR_CODES: Final[dict[ErrorCode, Code]] = {
    ErrorCode.BAD_FRAME: Code(False, "mend the client: this is no frame of the protocol"),
    ErrorCode.FRAME_TOO_LARGE: Code(False, "send less per frame, or raise the server's limit"),
    ErrorCode.NO_COMMON_PROTOCOL: Code(False, "use a client or server of the other's version"),
    ErrorCode.UNEXPECTED_MESSAGE: Code(False, "mend the client: not allowed at this point"),
    ErrorCode.HANDSHAKE_TIMEOUT: Code(True, "connect again and identify at once"),
    ErrorCode.SESSION_TAKEN: Code(False, "another connection resumed this session"),
    ErrorCode.TLS_REQUIRED: Code(False, "speak TLS: holdfasts:// in place of holdfast://"),
    ErrorCode.NOT_AUTHENTICATED: Code(False, "give a key that is valid there"),
    ErrorCode.FORBIDDEN: Code(False, "ask for a key with the role and queues that it takes"),
    ErrorCode.UNKNOWN_COMMAND: Code(False, "do without it, or upgrade the server"),
    ErrorCode.BAD_REQUEST: Code(False, "mend the request; the message names the field"),
    ErrorCode.BAD_QUEUE_NAME: Code(False, "use 1 to 128 of A-Z a-z 0-9 . _ : -"),
    ErrorCode.BAD_JOB_ID: Code(False, "use 1 to 128 printable characters"),
    ErrorCode.BAD_OPTION: Code(False, "mend the option that the message names"),
    ErrorCode.PAYLOAD_TOO_LARGE: Code(False, "store the data elsewhere and send a reference"),
    ErrorCode.EMPTY_PAYLOAD: Code(False, "send at least one byte (msgpack nil is one)"),
    ErrorCode.OUT_OF_ORDER: Code(False, "mend the client: request numbers must rise"),
    ErrorCode.UNKNOWN_QUEUE: Code(False, "check the name; a queue exists once a job was added"),
    ErrorCode.UNKNOWN_JOB: Code(False, "check queue and id; it may have been removed by retention"),
    ErrorCode.LEASE_LOST: Code(False, "stop the handler; another worker runs or ran the job"),
    ErrorCode.WRONG_STATE: Code(False, "read the job again; it has moved on"),
    ErrorCode.NOT_EMPTY: Code(False, "wait for active jobs to end, or force it"),
    ErrorCode.JOB_EXISTS: Code(False, "remove one of the two, or leave it where it is"),
    ErrorCode.UNKNOWN_WORKER: Code(False, "look at the workers again; it has left"),
    ErrorCode.UNKNOWN_SCHEDULE: Code(False, "check queue and id; somebody may have removed it"),
    ErrorCode.BUSY: Code(True, "wait a moment and send it again"),
    ErrorCode.DISK_FULL: Code(True, "send it again later; the operator must free space"),
    ErrorCode.DRAINING: Code(True, "connect again: the server is being restarted"),
    ErrorCode.TOO_MANY: Code(True, "end some of what is open (waits, requests) first"),
    ErrorCode.INTERNAL: Code(True, "send it again later; the server's log has the reason"),
}
