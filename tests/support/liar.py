"""A proxy before an honest daemon that breaks one rule: `Liar(port, lie)`.

It reads frames in both directions and changes the arrays in them, so that a client sees a server
with a mistake. A check of the contract that passes before it all the same cannot fail.
"""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, NamedTuple, TypeAlias

import msgpack

from holdfast.wire.constants import ErrorCode, Op
from holdfast.wire.frames import FrameDecoder, encode_frame

Array: TypeAlias = list[Any]
Change: TypeAlias = Callable[[Array, dict[int, Array]], Array | None]
"""An array, and what was asked by request number; to what goes on in its place, None = nothing."""


def honest(array: Array, asked: dict[int, Array]) -> Array | None:
    return array


class Lie(NamedTuple):
    to_server: Change = honest
    to_client: Change = honest


# ---- what is changed on its way to the client --------------------------------------------------


def _info(op: Op, **fields: Any) -> Lie:
    """Fields of HELLO's or WELCOME's map are others."""

    def change(array: Array, asked: dict[int, Array]) -> Array:
        return [op, {**array[1], **fields}] if array[0] == op else array

    return Lie(to_client=change)


def _accepts(code: ErrorCode, result: Any = None) -> Lie:
    """What is refused with that code is done, says the reply."""

    def change(array: Array, asked: dict[int, Array]) -> Array:
        is_it = array[0] == Op.ERROR and array[2] == code and array[1] is not None
        return [Op.REPLY, array[1], result] if is_it else array

    return Lie(to_client=change)


def _closes_with(code: ErrorCode) -> Lie:
    """Connections are refused with that code, whatever was wrong."""

    def change(array: Array, asked: dict[int, Array]) -> Array:
        is_it = array[0] == Op.ERROR and array[1] is None
        return [Op.ERROR, None, int(code), *array[3:]] if is_it else array

    return Lie(to_client=change)


def _hides_items(of: Op, status: int) -> Lie:
    """Items with that status are not told of in the reply to that command."""

    def change(array: Array, asked: dict[int, Array]) -> Array:
        if array[0] != Op.REPLY or asked.get(array[1], [0])[0] != of:
            return array
        return [Op.REPLY, array[1], [item for item in array[2] if item[1] != status]]

    return Lie(to_client=change)


def _swallows(op: Op) -> Lie:
    def change(array: Array, asked: dict[int, Array]) -> Array | None:
        return None if array[0] == op else array

    return Lie(to_client=change)


def _turns_round(array: Array, asked: dict[int, Array]) -> Array:
    return [Op.JOBS, array[1][::-1]] if array[0] == Op.JOBS else array


def _has_one_page(array: Array, asked: dict[int, Array]) -> Array:
    is_page = array[0] == Op.REPLY and isinstance(array[2], dict) and "next" in array[2]
    return [*array[:2], {**array[2], "next": None}] if is_page else array


# ---- what is changed on its way to the server --------------------------------------------------


def _sends(op: Op, change_fields: Callable[[Array], Array]) -> Lie:
    """That command has other fields."""

    def change(array: Array, asked: dict[int, Array]) -> Array:
        return change_fields(array) if array[0] == op else array

    return Lie(to_server=change)


def _without_expected(array: Array, asked: dict[int, Array]) -> Array:
    length = {Op.REMOVE: 4, Op.PROMOTE: 4, Op.RETRY: 4, Op.CANCEL: 4, Op.CHANGE: 5, Op.MOVE: 5}
    return array[: length[array[0]]] if array[0] in length else array


def _without_options(*names: str) -> Lie:
    """New jobs lose these options."""

    def item_without(item: Any) -> Any:
        if not isinstance(item, list) or len(item) < 4 or not isinstance(item[3], dict):
            return item
        return [*item[:3], {key: item[3][key] for key in item[3] if key not in names}]

    return _sends(
        Op.ENQUEUE,
        lambda array: [*array[:3], [item_without(item) for item in array[3]], *array[4:]],
    )


def _forgets_leases(array: Array) -> Array:
    return [Op.IDENTIFY, {**array[1], "leases": []}]


def _fails_in_place(array: Array) -> Array:
    """RELEASE becomes a failed attempt."""
    error = {"type": "Released", "message": "", "traceback": ""}
    items = [[*item[:3], error, item[3] or 0] for item in array[2]]
    return [Op.FAIL, array[1], items, *array[3:]]


