"""The HTTP port: what strangers can have of it is bounded."""

import asyncio
import contextlib
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from holdfastd.web import bounded
from holdfastd.web.app import HttpServer


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest_asyncio.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(bounded, "CONNECTIONS_MAX", 3)
    monkeypatch.setattr(bounded, "HEAD_S", 0.2)
    monkeypatch.setattr(bounded, "BODY_S", 0.3)
    server = HttpServer(app, "127.0.0.1", 0)
    _, port = await server.listen()
    serving = asyncio.create_task(server.serve_until_stopped())
    yield port
    server.stop()
    await serving


async def test_one_who_asks_nothing_is_cut_off_and_one_connection_too_many_too(port: int) -> None:
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    slow = silent[0][1]
    slow.write(b"GET / HTTP/1.1\r\n")  # and never the end of it
    one_more, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(5):
        for reader, one in [(one_more, writer), *silent]:
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            one.close()

    def fetch() -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            body: bytes = answer.read()
            return body

    assert await asyncio.to_thread(fetch) == b"ok"


async def test_one_who_has_asked_keeps_the_connection_for_the_next(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        async with asyncio.timeout(5):
            await reader.readuntil(b"ok\r\n0\r\n\r\n")
        await asyncio.sleep(2 * bounded.HEAD_S)  # nothing happens meanwhile, which is the point
    writer.close()


SLOW_HEAD = b"GET / HTTP/1.1\r\nHost: "
SLOW_BODY = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999\r\n\r\n"


@pytest.mark.parametrize("before", [b"", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"])
@pytest.mark.parametrize("beginning", [SLOW_HEAD, SLOW_BODY])
async def test_one_byte_at_a_time_is_no_way_to_keep_a_connection(
    port: int, before: bytes, beginning: bytes
) -> None:
    """Also for its second request, and for a body that nobody reads: the answer came before it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    if before:
        writer.write(before)
        await reader.readuntil(b"ok\r\n0\r\n\r\n")
    writer.write(beginning)
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"x")
                await asyncio.sleep(0.02)  # it goes on: its last byte is never long ago
                await writer.drain()
    writer.close()


async def test_who_sends_his_body_in_time_has_his_answer(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
        async with asyncio.timeout(5):
            await reader.readuntil(b"ok\r\n0\r\n\r\n")
        await asyncio.sleep(2 * bounded.BODY_S)  # the deadline of that body is over
    writer.close()
