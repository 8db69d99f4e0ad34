"""Strangers at the TCP port: each gets a clear answer, and honest clients notice nothing."""

import asyncio
from pathlib import Path
from typing import Any

import msgpack
import pytest

from holdfast import aio
from holdfast.wire import messages as wire
from holdfast.wire.connection import ClientConnection, ConnectionState
from holdfast.wire.constants import ErrorCode
from holdfast.wire.frames import encode_frame
from support.daemon import DaemonProcess
from support.rude import HONEST, throw_beside_honest


async def said_to(daemon: DaemonProcess, data: bytes) -> list[wire.Message]:
    """Everything the server says until it closes, after HELLO."""
    reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
    writer.write(data)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    client = ClientConnection()
    messages = [message for message in client.receive(answer) if not isinstance(message, Exception)]
    assert isinstance(messages[0], wire.Hello)
    return messages[1:]


def identify(**info: object) -> bytes:
    return encode_frame(wire.encode(wire.Identify({"protocol": 1, "session": "s", **info})))


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", ErrorCode.BAD_FRAME, "an HTTP request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", ErrorCode.BAD_FRAME, "a TLS hello"),
        (b"\xff\xff\xff\xff", ErrorCode.FRAME_TOO_LARGE, "4,294,967,295 bytes is over the limit"),
        (bytes(4), ErrorCode.BAD_FRAME, "0 bytes"),
        (encode_frame(b"\xc1\xc1"), ErrorCode.BAD_FRAME, "not a msgpack frame"),
        (encode_frame(msgpack.packb([84, 1, "q"])), ErrorCode.UNEXPECTED_MESSAGE, "PAUSE"),
        (identify(protocol=99), ErrorCode.NO_COMMON_PROTOCOL, "version 99 is not spoken here"),
        (identify(session=""), ErrorCode.BAD_REQUEST, "session must be 1 to 64 characters"),
    ],
)
async def test_what_is_no_client_is_told_so_and_cut_off(
    daemon: DaemonProcess, data: bytes, code: ErrorCode, words: str
) -> None:
    async with aio.Queue("q", url=daemon.url) as honest:
        await honest.add("n")
        (error,) = await said_to(daemon, data)
        assert isinstance(error, wire.Error)
        assert (error.request, error.code) == (None, code)
        assert words in error.message
        assert (await honest.counts())["waiting"] == 1


async def test_an_unknown_command_is_refused_without_closing(daemon: DaemonProcess) -> None:
    unknown = encode_frame(msgpack.packb([99, 5]))
    reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
    client = ClientConnection()
    async with asyncio.timeout(10):
        seen: list[object] = [*client.receive(await reader.read(65536))]
        writer.write(client.send(wire.Identify({"protocol": 1, "session": "s"})))
        while not any(isinstance(message, wire.Welcome) for message in seen):
            seen += client.receive(await reader.read(65536))
        counts = encode_frame(wire.encode(wire.Counts(6)))
        writer.write(unknown + counts)
        while not any(isinstance(message, wire.Reply) for message in seen):
            seen += client.receive(await reader.read(65536))
    writer.close()
    refused = next(message for message in seen if isinstance(message, wire.Error))
    assert (refused.request, refused.code) == (5, ErrorCode.UNKNOWN_COMMAND)


async def opened(daemon: DaemonProcess) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
    client = ClientConnection()
    seen: list[object] = [*client.receive(await reader.read(65536))]
    writer.write(client.send(wire.Identify({"protocol": 1, "session": "s"})))
    while not any(isinstance(message, wire.Welcome) for message in seen):
        seen += client.receive(await reader.read(65536))
    return reader, writer