LIES: Final[dict[str, tuple[Lie, str]]] = {
    # what is broken: how, and the id of the check that must find it
    "every nonce is the same": (_info(Op.HELLO, nonce=bytes(16)), "handshake.nonce"),
    "HELLO without limits": (_info(Op.HELLO, limits={}), "handshake.hello"),
    "heartbeats may be late": (_info(Op.WELCOME, heartbeat_ms=2**40), "handshake.welcome"),
    "a version too many is refused as a bad request": (
        _closes_with(ErrorCode.BAD_REQUEST),
        "handshake.no-common-protocol",
    ),
    "GOODBYE is forgotten": (_info(Op.WELCOME, resumed=True), "handshake.goodbye"),
    "unknown commands are done": (
        _accepts(ErrorCode.UNKNOWN_COMMAND),
        "frames.unknown-command",
    ),
    "an empty frame is out of order": (_closes_with(ErrorCode.OUT_OF_ORDER), "frames.empty"),
    "bad fields are taken": (_accepts(ErrorCode.BAD_REQUEST), "frames.bad-fields"),
    "numbers may repeat": (_accepts(ErrorCode.OUT_OF_ORDER, []), "sessions.repeats"),
    "last_request is lost": (_info(Op.WELCOME, last_request=0), "sessions.resume"),
    "last_refused is lost": (_info(Op.WELCOME, last_refused=0), "sessions.last-refused"),
    "no session is resumed": (_info(Op.WELCOME, resumed=False), "sessions.answers-lost"),
    "an id that exists is not told": (_hides_items(Op.ENQUEUE, 1), "adding.existing"),
    "any option is taken": (
        _hides_items(Op.ENQUEUE, ErrorCode.BAD_OPTION),
        "adding.bad-options",
    ),
    "any name is a queue": (_accepts(ErrorCode.BAD_QUEUE_NAME), "adding.bad-queue-name"),
    "atomic is not": (
        _sends(Op.ENQUEUE, lambda array: array[:4]),
        "adding.atomic",
    ),
    "tags are lost": (_without_options("tags"), "adding.tags"),
    "one job too many": (
        _sends(Op.SUBSCRIBE, lambda array: [*array[:3], array[3] + 1]),
        "ordering.credit",
    ),
    "priorities are equal": (_without_options("priority"), "ordering.priority"),
    "lifo is fifo": (_without_options("lifo"), "ordering.lifo"),
    "a push is turned round": (Lie(to_client=_turns_round), "ordering.in-one-push"),
    "nothing is delayed": (_without_options("delay_ms"), "ordering.delay"),
    "any token will do": (_hides_items(Op.ACK, ErrorCode.LEASE_LOST), "leasing.stale-token"),
    "a release is a failure": (_sends(Op.RELEASE, _fails_in_place), "leasing.release"),
    "no retry waits": (_without_options("backoff"), "leasing.backoff"),
    "who comes back holds nothing": (_sends(Op.IDENTIFY, _forgets_leases), "losing.resumed"),
    "nobody hears of a lost lease": (_swallows(Op.REVOKE), "losing.silence"),
    "any number runs at once": (
        _sends(Op.CONFIGURE, lambda array: [*array[:3], {}]),
        "limits.concurrency",
    ),
    "a pause is none": (
        _sends(Op.PAUSE, lambda array: [Op.RESUME, *array[1:]]),
        "limits.pause",
    ),
    "expected is ignored": (Lie(to_server=_without_expected), "administering.expected"),
    "any queue is there": (_accepts(ErrorCode.UNKNOWN_QUEUE), "administering.unknown"),
    "nobody hears of a cancelled job": (_swallows(Op.REVOKE), "administering.cancel-active"),
    "the first page is the last": (Lie(to_client=_has_one_page), "reading.list-pages"),
    "after is ignored": (
        _sends(Op.LISTEN, lambda array: [*array[:3], None]),
        "events.resume",
    ),
    "whoever skips does not": (
        _sends(Op.SCHEDULE, lambda array: [*array[:6], {}]),
        "schedules.overlap",
    ),
    "a paused schedule is due": (
        _sends(Op.PAUSE_SCHEDULE, lambda array: [Op.RESUME_SCHEDULE, *array[1:]]),
        "schedules.pause",
    ),
    "UNLISTEN is only confirmed": (
        _sends(Op.UNLISTEN, lambda array: [Op.COUNTS, *array[1:]]),
        "events.unlisten",
    ),
}


class Liar:
    """Attributes: url."""

    def __init__(self, port: int, lie: Lie):
        self._target_port = port
        self._lie = lie
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"holdfast://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # asyncio's streams would complain
            upstream = await asyncio.open_connection("127.0.0.1", self._target_port)
            self._writers |= {writer, upstream[1]}
            asked: dict[int, Array] = {}
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass_on(reader, upstream[1], self._lie.to_server, asked))
                both.create_task(_pass_on(upstream[0], writer, self._lie.to_client, asked))
            self._writers -= {writer, upstream[1]}

    async def __aenter__(self) -> "Liar":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()


async def _pass_on(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    change: Change,
    asked: dict[int, Array],
) -> None:
    decoder = FrameDecoder(2**32 - 1)
    with contextlib.suppress(OSError):
        while data := await reader.read(2**18):
            try:
                frames = decoder.feed(data)
            except Exception:  # no frames any more: the other side is to judge that
                writer.write(data)
                continue
            writer.write(b"".join(_changed(frame, change, asked) for frame in frames))
            await writer.drain()
    writer.close()


def _changed(frame: bytes, change: Change, asked: dict[int, Array]) -> bytes:
    try:
        array = msgpack.unpackb(frame, strict_map_key=False)
        if not isinstance(array, list):
            return encode_frame(frame)
    except ValueError:
        return encode_frame(frame)
    if len(array) > 1 and isinstance(array[1], int):
        asked.setdefault(array[1], array)
    changed = change(array, asked)
    return b"" if changed is None else encode_frame(msgpack.packb(changed))