@pytest.mark.parametrize(
    ("item", "code", "words"),
    [
        (["a", "n", b""], ErrorCode.EMPTY_PAYLOAD, "payload is empty: send at least one byte"),
        (["a", "n", b"x" * 1_048_577], ErrorCode.PAYLOAD_TOO_LARGE, "over the limit of 1,048,576"),
        (["a", "n", "text"], ErrorCode.BAD_REQUEST, "payload must be binary, not 'text'"),
        (["a\x00b", "n", b"x"], ErrorCode.BAD_JOB_ID, "no control characters"),
        (["", "n", b"x"], ErrorCode.BAD_JOB_ID, "job id '' is not allowed"),
        ([b"short", "n", b"x"], ErrorCode.BAD_JOB_ID, "is not allowed"),
        (["a", "", b"x"], ErrorCode.BAD_REQUEST, "job name '' is not allowed"),
        (["a", "n", b"x", {"attempts": 0}], ErrorCode.BAD_OPTION, "attempts must be"),
        (["a", "n", b"x", {"speed": 1}], ErrorCode.BAD_OPTION, "unknown option 'speed'"),
        (["a"], ErrorCode.BAD_REQUEST, "an item must be [id, name, payload, options]"),
    ],
)
async def test_one_bad_item_is_refused_and_its_neighbour_is_added(
    daemon: DaemonProcess, item: list[object], code: ErrorCode, words: str
) -> None:
    reader, writer = await opened(daemon)
    good = ["good", "n", b"x"]
    client = ClientConnection()
    client.state = ConnectionState.OPEN
    both = wire.Enqueue(1, "q", [item, good], False)
    writer.write(encode_frame(wire.encode(both)))
    writer.write(encode_frame(wire.encode(both._replace(request=2, atomic=True))))
    answers: list[object] = []
    async with asyncio.timeout(10):
        while len(answers) < 2:
            answers += client.receive(await reader.read(65536))
    writer.close()
    reply = next(answer for answer in answers if isinstance(answer, wire.Reply))
    error = next(answer for answer in answers if isinstance(answer, wire.Error))
    assert [(at, status) for at, status, _ in reply.result] == [(0, code)]
    assert words in reply.result[0][2]
    assert (error.request, error.code, error.details["index"]) == (2, code, 0)
    assert "no job of this request was added" in error.message
    async with aio.Queue("q", url=daemon.url) as queue:
        assert (await queue.counts())["waiting"] == 1


async def test_a_worker_that_does_not_read_is_given_what_it_can_hold_and_is_not_cut_off(
    daemon: DaemonProcess,
) -> None:
    """Its credit is for 100 MB. What it is not pushed goes to others, and it can read late."""
    megabyte = b"x" * 1_000_000
    async with aio.Queue("q", url=daemon.url) as queue:
        await queue.add_many([("n", megabyte)] * 100)
        reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port, limit=2**16)
        client = ClientConnection()
        client.receive(await reader.read(2**16))
        writer.write(client.send(wire.Identify({"protocol": 1, "session": "slow"})))
        while client.state is not ConnectionState.OPEN:
            client.receive(await reader.read(2**16))
        writer.write(encode_frame(wire.encode(wire.Subscribe(1, ["q"], 100))))
        async with asyncio.timeout(10):
            while not (active := (await queue.counts())["active"]):
                await asyncio.sleep(0.01)
        for _ in range(20):  # time to push more, if it did
            active = (await queue.counts())["active"]
        assert 4 <= active <= 30
        jobs = 0
        async with asyncio.timeout(20):
            while jobs < 100:
                for message in client.receive(await reader.read(2**20)):
                    jobs += len(message.items) if isinstance(message, wire.Jobs) else 0
        assert (await queue.counts())["active"] == 100
        writer.close()


async def test_many_large_reads_at_once_are_all_answered(daemon: DaemonProcess) -> None:
    async with aio.Queue("q", url=daemon.url) as queue:
        (job,) = await queue.add_many([("n", b"x" * 1_000_000)])
        found = await asyncio.gather(*(queue.get(job.id) for _ in range(100)))
        assert {len(job.data) for job in found} == {1_000_000}


async def test_a_listener_of_more_events_than_a_frame_holds_gets_them_all(
    daemon: DaemonProcess,
) -> None:
    async with aio.Queue("q", url=daemon.url) as queue:
        await queue.add("n")
        events: Any = queue.events()
        first = asyncio.ensure_future(anext(events))
        while not first.done():
            await queue.add("n")
        await queue.add_many([("n" * 128, None, {"id": f"{n:0128}"}) for n in range(9_000)])
        ids: set[str | None] = set()
        async with asyncio.timeout(20):
            while len(ids) < 9_000:
                event = await anext(events)
                if event.name == "n" * 128:
                    ids.add(event.id)
        await events.aclose()


@pytest.mark.slow
async def test_twenty_thousand_mutated_frames_harm_no_honest_client(tmp_path: Path) -> None:
    beside = await throw_beside_honest(tmp_path, 1, 20_000)
    assert beside.frames == 20_000
    assert beside.added >= HONEST, "each of them was there"
    assert not beside.is_wrong, str(beside)


async def test_more_queues_than_a_map_may_hold_are_all_listed(daemon: DaemonProcess) -> None:
    names = [f"q{number:04}" for number in range(1_100)]  # and than a page holds
    async with aio.Queue("any", url=daemon.url) as queue:
        async with aio.Queue(names[0], url=daemon.url) as first:
            await first.add("n")
        queues = [aio.Queue(name, url=daemon.url) for name in names[1:]]
        await asyncio.gather(*(one.add("n") for one in queues))
        found = await queue.all_queues()
        for one in queues:
            await one.close()
    assert list(found) == names
    assert {info["waiting"] for info in found.values()} == {1}
